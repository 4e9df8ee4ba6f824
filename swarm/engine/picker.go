package engine

import (
	"math/rand/v2"
	"slices"

	"seedbed/internal/bitset"
)

// randomFirst is how many pieces are picked at random before the rarest come first: a new
// peer needs something to trade soon, and rare pieces are slow.
const randomFirst = 4

// picker keeps the idle pieces (wanted, not verified, not begun) in order of rarity.
// order is partitioned by availability: bound[a] is the index of the first piece that
// exactly a peers have. A piece moves by swaps only, so a have costs O(1). Adding or
// removing a piece costs O(number of distinct availabilities).
//
// Peers that have everything are not counted, because they do not change the order.
type picker struct {
	avail   []uint16 // peers that have the piece, excluding seeds
	missing int      // pieces that no such peer has
	order   []uint32 // idle pieces, rarest first, shuffled among equals
	pos     []int32  // piece -> index in order, -1 if not idle
	bound   []int32  // availability -> first index in order; bound[len-1] = len(order)
	idle    bitset.Set
	stale   bool     // order and bound do not match avail
	spare   []uint32 // buffer for sort
	rng     *rand.Rand
}

// manyPieces is the number of idle pieces from which on a change is not applied piece by
// piece. Instead, the order is sorted when it is next used, because moving one piece
// costs several cache misses.
const manyPieces = 4096

// addField counts the pieces of one more peer.
func (k *picker) addField(has bitset.Set) {
	if has.CountAnd(k.idle) >= manyPieces {
		k.stale = true
	}
	for i := has.Next(0); i >= 0; i = has.Next(i + 1) {
		k.inc(uint32(i))
	}
}

// removeField no longer counts the pieces of a peer.
func (k *picker) removeField(has bitset.Set) {
	if has.CountAnd(k.idle) >= manyPieces {
		k.stale = true
	}
	for i := has.Next(0); i >= 0; i = has.Next(i + 1) {
		k.dec(uint32(i))
	}
}

// sort makes order and bound match avail again. Pieces of equal availability keep their
// order.
func (k *picker) sort() {
	if !k.stale {
		return
	}
	k.stale = false
	k.bound = append(k.bound[:0], 0, 0)
	for _, p := range k.order {
		a := int(k.avail[p])
		for len(k.bound) < a+2 {
			k.bound = append(k.bound, 0)
		}
		k.bound[a+1]++
	}
	for a := 1; a < len(k.bound); a++ {
		k.bound[a] += k.bound[a-1]
	}
	k.spare = append(k.spare[:0], k.order...)
	at := slices.Clone(k.bound)
	for _, p := range k.spare {
		a := k.avail[p]
		k.order[at[a]], k.pos[p] = p, at[a]
		at[a]++
	}
}

func newPicker(pieces int, rng *rand.Rand) *picker {
	k := &picker{
		avail:   make([]uint16, pieces),
		order:   make([]uint32, 0, pieces),
		pos:     make([]int32, pieces),
		bound:   make([]int32, 2, 64),
		missing: pieces,
		idle:    bitset.New(pieces),
		rng:     rng,
	}
	for i := range k.pos {
		k.pos[i] = -1
	}
	return k
}

// isIdle reports whether a piece is idle.
func (k *picker) isIdle(piece uint32) bool { return k.pos[piece] >= 0 }

// idleCount returns the number of idle pieces.
func (k *picker) idleCount() int { return len(k.order) }

// copies returns how many copies of the torrent the counted peers have together: complete
// copies, plus the available fraction of one more.
func (k *picker) copies() float64 {
	least, above := slices.Min(k.avail), 0
	for _, a := range k.avail {
		if a > least {
			above++
		}
	}
	return float64(least) + float64(above)/float64(len(k.avail))
}

// grow extends bound to availability a.
func (k *picker) grow(a uint16) {
	for len(k.bound) < int(a)+2 {
		k.bound = append(k.bound, int32(len(k.order)))
	}
}

func (k *picker) swap(i, j int32) {
	if i == j {
		return
	}
	p, q := k.order[i], k.order[j]
	k.order[i], k.order[j] = q, p
	k.pos[p], k.pos[q] = j, i
}

// shuffle moves the piece at index i to a random position among its equals.
func (k *picker) shuffle(i int32) {
	a := k.avail[k.order[i]]
	lo, hi := k.bound[a], k.bound[a+1]
	if hi-lo > 1 {
		k.swap(i, lo+k.rng.Int32N(hi-lo))
	}
}

