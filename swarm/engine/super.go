package engine

import (
	"fmt"
	"math"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/fifo"
	"seedbed/internal/mono"
)

// SuperSeed says when a seed super-seeds (BEP 16).
type SuperSeed uint8

const (
	// SuperAuto super-seeds while it pays: our uplink has no limit that we know of, there
	// is no other seed, a new peer finds superLeechers connected leechers that are
	// interested in us, and there are pieces that none of them has. Where the limit is
	// known, the order in which blocks are sent does as much; see spread.go.
	SuperAuto SuperSeed = iota
	// SuperOn super-seeds from the first leecher on, until every piece is at some
	// leecher or another seed comes.
	SuperOn
	// SuperOff announces every piece to every peer.
	SuperOff
)

// ParseSuperSeed reads auto, on or off.
func ParseSuperSeed(s string) (SuperSeed, error) {
	switch s {
	case "auto":
		return SuperAuto, nil
	case "on":
		return SuperOn, nil
	case "off":
		return SuperOff, nil
	}
	return 0, fmt.Errorf("%q is neither auto nor on nor off", s)
}

// Super-seeding (BEP 16): a seed announces to each leecher only a few pieces,
// others than to the rest. So nearly every byte that it sends is new to the swarm,
// and the swarm has everything after little more than one copy.
//
// BEP 16 announces one piece at a time, and the next when the last was passed on.
// Here a peer is never slower for it than with a plain seed: the next pieces are
// announced as soon as the peer requests the last ones. A peer that could request
// and does not wants other pieces than those announced (it has a selection, or a
// player needs others next) and is told of every piece. From then on the pieces
// that the swarm lacks are suggested to it (BEP 6), as they are to peers that were
// there before super-seeding began.
const (
	// superLeechers connected and interested leechers besides a new peer make it
	// worth limiting what the new peer is told.
	superLeechers = 3
	// superMaxPieces: in larger torrents nothing is kept back. The haves that are
	// due when a peer is told of everything at once must fit what may wait for a
	// peer that reads slowly.
	superMaxPieces = 1 << 14
	// A choked peer is told of offerChoked pieces, enough to become interested. A
	// peer that we serve may have so much announced that it has not requested yet:
	// what it takes in offerAhead, at least offerBytes while that is not known, and
	// between offerMin and offerMax pieces; or suggestMax suggestions, for peers remember few.
	offerChoked = 2
	offerAhead  = time.Second
	offerBytes  = 256 << 10
	offerMin    = 2
	offerMax    = 256
	suggestMax  = 8
	// A peer that does not become interested in what it was told of, or that we
	// serve and that requests nothing, is told of everything: after a short time
	// if capacity is idle meanwhile, else after a longer one, because messages wait
	// behind the blocks that others take. The short time is twice what its interest
	// took to arrive, within these limits.
	minQuiet      = 250 * time.Millisecond
	maxQuiet      = 500 * time.Millisecond
	patienceShort = time.Second // it lacks what it was told of and does not want it
	patienceLong  = 5 * time.Second
	// Capacity is idle when less than a quarter of the most that went out in flowSlot of
	// late goes out; that most halves in peakHalf.
	flowSlot = 100 * time.Millisecond
	peakHalf = 10 * time.Second
	// maxSkips bounds the pieces that are looked at in vain for a peer at a time.
	maxSkips = 8
)

// superPeer is what the super-seeder knows of a peer.
type superPeer struct {
	limited bool          // it was told of shown only
	guided  bool          // it was told of every piece, and of shown by suggestions
	shown   bitset.Set    // pieces that were offered to it, or that it requested
	asked   bitset.Set    // of those, the ones that it requested or has
	unasked int           // len(shown) - len(asked)
	since   mono.Time     // since when it is not interested and could be; Never while it is
	delay   time.Duration // from what it was told of to its interest, at most maxQuiet
	met     bool          // it was interested once
	idle    mono.Time     // since when it is served and requests nothing; Never while it does
}

