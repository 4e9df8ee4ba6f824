package engine

import (
	"math/rand/v2"
	"slices"

	"seedbed/internal/bitset"
)

// randomFirst is how many pieces are picked at random before the rarest come first: a new
// peer needs something to trade soon, and rare pieces are slow.
const randomFirst = 4

// picker keeps the idle pieces (wanted, not verified, not begun) in order of rarity. The
// pieces of each class have an order of their own. All pieces are in the same class
// unless setClasses was called.
//
// Peers that have everything are not counted, because they do not change the order.
type picker struct {
	avail   []uint16 // peers that have the piece, excluding seeds
	missing int      // pieces that no such peer has
	class   []uint8  // of each piece, the first is picked first; nil: all pieces are in class 0
	queues  []queue  // of each class, most urgent first
	pos     []int32  // piece -> index in the order of its queue, -1 if not idle
	idle    int      // idle pieces of all classes
	rng     *rand.Rand
}

// queue holds the idle pieces of one class. order is partitioned by availability:
// bound[a] is the index of the first piece that exactly a peers have. A piece moves by
// swaps only, so a have costs O(1). Adding or removing a piece costs O(number of
// distinct availabilities).
type queue struct {
	order []uint32 // rarest first, shuffled among equals
	bound []int32  // availability -> first index in order; bound[len-1] = len(order)
	idle  bitset.Set
	stale bool     // order and bound do not match avail
	spare []uint32 // buffer for sort
}

// manyPieces is the number of idle pieces from which on a change is not applied piece by
// piece. Instead, the order is sorted when it is next used, because moving one piece
// costs several cache misses.
const manyPieces = 4096

func newPicker(pieces int, rng *rand.Rand) *picker {
	k := &picker{
		avail:   make([]uint16, pieces),
		pos:     make([]int32, pieces),
		missing: pieces,
		rng:     rng,
		queues:  []queue{newQueue(pieces)},
	}
	k.queues[0].order = make([]uint32, 0, pieces)
	for i := range k.pos {
		k.pos[i] = -1
	}
	return k
}

func newQueue(pieces int) queue { return queue{bound: make([]int32, 2, 64), idle: bitset.New(pieces)} }

// setClasses sets the class of each piece, below n. Nil puts all pieces into one class.
func (k *picker) setClasses(class []uint8, n int) {
	if class == nil && k.class == nil {
		return
	}
	if class == nil {
		n = 1
	}
	before := k.queues
	k.class, k.queues = class, make([]queue, n)
	for i := range k.queues {
		k.queues[i] = newQueue(len(k.pos))
		k.queues[i].stale = true
	}
	count := make([]int, n)
	for i := range before {
		for _, p := range before[i].order {
			if class == nil {
				count[0] = k.idle
				break
			}
			count[class[p]]++
		}
	}
	for i, n := range count {
		k.queues[i].order = make([]uint32, 0, n)
	}
	for i := range before {
		for _, p := range before[i].order {
			q := k.queueOf(p)
			k.pos[p] = int32(len(q.order))
			q.order = append(q.order, p)
			q.idle.Add(int(p))
		}
	}
}

// queueOf returns the queue of a piece.
func (k *picker) queueOf(piece uint32) *queue {
	if k.class == nil {
		return &k.queues[0]
	}
	return &k.queues[k.class[piece]]
}

// classOf returns the class of a piece.
func (k *picker) classOf(piece uint32) uint8 {
	if k.class == nil {
		return 0
	}
	return k.class[piece]
}

// addField counts the pieces of one more peer.
func (k *picker) addField(has bitset.Set) {
	k.noteField(has)
	for i := has.Next(0); i >= 0; i = has.Next(i + 1) {
		k.inc(uint32(i))
	}
}

// removeField no longer counts the pieces of a peer.
func (k *picker) removeField(has bitset.Set) {
	k.noteField(has)
	for i := has.Next(0); i >= 0; i = has.Next(i + 1) {
		k.dec(uint32(i))
	}
}

// noteField prepares for a change of the availability of many pieces.
func (k *picker) noteField(has bitset.Set) {
	for i := range k.queues {
		if q := &k.queues[i]; has.CountAnd(q.idle) >= manyPieces {
			q.stale = true
		}
	}
}

// sort makes the order and bound of q match avail again. Pieces of equal availability
// keep their order.
func (k *picker) sort(q *queue) {
	if !q.stale {
		return
	}
	q.stale = false
	q.bound = append(q.bound[:0], 0, 0)
	for _, p := range q.order {
		a := int(k.avail[p])
		for len(q.bound) < a+2 {
			q.bound = append(q.bound, 0)
		}
		q.bound[a+1]++
	}
	for a := 1; a < len(q.bound); a++ {
		q.bound[a] += q.bound[a-1]
	}
	q.spare = append(q.spare[:0], q.order...)
	at := slices.Clone(q.bound)
	for _, p := range q.spare {
		a := k.avail[p]
		q.order[at[a]], k.pos[p] = p, at[a]
		at[a]++
	}
}

// isIdle reports whether a piece is idle.
func (k *picker) isIdle(piece uint32) bool { return k.pos[piece] >= 0 }

// idleCount returns the number of idle pieces.
func (k *picker) idleCount() int { return k.idle }

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
func (q *queue) grow(a uint16) {
	for len(q.bound) < int(a)+2 {
		q.bound = append(q.bound, int32(len(q.order)))
	}
}

func (k *picker) swap(q *queue, i, j int32) {
	if i == j {
		return
	}
	a, b := q.order[i], q.order[j]
	q.order[i], q.order[j] = b, a
	k.pos[a], k.pos[b] = j, i
}

