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
	// SuperAuto super-seeds only while it helps: no upload limit is known, there is no
	// other seed, and there are pieces that no leecher has. It applies to a peer that
	// connects while superLeechers others are interested in us. With an upload limit, the
	// order in which blocks are sent has the same effect; see spread.go.
	SuperAuto SuperSeed = iota
	// SuperOn super-seeds from the first leecher on, until every piece is at some leecher
	// or another seed connects.
	SuperOn
	// SuperOff announces every piece to every peer.
	SuperOff
)

// String returns the word that ParseSuperSeed reads.
func (s SuperSeed) String() string { return [...]string{"auto", "on", "off"}[s] }

// ParseSuperSeed parses auto, on or off.
func ParseSuperSeed(s string) (SuperSeed, error) {
	switch s {
	case "auto":
		return SuperAuto, nil
	case "on":
		return SuperOn, nil
	case "off":
		return SuperOff, nil
	}
	return 0, fmt.Errorf("%q is not one of auto, on, off", s)
}

// Super-seeding (BEP 16): a seed announces only a few pieces to each leecher, and
// different ones to each. So nearly every byte it sends is new to the swarm, and the
// swarm is complete after little more than one copy.
//
// BEP 16 announces one piece at a time, and the next one when the last was passed on. We
// announce the next pieces as soon as the peer requests the last ones, so that it is
// never slower than with an ordinary seed. A peer that could request pieces but does not
// needs other ones: it has a selection, or a player needs others next. We announce every
// piece to it, and from then on suggest the pieces that the swarm lacks (BEP 6). Peers
// that connected before super-seeding began are treated the same way.
const (
	// superLeechers is how many other leechers must be connected and interested for
	// SuperAuto to limit the announcements to a new peer.
	superLeechers = 3
	// In torrents of more than superMaxPieces every piece is announced to every peer.
	// When limiting ends, the haves of all pieces are sent at once, and they must fit
	// into the queue of a peer that reads slowly.
	superMaxPieces = 1 << 14
	// A choked peer is offered offerChoked pieces, enough to become interested. An
	// unchoked peer is offered as much beyond its requests as it takes in offerAhead: at
	// least offerBytes while its speed is unknown, and from offerMin to offerMax pieces.
	// Suggestions are limited to suggestMax, because clients remember few.
	offerChoked = 2
	offerAhead  = time.Second
	offerBytes  = 256 << 10
	offerMin    = 2
	offerMax    = 256
	suggestMax  = 8
	// A peer that does not become interested in its offers, or that is unchoked and
	// requests nothing, is offered everything. If upload capacity is idle, this happens
	// after twice the time that its interest took to arrive, between minQuiet and
	// maxQuiet. Otherwise messages may wait behind blocks for others, and it happens
	// after patienceShort or patienceLong.
	minQuiet      = 250 * time.Millisecond
	maxQuiet      = 500 * time.Millisecond
	patienceShort = time.Second // for a peer that is not interested, although it lacks the offered pieces
	patienceLong  = 5 * time.Second
	// Capacity is idle if we send less than a quarter of the recent peak in flowSlot. The
	// peak halves every peakHalf.
	flowSlot = 100 * time.Millisecond
	peakHalf = 10 * time.Second
	// maxSkips bounds how many queued pieces are examined at a time for one peer.
	maxSkips = 8
)

// superPeer is the super-seeder's state of a peer.
type superPeer struct {
	limited       bool          // only the pieces in shown were announced to it
	guided        bool          // every piece was announced to it, and those in shown are suggested
	shown         bitset.Set    // pieces that were offered to it, or that it requested
	asked         bitset.Set    // those of them that it requested or has
	unasked       int           // len(shown) - len(asked)
	since         mono.Time     // since when it could be interested and is not; Never while it is
	delay         time.Duration // between the first announcement and its interest, at most maxQuiet
	wasInterested bool          // it was interested at least once
	idle          mono.Time     // since when it is unchoked and requests nothing; Never while it does
}

// superFacts describes a peer for one turn.
type superFacts struct {
	interested bool    // it is interested in us
	unchoked   bool    // we do not choke it
	slotFree   bool    // an upload slot is free
	busy       bool    // it has unanswered requests
	rate       float64 // bytes per second that are sent to it
	known      bool    // rate is based on enough data
}

// rarity knows which pieces the swarm lacks.
type rarity interface {
	// nobodyHas reports whether no leecher has the piece.
	nobodyHas(piece uint32) bool
}

// flow estimates from sent bytes whether upload capacity is idle.
type flow struct {
	slotAt mono.Time // when the current slot began
	sent   float64   // bytes in it
	peak   float64   // most bytes in a recent slot
	fullAt mono.Time // when capacity was last used
}

// add counts sent bytes.
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

// superSeeder decides which pieces are offered to each peer: announced to limited peers,
// suggested to guided ones. Every call costs amortised O(1), except release, noteChoke
// and calls that create sets: O(pieces/64).
type superSeeder struct {
	pieces   int
	pieceLen float64
	rarity   rarity

	limited int // peers
	guided  int // peers
	// A piece is free if no leecher has it and none is known to be getting it: it is not
	// in taken, and it is at or after cursor, or in requeued.
	cursor   int
	step     int64 // see pieceAt
	taken    bitset.Set
	requeued fifo.Queue[uint32]
	waiting  bitset.Set // the elements of requeued
	flow     flow
	due      mono.Time // when turn may have work, if nothing happens before

	offers []uint32 // used by turn
}