// superFacts is what the super-seeder is told of a peer at each turn.
type superFacts struct {
	interested bool
	served     bool    // unchoked
	room       bool    // there are free slots
	busy       bool    // requests of it wait, or are being answered
	rate       float64 // bytes a second that it takes
	known      bool    // rate is more than a first impression
}

// rarity tells which pieces the swarm lacks.
type rarity interface {
	// nobodyHas reports whether no leecher has the piece.
	nobodyHas(piece uint32) bool
}

// flow tells whether all capacity is used, from what goes out.
type flow struct {
	slotAt mono.Time // when the present slot began
	sent   float64   // bytes in it
	peak   float64   // most bytes in a slot, of late
	fullAt mono.Time // when capacity was used last
}

// add counts bytes that went out.
func (f *flow) add(now mono.Time, n int) {
	if d := now.Sub(f.slotAt); d >= flowSlot {
		f.peak *= math.Exp2(-d.Seconds() / peakHalf.Seconds())
		f.slotAt, f.sent = now, 0
	}
	f.sent += float64(n)
	if f.peak = max(f.peak, f.sent); f.sent >= f.peak/4 {
		f.fullAt = now
	}
}

// superSeeder decides which pieces are offered to each peer: announced, if it is
// limited, or suggested, if it is guided. Every call costs O(1) amortised, except
// release, choked and those that make sets: O(pieces/64).
type superSeeder struct {
	pieces   int
	pieceLen float64
	rarity   rarity

	limited int // peers
	guided  int // peers
	// A piece is free if no leecher has it and it is on its way to none, as far as
	// we know: it is not in taken, and it comes from cursor on or is in again.
	cursor  int
	step    int64 // see at
	taken   bitset.Set
	again   fifo.Queue[uint32]
	waiting bitset.Set // contents of again
	flow    flow
	due     mono.Time // when turn may have something to do, if nothing happens before

	offers []uint32 // of turn
}

func newSuperSeeder(pieces int, pieceLen int64, r rarity) superSeeder {
	return superSeeder{pieces: pieces, step: stride(pieces), pieceLen: float64(pieceLen), rarity: r, due: mono.Never}
}

// isOn reports whether there is a peer that is told of some pieces only.
func (s *superSeeder) isOn() bool { return s.limited > 0 }

// limit begins to limit what p is told.
func (s *superSeeder) limit(now mono.Time, p *superPeer) {
	s.limited++
	s.enter(now, p)
	p.limited = true
}

// guide begins to make suggestions to p.
func (s *superSeeder) guide(now mono.Time, p *superPeer) {
	s.guided++
	s.enter(now, p)
	p.guided = true
}

func (s *superSeeder) enter(now mono.Time, p *superPeer) {
	if s.taken.Len() != s.pieces {
		s.taken, s.waiting = bitset.New(s.pieces), bitset.New(s.pieces)
	}
	*p = superPeer{shown: bitset.New(s.pieces), asked: bitset.New(s.pieces), since: now, delay: maxQuiet, idle: mono.Never}
}

// release forgets p, which is gone, or is told of every piece now. What was
// offered to it is free again, except what it has on order while it is not gone.
func (s *superSeeder) release(p *superPeer, gone bool) {
	switch {
	case p.limited:
		s.limited--
	case p.guided:
		s.guided--
	default:
		return
	}
	if s.limited+s.guided == 0 {
		s.cursor = 0
		s.taken, s.waiting = bitset.Set{}, bitset.Set{}
		s.again.Clear()
	} else {
		s.free(p, gone)
	}
	*p = superPeer{}
}

// choked frees what was offered to p and what it has not requested. What p knows
// to be here it may request all the same when it is served again.
func (s *superSeeder) choked(p *superPeer) {
	if p.unasked > 0 {
		s.free(p, false)
	}
}

// free frees what is on its way to p: what was offered to it and, if so asked,
// what it requested.
func (s *superSeeder) free(p *superPeer, asked bool) {
	for i := p.shown.Next(0); i >= 0; i = p.shown.Next(i + 1) {
		if !p.asked.Has(i) {
			p.shown.Remove(i)
			p.unasked--
		} else if !asked {
			continue
		}
		s.lost(uint32(i))
	}
}