// shuffle moves the piece at index i of q to a random position among its equals.
func (k *picker) shuffle(q *queue, i int32) {
	a := k.avail[q.order[i]]
	lo, hi := q.bound[a], q.bound[a+1]
	if hi-lo > 1 {
		k.swap(q, i, lo+k.rng.Int32N(hi-lo))
	}
}

// nobodyHas reports whether no peer has the piece, not counting seeds.
func (k *picker) nobodyHas(piece uint32) bool { return k.avail[piece] == 0 }

// isRarer reports whether fewer peers have piece a than piece b.
func (k *picker) isRarer(a, b uint32) bool { return k.avail[a] < k.avail[b] }

// put makes a piece idle.
func (k *picker) put(piece uint32) {
	q := k.queueOf(piece)
	if !q.idle.Add(int(piece)) {
		return
	}
	k.idle++
	k.sort(q)
	a := k.avail[piece]
	q.grow(a)
	// Open a gap at the end of a's partition by moving the first piece of each later
	// partition to the end of that partition.
	q.order = append(q.order, piece)
	hole := int32(len(q.order) - 1)
	last := len(q.bound) - 1
	q.bound[last]++
	for b := last - 1; b > int(a); b-- {
		first := q.bound[b]
		if first != hole {
			p := q.order[first]
			q.order[hole], k.pos[p] = p, hole
			hole = first
		}
		q.bound[b]++
	}
	q.order[hole], k.pos[piece] = piece, hole
	k.shuffle(q, hole)
}

// take makes a piece no longer idle: it was begun or verified, or is not wanted any more.
func (k *picker) take(piece uint32) {
	q := k.queueOf(piece)
	if !q.idle.Remove(int(piece)) {
		return
	}
	k.idle--
	k.sort(q)
	hole := k.pos[piece]
	k.pos[piece] = -1
	last := len(q.bound) - 1
	for b := int(k.avail[piece]) + 1; b <= last; b++ {
		q.bound[b]--
		if end := q.bound[b]; end != hole {
			p := q.order[end]
			q.order[hole], k.pos[p] = p, hole
			hole = end
		}
	}
	q.order = q.order[:len(q.order)-1]
}

// inc counts one more peer that has the piece.
func (k *picker) inc(piece uint32) {
	q, a := k.queueOf(piece), k.avail[piece]
	if !q.stale {
		q.grow(a + 1)
	}
	if k.avail[piece] = a + 1; a == 0 {
		k.missing--
	}
	if i := k.pos[piece]; i >= 0 && !q.stale {
		q.bound[a+1]--
		k.swap(q, i, q.bound[a+1])
		k.shuffle(q, q.bound[a+1])
	}
}

// dec counts one less peer that has the piece.
func (k *picker) dec(piece uint32) {
	q, a := k.queueOf(piece), k.avail[piece]
	if a == 0 {
		panic("engine: availability below zero")
	}
	if k.avail[piece] = a - 1; a == 1 {
		k.missing++
	}
	if i := k.pos[piece]; i >= 0 && !q.stale {
		j := q.bound[a]
		k.swap(q, i, j)
		q.bound[a]++
		k.shuffle(q, j)
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

// rarest returns the rarest idle piece that the peer has, of the first class with such a
// piece.
func (k *picker) rarest(has bitset.Set) (uint32, bool) {
	for i := range k.queues {
		if p, ok := k.rarestOf(&k.queues[i], has); ok {
			return p, true
		}
	}
	return 0, false
}

// rarestOf returns the first idle piece in the order of q that the peer has.
func (k *picker) rarestOf(q *queue, has bitset.Set) (uint32, bool) {
	k.sort(q)
	near := min(walkFirst, len(q.order))
	for _, p := range q.order[:near] {
		if has.Has(int(p)) {
			return p, true
		}
	}
	if near == len(q.order) {
		return 0, false
	}
	both := q.idle.CountAnd(has)
	if both > len(q.order)/fewPieces {
		for _, p := range q.order[near:] {
			if has.Has(int(p)) {
				return p, true
			}
		}
	}
	best := int32(-1)
	for p := has.Next(0); p >= 0 && both > 0; p = has.Next(p + 1) {
		if q.idle.Has(p) {
			both--
			if i := k.pos[p]; best < 0 || i < best {
				best = i
			}
		}
	}
	if best < 0 {
		return 0, false
	}
	return q.order[best], true
}

// random returns a random idle piece that the peer has, of the first class with such a
// piece.
func (k *picker) random(has bitset.Set) (uint32, bool) {
	for i := range k.queues {
		q := &k.queues[i]
		n := len(q.order)
		if n == 0 {
			continue
		}
		k.sort(q)
		start := k.rng.IntN(n)
		for i := range min(n, walkFirst) {
			if p := q.order[(start+i)%n]; has.Has(int(p)) {
				return p, true
			}
		}
		if p, ok := k.rarestOf(q, has); ok {
			return p, true
		}
	}
	return 0, false
}

// next returns the first idle piece at or after from that the peer has, of the first class
// with such a piece. After the last piece it continues with the first.
func (k *picker) next(has bitset.Set, from uint32) (uint32, bool) {
	for i := range k.queues {
		q := &k.queues[i]
		if len(q.order) == 0 {
			continue
		}
		p := q.idle.NextAnd(has, int(from))
		if p < 0 && from > 0 {
			p = q.idle.NextAnd(has, 0)
		}
		if p >= 0 {
			return uint32(p), true
		}
	}
	return 0, false
}