// nobodyHas reports whether no peer has the piece, not counting seeds.
func (k *picker) nobodyHas(piece uint32) bool { return k.avail[piece] == 0 }

// isRarer reports whether fewer peers have piece a than piece b.
func (k *picker) isRarer(a, b uint32) bool { return k.avail[a] < k.avail[b] }

// put makes a piece idle.
func (k *picker) put(piece uint32) {
	if !k.idle.Add(int(piece)) {
		return
	}
	k.sort()
	a := k.avail[piece]
	k.grow(a)
	// Open a gap at the end of a's partition by moving the first piece of each later
	// partition to the end of that partition.
	k.order = append(k.order, piece)
	hole := int32(len(k.order) - 1)
	last := len(k.bound) - 1
	k.bound[last]++
	for b := last - 1; b > int(a); b-- {
		first := k.bound[b]
		if first != hole {
			q := k.order[first]
			k.order[hole], k.pos[q] = q, hole
			hole = first
		}
		k.bound[b]++
	}
	k.order[hole], k.pos[piece] = piece, hole
	k.shuffle(hole)
}

// take makes a piece no longer idle: it was begun or verified, or is not wanted any more.
func (k *picker) take(piece uint32) {
	if !k.idle.Remove(int(piece)) {
		return
	}
	k.sort()
	hole := k.pos[piece]
	k.pos[piece] = -1
	last := len(k.bound) - 1
	for b := int(k.avail[piece]) + 1; b <= last; b++ {
		k.bound[b]--
		if end := k.bound[b]; end != hole {
			q := k.order[end]
			k.order[hole], k.pos[q] = q, hole
			hole = end
		}
	}
	k.order = k.order[:len(k.order)-1]
}

// inc counts one more peer that has the piece.
func (k *picker) inc(piece uint32) {
	a := k.avail[piece]
	if !k.stale {
		k.grow(a + 1)
	}
	if k.avail[piece] = a + 1; a == 0 {
		k.missing--
	}
	if i := k.pos[piece]; i >= 0 && !k.stale {
		k.bound[a+1]--
		k.swap(i, k.bound[a+1])
		k.shuffle(k.bound[a+1])
	}
}

// dec counts one less peer that has the piece.
func (k *picker) dec(piece uint32) {
	a := k.avail[piece]
	if a == 0 {
		panic("engine: availability below zero")
	}
	if k.avail[piece] = a - 1; a == 1 {
		k.missing++
	}
	if i := k.pos[piece]; i >= 0 && !k.stale {
		j := k.bound[a]
		k.swap(i, j)
		k.bound[a]++
		k.shuffle(j)
	}
}

const (
	// walkFirst is how many pieces of order rarest scans before it considers scanning the
	// peer's own pieces. That is enough for a peer that has a fair share of the pieces.
	walkFirst = 512
	// fewPieces: if a peer has less than 1/fewPieces of the idle pieces, its own pieces
	// are scanned instead. One step of that scan costs as much as fewPieces steps of the
	// other.
	fewPieces = 8
)

// rarest returns the first idle piece in order that the peer has. count is the number of
// pieces that the peer has.
func (k *picker) rarest(has bitset.Set, count int) (uint32, bool) {
	k.sort()
	near := min(walkFirst, len(k.order))
	for _, p := range k.order[:near] {
		if has.Has(int(p)) {
			return p, true
		}
	}
	both := k.idle.CountAnd(has)
	if both > len(k.order)/fewPieces {
		for _, p := range k.order[near:] {
			if has.Has(int(p)) {
				return p, true
			}
		}
	}
	best := int32(-1)
	for p := has.Next(0); p >= 0 && both > 0; p = has.Next(p + 1) {
		if i := k.pos[p]; i >= 0 {
			both--
			if best < 0 || i < best {
				best = i
			}
		}
	}
	if best < 0 {
		return 0, false
	}
	return k.order[best], true
}

// random returns a random idle piece that the peer has.
func (k *picker) random(has bitset.Set, count int) (uint32, bool) {
	n := len(k.order)
	if n == 0 {
		return 0, false
	}
	k.sort()
	start := k.rng.IntN(n)
	for i := range min(n, walkFirst) {
		if p := k.order[(start+i)%n]; has.Has(int(p)) {
			return p, true
		}
	}
	return k.rarest(has, count)
}
