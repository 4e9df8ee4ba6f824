package engine

import (
	"math/bits"
	"slices"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
)

// The bottleneck of a new swarm is the uplink of its only seed: until every piece has
// reached some leecher, a block that the seed sends twice delays all leechers. So the
// seed sends each piece to one leecher first: the one that is expected to pass it on soonest.
// It measures this as follows:
//
//   - A gift is a piece that a leecher has received only from us.
//   - The lag of a gift is the time from its last block until a peer on another host has
//     the piece too. Peers on the same host do not count, because they could confirm one
//     another's gifts.
//
// A host that keeps its gifts, or passes them on slowly, gets its next gift after other
// hosts.
//
// The seed suggests pieces to leechers with the fast extension (BEP 6), so that no two
// leechers request the same piece.

const (
	// giftTime after the last block of a gift, the leecher must have announced the piece,
	// unless it still requests blocks. Otherwise the piece is as urgent as one never
	// given.
	giftTime = 2 * time.Second
	// hoardTime after the last block of a gift, a peer on another host must have the
	// piece. Otherwise the piece is as urgent as one that nobody has.
	hoardTime = 3 * time.Second
	// firstLag is the expected lag of a host without a measurement, and the shortest lag
	// that counts: hosts that confirm one another's gifts instantly are trusted no more
	// than new ones. maxLag bounds the expected lag.
	firstLag = time.Second
	maxLag   = time.Minute
	// lostLag is the lag of a gift whose peer left before passing it on.
	lostLag = 10 * time.Second
	// maxAbsent bounds the hosts remembered without a connection, so that a peer that
	// reconnects is not trusted like a new one.
	maxAbsent = 256
	// maxGifts bounds the pending gifts of a host, because a single block of a piece
	// makes it one. The oldest is forgotten.
	maxGifts = 1024
	// A new lag has the weight 1/lagKeep in a host's average.
	lagKeep = 4
	// maxSuggestScan bounds how many pieces are examined for one suggestion.
	maxSuggestScan = 64
)

// The classes of urgency of a requested piece, most urgent first.
const (
	urgentFresh  = iota // no other peer has it or is getting it, or that peer keeps it
	urgentCopied        // another peer has it and can pass it on
	urgentGiven         // another peer is receiving it and should pass it on
)

// spreadPeer is the state of a peer in spread.
type spreadPeer struct {
	conn      Conn
	host      *spreadHost
	suggested int // the piece suggested last, plus 1; 0 means none
}

// spreadHost is the state of the peers on one host. They do not pass gifts on to one
// another, and together get what one peer would get.
type spreadHost struct {
	id    uint32
	peers int           // connected peers
	gifts []*gift       // pending gifts, in the order in which they began
	lag   time.Duration // moving average of its lags; 0 if none was measured
}

// gift is a piece that a peer received, or is receiving, only from us.
type gift struct {
	piece uint32
	to    *spreadPeer // the peer that receives it
	at    mono.Time   // when its latest block was handed to the shell
}

// spreadFacts answers the questions of spread.
type spreadFacts interface {
	// nobodyHas reports whether no leecher has the piece.
	nobodyHas(piece uint32) bool
	// awaits reports whether a peer has unanswered requests for the piece.
	awaits(conn Conn, piece uint32) bool
}

// spread decides which peer the only seed sends each piece to first. suggest costs
// O(maxSuggestScan), leave O(all gifts of the peer's host), every other call at most
// O(gifts of one peer).
type spread struct {
	facts  spreadFacts
	pieces int              // number of pieces
	given  map[uint32]*gift // pending gifts by piece; never ranged over
	hosts  []*spreadHost    // the host that a peer joined last is at the end
	absent int              // number of hosts without a connected peer

	suggested bitset.Set // pieces currently suggested to a peer; length 0 if there never was one
	step      int64      // see stride
	cursor    int        // number of pieces examined for suggestions, modulo pieces
	examined  int        // pieces examined since one may have become free; when all have been, none is
}

func newSpread(pieces int, facts spreadFacts) spread {
	return spread{facts: facts, pieces: pieces, given: make(map[uint32]*gift), step: stride(pieces)}
}

// join adds a peer. host identifies its host.
func (s *spread) join(conn Conn, host uint32, p *spreadPeer) {
	h := &spreadHost{id: host}
	if i := slices.IndexFunc(s.hosts, func(h *spreadHost) bool { return h.id == host }); i >= 0 {
		h = s.hosts[i]
		s.hosts = slices.Delete(s.hosts, i, i+1)
		if h.peers == 0 {
			s.absent--
		}
	}
	h.peers++
	s.hosts = append(s.hosts, h)
	*p = spreadPeer{conn: conn, host: h}
}

