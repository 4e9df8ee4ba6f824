package engine

import (
	"math/bits"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
)

// The uplink of the only seed is what a new swarm has least of: until every piece is at
// some leecher, a block that the seed sends twice delays everybody. So the seed sends
// each piece to one leecher first, and chooses the leecher that is expected to pass it on
// soonest. That is measured: a gift is a piece that a leecher has from us alone, and its
// lag is the time until a peer of another host has the piece too. A peer that keeps its
// gifts, or passes them on slowly, gets the next after those that do not.
//
// A leecher with the fast extension is told by a suggestion (BEP 6) which piece to
// request, so that two do not request the same.

const (
	// giftTime after the last block of a gift, the leecher must have it and request no
	// more of it; else the piece is sent to others as if it was never given.
	giftTime = 2 * time.Second
	// hoardTime after the last block of a gift, it is as urgent to send the piece to
	// another peer as to send one that nobody has.
	hoardTime = 3 * time.Second
	// firstLag is the lag that is expected of a peer that was given nothing, and minLag
	// and maxLag bound what is expected of any.
	firstLag = time.Second
	minLag   = 100 * time.Millisecond
	maxLag   = time.Minute
	// lagKeep is the weight of what is known in the average of lags.
	lagKeep = 4
	// maxSuggestScan bounds the pieces that are looked at for a suggestion.
	maxSuggestScan = 64
)

// The classes of urgency, the most urgent first.
const (
	urgentFresh  = iota // no leecher has it or gets it
	urgentCopied        // others have it, from whom it can be had too
	urgentGiven         // it is on its way to a peer that will pass it on
)

// spreadPeer is what is known of a peer as one that passes pieces on.
type spreadPeer struct {
	conn      Conn
	host      uint32        // peers of one host are not told apart
	gifts     []*gift       // not passed on yet, the oldest first
	lag       time.Duration // average; 0 is unknown
	suggested int           // the piece that was suggested last, plus 1; 0 is none
}

// gift is a piece that a peer has, or gets, from us alone.
type gift struct {
	piece uint32
	to    *spreadPeer
	at    mono.Time // when its latest block was handed over
}

// spreadFacts answers what the decisions of spread depend on.
type spreadFacts interface {
	// nobodyHas reports whether no leecher has the piece.
	nobodyHas(piece uint32) bool
	// awaits reports whether a peer requests blocks of the piece that it was not sent.
	awaits(conn Conn, piece uint32) bool
}

// spread decides to whom a seed sends the pieces that no leecher has. Every call costs
// O(gifts of one peer), suggest O(maxSuggestScan).
type spread struct {
	facts  spreadFacts
	pieces int
	given  map[uint32]*gift // to find a gift; never ranged over

	suggested bitset.Set // pieces that are suggested to a peer; of length 0, none
	step      int64      // see stride
	cursor    int        // the next piece to be looked at for a suggestion
	looked    int        // pieces that were looked at in vain since one became free
}

func newSpread(pieces int, facts spreadFacts) spread {
	return spread{facts: facts, pieces: pieces, given: make(map[uint32]*gift), step: stride(pieces)}
}

// join adds a peer. host names the host that it is on.
func (s *spread) join(conn Conn, host uint32, p *spreadPeer) { *p = spreadPeer{conn: conn, host: host} }

// leave forgets p, which is gone, and with it what it was given.
func (s *spread) leave(p *spreadPeer) {
	for len(p.gifts) > 0 {
		s.end(p.gifts[len(p.gifts)-1])
	}
	s.withdraw(p)
}

// end ends a gift: it was passed on, or will not be.
func (s *spread) end(g *gift) {
	delete(s.given, g.piece)
	s.looked = 0
	list := g.to.gifts
	for i, x := range list {
		if x == g {
			g.to.gifts = append(list[:i], list[i+1:]...)
			return
		}
	}
}