// lost notes that a piece may be free again.
func (s *superSeeder) lost(piece uint32) {
	if s.limited+s.guided > 0 && s.rarity.nobodyHas(piece) && s.taken.Remove(int(piece)) && s.waiting.Add(int(piece)) {
		s.again.Push(piece)
	}
}

// requested notes that p requests blocks of a piece, or has it.
func (s *superSeeder) requested(p *superPeer, piece uint32) {
	if !p.limited && !p.guided {
		return
	}
	i := int(piece)
	switch {
	case !p.asked.Add(i):
	case p.shown.Add(i): // nobody offered it
		s.taken.Add(i)
	default:
		p.unasked--
	}
}

// beginTurns precedes the turns of all peers, which set when the next are due.
func (s *superSeeder) beginTurns() { s.due = mono.Never }

// turn returns the pieces that are to be offered to p now, valid until the next
// call, or that it is to be told of all of them.
func (s *superSeeder) turn(now mono.Time, p *superPeer, f superFacts) (offers []uint32, all bool) {
	if p.limited && s.wait(now, p, f) {
		return nil, true
	}
	target := s.target(p, f)
	s.offers = s.offers[:0]
	for p.unasked < target {
		i, ok := s.next(p)
		if !ok {
			break
		}
		p.shown.Add(int(i))
		p.unasked++
		s.offers = append(s.offers, i)
	}
	return s.offers, false
}

// target is how many offered pieces p may have that it has not requested.
func (s *superSeeder) target(p *superPeer, f superFacts) int {
	bytes := f.rate * offerAhead.Seconds()
	if !f.known {
		bytes = max(bytes, offerBytes)
	}
	ahead := min(max(int(bytes/s.pieceLen), offerMin), offerMax)
	switch {
	case !p.guided && !f.served:
		return offerChoked
	case !p.guided:
		return ahead
	case !f.served:
		return 0
	}
	return min(ahead, suggestMax)
}

// wait reports whether p has made no use for too long of what it was told of.
func (s *superSeeder) wait(now mono.Time, p *superPeer, f superFacts) (over bool) {
	since, patience := &p.idle, patienceLong
	switch {
	case !f.interested:
		p.idle = mono.Never
		since = &p.since
		if p.unasked > 0 && (f.room || f.served) {
			patience = patienceShort
		}
	case p.since != mono.Never: // its interest is new
		p.delay = min(p.delay, now.Sub(p.since))
		p.since, p.met = mono.Never, true
	}
	if f.interested && (f.busy || !f.served) {
		p.idle = mono.Never
		return false
	}
	*since = min(*since, now)
	quiet := max(*since, s.flow.fullAt).Add(min(max(2*p.delay, minQuiet), maxQuiet))
	at := min(quiet, since.Add(patience))
	if now >= at {
		return true
	}
	s.due = min(s.due, at)
	return false
}

// next takes a free piece that was not offered to p.
func (s *superSeeder) next(p *superPeer) (uint32, bool) {
	for range min(s.again.Len(), maxSkips) {
		i := s.again.Pop()
		if p.shown.Has(int(i)) && !s.taken.Has(int(i)) { // for another peer
			s.again.Push(i)
			continue
		}
		s.waiting.Remove(int(i))
		if !s.taken.Has(int(i)) && s.take(i) {
			return i, true
		}
	}
	for s.cursor < s.pieces {
		i := s.at(s.cursor)
		s.cursor++
		switch {
		case s.taken.Has(int(i)):
		case p.shown.Has(int(i)): // for another peer
			if s.waiting.Add(int(i)) {
				s.again.Push(i)
			}
		case s.take(i):
			return i, true
		}
	}
	return 0, false
}

// at is the k-th piece to be offered. Pieces that are offered one after the other
// lie far apart, so that a peer that wants a part of the torrent finds some of it.
func (s *superSeeder) at(k int) uint32 { return uint32(int64(k) * s.step % int64(s.pieces)) }

// take marks a piece as on its way to a leecher, unless one has it.
func (s *superSeeder) take(piece uint32) bool {
	s.taken.Add(int(piece))
	return s.rarity.nobodyHas(piece)
}