// leave removes p and its gifts. The host is remembered for a while.
func (s *spread) leave(p *spreadPeer) {
	h := p.host
	if h == nil {
		return // it never joined
	}
	for i := len(h.gifts) - 1; i >= 0; i-- {
		if g := h.gifts[i]; g.to == p {
			h.noteLag(lostLag)
			s.end(g)
		}
	}
	s.withdraw(p)
	s.examined = 0 // pieces that only it had are missing again
	p.host = nil
	if h.peers--; h.peers > 0 {
		return
	}
	if s.absent++; s.absent > maxAbsent {
		i := slices.IndexFunc(s.hosts, func(h *spreadHost) bool { return h.peers == 0 })
		s.hosts = slices.Delete(s.hosts, i, i+1)
		s.absent--
	}
}

// end removes a gift that was passed on or never will be.
func (s *spread) end(g *gift) {
	delete(s.given, g.piece)
	s.examined = 0
	h := g.to.host
	i := slices.Index(h.gifts, g)
	h.gifts = slices.Delete(h.gifts, i, i+1)
}

// noteSent records that a block of a piece was handed to the shell for p. The piece
// becomes a gift to p if nobody has it, or if the peer it was given to keeps it.
func (s *spread) noteSent(now mono.Time, p *spreadPeer, piece uint32) {
	g := s.given[piece]
	switch {
	case g != nil && g.to == p:
		g.at = now
		return
	case g != nil && s.isKept(now, g):
		g.to.host.noteLag(now.Sub(g.at))
		s.end(g)
	case g != nil || !s.facts.nobodyHas(piece):
		return
	}
	if len(p.host.gifts) == maxGifts {
		s.end(p.host.gifts[0])
	}
	g = &gift{piece: piece, to: p, at: now}
	s.given[piece] = g
	p.host.gifts = append(p.host.gifts, g)
}

// noteHave records that p has a piece. If it was a gift to a peer on another host, it has
// been passed on.
func (s *spread) noteHave(now mono.Time, p *spreadPeer, piece uint32) {
	if g := s.given[piece]; g != nil && g.to != p && g.to.host != p.host {
		g.to.host.noteLag(now.Sub(g.at))
		s.end(g)
	}
}

func (h *spreadHost) noteLag(lag time.Duration) {
	lag = max(lag, firstLag)
	if h.lag == 0 {
		h.lag = lag
	}
	h.lag += (lag - h.lag) / lagKeep
}

// isKept reports whether the peer that was given a piece has had enough time to pass it
// on and has not done so.
func (s *spread) isKept(now mono.Time, g *gift) bool {
	age := now.Sub(g.at)
	if s.facts.nobodyHas(g.piece) {
		return age > giftTime && !s.facts.awaits(g.to.conn, g.piece)
	}
	return age > hoardTime
}

// urgency ranks a piece that p requests by how much the swarm gains if p gets it now.
func (s *spread) urgency(now mono.Time, p *spreadPeer, piece uint32) urgency {
	g := s.given[piece]
	switch {
	case g == nil && !s.facts.nobodyHas(piece):
		return urgency{class: urgentCopied}
	case g == nil, g.to == p, s.isKept(now, g):
		return urgency{class: urgentFresh, cost: p.host.cost(now)}
	case s.facts.nobodyHas(piece):
		return urgency{class: urgentGiven}
	}
	return urgency{class: urgentCopied}
}

// cost ranks h by the time that it is expected to take to pass on its gifts and one more.
// Each rank spans a factor of four, so that similar hosts share the gifts.
func (h *spreadHost) cost(now mono.Time) int {
	expected := time.Duration(len(h.gifts)+1) * h.expectedLag(now)
	return bits.Len64(uint64(2*expected/firstLag)) / 2
}

// expectedLag returns the expected lag of the next gift to h.
func (h *spreadHost) expectedLag(now mono.Time) time.Duration {
	lag := h.lag
	if lag == 0 {
		lag = firstLag
	}
	if len(h.gifts) > 0 { // its oldest gift may already have taken longer
		lag = max(lag, now.Sub(h.gifts[0].at))
	}
	return min(lag, maxLag)
}

// weight returns the relative share of the uplink that p has earned by passing pieces on:
// 1 if its expected lag is firstLag.
func (s *spread) weight(now mono.Time, p *spreadPeer) float64 {
	return firstLag.Seconds() / p.host.expectedLag(now).Seconds() / float64(p.host.peers)
}

// suggest returns a piece to suggest to p. It returns false if there is none, or while p
// has not received the piece suggested last.
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
		if s.examined >= s.pieces {
			break
		}
		// Consecutive suggestions are far apart, so that a peer that wants only a part of
		// the torrent soon finds a piece of it.
		i := uint32(int64(s.cursor) * s.step % int64(s.pieces))
		s.cursor = (s.cursor + 1) % s.pieces
		s.examined++
		if s.given[i] == nil && s.facts.nobodyHas(i) && s.suggested.Add(int(i)) {
			p.suggested = int(i) + 1
			return i, true
		}
	}
	return 0, false
}

// withdraw makes the piece suggested to p available to others.
func (s *spread) withdraw(p *spreadPeer) {
	if p.suggested > 0 {
		s.suggested.Remove(p.suggested - 1)
		p.suggested, s.examined = 0, 0
	}
}