func newSuperSeeder(pieces int, pieceLen int64, r rarity) superSeeder {
	return superSeeder{pieces: pieces, step: stride(pieces), pieceLen: float64(pieceLen), rarity: r, due: mono.Never}
}

// isOn reports whether a peer is limited to some pieces.
func (s *superSeeder) isOn() bool { return s.limited > 0 }

// limit starts to limit the announcements to p.
func (s *superSeeder) limit(now mono.Time, p *superPeer) {
	s.limited++
	s.enter(now, p)
	p.limited = true
}

// guide starts to make suggestions to p.
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

// release removes p, which has left or has received all announcements. Pieces offered to
// it become free again, except that those it requested stay taken if it is not gone.
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
		s.requeued.Clear()
	} else {
		s.free(p, gone)
	}
	*p = superPeer{}
}

// noteChoke frees the pieces that p was offered but has not requested. p still knows that we
// have them, and may request them when it is unchoked again.
func (s *superSeeder) noteChoke(p *superPeer) {
	if p.unasked > 0 {
		s.free(p, false)
	}
}

// free frees the pieces that p was offered but has not requested and, if asked is set,
// those it requested.
func (s *superSeeder) free(p *superPeer, asked bool) {
	for i := p.shown.Next(0); i >= 0; i = p.shown.Next(i + 1) {
		if !p.asked.Has(i) {
			p.shown.Remove(i)
			p.unasked--
		} else if !asked {
			continue
		}
		s.noteLost(uint32(i))
	}
}

// noteLost records that a piece may be free again.
func (s *superSeeder) noteLost(piece uint32) {
	if s.limited+s.guided > 0 && s.rarity.nobodyHas(piece) && s.taken.Remove(int(piece)) && s.waiting.Add(int(piece)) {
		s.requeued.Push(piece)
	}
}

// noteRequest records that p requests blocks of a piece, or has it.
func (s *superSeeder) noteRequest(p *superPeer, piece uint32) {
	if !p.limited && !p.guided {
		return
	}
	i := int(piece)
	switch {
	case !p.asked.Add(i):
	case p.shown.Add(i): // it was not offered
		s.taken.Add(i)
	default:
		p.unasked--
	}
}

// beginTurns must be called before the turns of all peers, which set when the next are
// due.
func (s *superSeeder) beginTurns() { s.due = mono.Never }

// turn returns the pieces to offer to p now, which are valid until the next call, or
// reports that all pieces must be announced to p.
func (s *superSeeder) turn(now mono.Time, p *superPeer, f superFacts) (offers []uint32, all bool) {
	if p.limited && s.ignoresOffers(now, p, f) {
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

// target returns how many pieces may be offered to p beyond those it requested.
func (s *superSeeder) target(p *superPeer, f superFacts) int {
	bytes := f.rate * offerAhead.Seconds()
	if !f.known {
		bytes = max(bytes, offerBytes)
	}
	ahead := min(max(int(bytes/s.pieceLen), offerMin), offerMax)
	switch {
	case !p.guided && !f.unchoked:
		return offerChoked
	case !p.guided:
		return ahead
	case !f.unchoked:
		return 0
	}
	return min(ahead, suggestMax)
}

// ignoresOffers reports whether p has requested nothing of its offers for too long.
func (s *superSeeder) ignoresOffers(now mono.Time, p *superPeer, f superFacts) (over bool) {
	since, patience := &p.idle, patienceLong
	switch {
	case !f.interested:
		p.idle = mono.Never
		since = &p.since
		if p.unasked > 0 && (f.slotFree || f.unchoked) {
			patience = patienceShort
		}
	case p.since != mono.Never: // it has just become interested
		p.delay = min(p.delay, now.Sub(p.since))
		p.since, p.wasInterested = mono.Never, true
	}
	if f.interested && (f.busy || !f.unchoked) {
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
	for range min(s.requeued.Len(), maxSkips) {
		i := s.requeued.Pop()
		if p.shown.Has(int(i)) && !s.taken.Has(int(i)) { // leave it for another peer
			s.requeued.Push(i)
			continue
		}
		s.waiting.Remove(int(i))
		if !s.taken.Has(int(i)) && s.take(i) {
			return i, true
		}
	}
	for s.cursor < s.pieces {
		i := s.pieceAt(s.cursor)
		s.cursor++
		switch {
		case s.taken.Has(int(i)):
		case p.shown.Has(int(i)): // leave it for another peer
			if s.waiting.Add(int(i)) {
				s.requeued.Push(i)
			}
		case s.take(i):
			return i, true
		}
	}
	return 0, false
}

// pieceAt returns the k-th piece to offer. Consecutive pieces are far apart, so that a peer
// that wants a part of the torrent finds some of it.
func (s *superSeeder) pieceAt(k int) uint32 { return uint32(int64(k) * s.step % int64(s.pieces)) }

// take marks a piece as on its way to a leecher, and reports whether no leecher has it.
func (s *superSeeder) take(piece uint32) bool {
	s.taken.Add(int(piece))
	return s.rarity.nobodyHas(piece)
}