// noteSent notes that a block of a piece was handed over for p.
func (s *spread) noteSent(now mono.Time, p *spreadPeer, piece uint32) {
	g := s.given[piece]
	switch {
	case g != nil && g.to == p:
		g.at = now
		return
	case g != nil && s.isKept(now, g):
		g.to.noteLag(now.Sub(g.at))
		s.end(g)
	case g != nil || !s.facts.nobodyHas(piece):
		return
	}
	g = &gift{piece: piece, to: p, at: now}
	s.given[piece] = g
	p.gifts = append(p.gifts, g)
}

// noteHave notes that p has a piece.
func (s *spread) noteHave(now mono.Time, p *spreadPeer, piece uint32) {
	if g := s.given[piece]; g != nil && g.to != p && g.to.host != p.host {
		g.to.noteLag(now.Sub(g.at))
		s.end(g)
	}
}

func (p *spreadPeer) noteLag(lag time.Duration) {
	lag = max(lag, minLag)
	if p.lag == 0 {
		p.lag = lag
	}
	p.lag += (lag - p.lag) / lagKeep
}

// isKept reports whether the peer that was given a piece does not pass it on.
func (s *spread) isKept(now mono.Time, g *gift) bool {
	age := now.Sub(g.at)
	if s.facts.nobodyHas(g.piece) {
		return age > giftTime && !s.facts.awaits(g.to.conn, g.piece)
	}
	return age > hoardTime
}

// urgency ranks a piece that p requests.
func (s *spread) urgency(now mono.Time, p *spreadPeer, piece uint32) urgency {
	g := s.given[piece]
	switch {
	case g == nil && !s.facts.nobodyHas(piece):
		return urgency{class: urgentCopied}
	case g == nil, g.to == p, s.isKept(now, g):
		return urgency{class: urgentFresh, cost: s.cost(now, p)}
	case s.facts.nobodyHas(piece):
		return urgency{class: urgentGiven}
	}
	return urgency{class: urgentCopied}
}

// cost ranks p by the time until it has passed on one more gift. Peers that differ by
// less than a factor of four may rank the same, so that all of them get gifts.
func (s *spread) cost(now mono.Time, p *spreadPeer) int {
	expected := time.Duration(len(p.gifts)+1) * s.expectedLag(now, p)
	return bits.Len64(uint64(expected/minLag)) / 2
}

// expectedLag returns the lag that is expected of the next gift to p.
func (s *spread) expectedLag(now mono.Time, p *spreadPeer) time.Duration {
	lag := p.lag
	if lag == 0 {
		lag = firstLag
	}
	if len(p.gifts) > 0 { // what it keeps for longer than expected tells something too
		lag = max(lag, now.Sub(p.gifts[0].at))
	}
	return min(lag, maxLag)
}

// weight returns the share of the uplink that p deserves as one that passes pieces on.
func (s *spread) weight(now mono.Time, p *spreadPeer) float64 {
	return firstLag.Seconds() / s.expectedLag(now, p).Seconds()
}

// suggest returns a piece that is to be suggested to p. It returns false while there is
// none, or p has not received the one that was suggested last.
func (s *spread) suggest(p *spreadPeer) (piece uint32, ok bool) {
	if p.suggested > 0 {
		i := uint32(p.suggested - 1)
		if g := s.given[i]; s.facts.nobodyHas(i) && (g == nil || g.to == p && s.facts.awaits(p.conn, i)) {
			return 0, false
		}
		s.withdraw(p)
	}
	if s.suggested.Len() == 0 {
		s.suggested = bitset.New(s.pieces)
	}
	for range maxSuggestScan {
		if s.looked >= s.pieces {
			break
		}
		// Pieces that are suggested one after the other lie far apart, so that a peer
		// that wants a part of the torrent finds some of it.
		i := uint32(int64(s.cursor) * s.step % int64(s.pieces))
		s.cursor = (s.cursor + 1) % s.pieces
		s.looked++
		if s.given[i] == nil && s.facts.nobodyHas(i) && s.suggested.Add(int(i)) {
			p.suggested = int(i) + 1
			return i, true
		}
	}
	return 0, false
}

// withdraw lets others be suggested what was suggested to p.
func (s *spread) withdraw(p *spreadPeer) {
	if p.suggested > 0 {
		s.suggested.Remove(p.suggested - 1)
		p.suggested, s.looked = 0, 0
	}
}
