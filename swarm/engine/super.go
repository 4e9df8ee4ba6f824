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
	// SuperAuto super-seeds while it helps: no upload limit is known, there is no other
	// seed, there are pieces that no leecher has, and when a peer connects, superLeechers
	// others are interested in us. Where an upload limit is known, the order in which
	// blocks are sent has the same effect; see spread.go.
	SuperAuto SuperSeed = iota
	// SuperOn super-seeds from the first leecher on, until every piece is at some
	// leecher or another seed connects.
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

// Super-seeding (BEP 16): a seed announces to each leecher only a few pieces, and
// different ones to each. So nearly every byte that it sends is new to the swarm,
// and the swarm has everything after little more than one copy.
//
// BEP 16 announces one piece at a time, and the next when the last was passed on.
// We announce the next pieces as soon as the peer requests the last ones, so that it is
// never slower than with a plain seed. A peer that could request and does not needs
// other pieces than those announced: it has a selection, or a player needs others
// next. We announce every piece to it. From then on we suggest the pieces that the
// swarm lacks (BEP 6), as we do to peers that came before super-seeding began.
const (
	// SuperAuto limits what a new peer is told if at least superLeechers other leechers
	// are connected and interested.
	superLeechers = 3
	// In torrents of more than superMaxPieces every peer is told of every piece. When
	// limiting ends, the haves of all pieces are sent at once, and they must fit into what
	// may be queued for a peer that reads slowly.
	superMaxPieces = 1 << 14
	// A choked peer is told of offerChoked pieces, enough to become interested. To an
	// unchoked peer we announce as much beyond what it requested as it takes in
	// offerAhead: at least offerBytes while its speed is unknown, and from offerMin to
	// offerMax pieces. Suggestions are limited to suggestMax, as clients remember few.
	offerChoked = 2
	offerAhead  = time.Second
	offerBytes  = 256 << 10
	offerMin    = 2
	offerMax    = 256
	suggestMax  = 8
	// A peer that does not become interested in what it was told of, or that is unchoked
	// and requests nothing, is told of everything. If upload capacity is idle, that is
	// after twice the time that its interest took to arrive, from minQuiet to maxQuiet.
	// Otherwise messages may wait behind blocks to others, and it is after patienceShort
	// or patienceLong.
	minQuiet      = 250 * time.Millisecond
	maxQuiet      = 500 * time.Millisecond
	patienceShort = time.Second // it is not interested, although it lacks what it was told of
	patienceLong  = 5 * time.Second
	// Capacity is idle when we send less in flowSlot than a quarter of the recent peak.
	// The peak halves in peakHalf.
	flowSlot = 100 * time.Millisecond
	peakHalf = 10 * time.Second
	// maxSkips bounds how many queued pieces are examined at a time for one peer.
	maxSkips = 8
)

// superPeer is what the super-seeder knows of a peer.
type superPeer struct {
	limited bool          // it was told of the pieces in shown only
	guided  bool          // it was told of every piece, and those in shown are suggested to it
	shown   bitset.Set    // pieces that were offered to it, or that it requested
	asked   bitset.Set    // of those, the ones that it requested or has
	unasked int           // len(shown) - len(asked)
	since   mono.Time     // since when it is not interested and could be; Never while it is
	delay   time.Duration // between the first announcement and its interest, at most maxQuiet
	met     bool          // it was interested once
	idle    mono.Time     // since when it is unchoked and requests nothing; Never while it does
}

// superFacts is what the super-seeder is told of a peer at each turn.
type superFacts struct {
	interested bool
	served     bool    // unchoked
	room       bool    // an upload slot is free
	busy       bool    // it has requests that are not answered
	rate       float64 // bytes a second that are sent to it
	known      bool    // rate is more than a first impression
}

// rarity tells which pieces the swarm lacks.
type rarity interface {
	// nobodyHas reports whether no leecher has the piece.
	nobodyHas(piece uint32) bool
}

// flow estimates whether upload capacity is idle, from what is sent.
type flow struct {
	slotAt mono.Time // when the present slot began
	sent   float64   // bytes in it
	peak   float64   // most bytes in a slot recently
	fullAt mono.Time // when capacity was used last
}

// add counts bytes that were sent.
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

// release forgets p, which is gone, or was told of every piece. What was offered to it
// becomes free again, except what it requested if it is not gone.
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

// choked frees what was offered to p and not requested. p still knows that we have it,
// and may request it when it is unchoked again.
func (s *superSeeder) choked(p *superPeer) {
	if p.unasked > 0 {
		s.free(p, false)
	}
}

// free frees what was offered to p and not requested, and with asked also what it
// requested.
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

// lost records that a piece may be free again.
func (s *superSeeder) lost(piece uint32) {
	if s.limited+s.guided > 0 && s.rarity.nobodyHas(piece) && s.taken.Remove(int(piece)) && s.waiting.Add(int(piece)) {
		s.again.Push(piece)
	}
}

// requested records that p requests blocks of a piece, or has it.
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

// turn returns the pieces to offer to p now, valid until the next call, or reports that p
// is to be told of all pieces.
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

// target returns how many pieces may be offered to p beyond those that it requested.
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

// wait reports whether p has for too long requested nothing of what it was told of.
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
