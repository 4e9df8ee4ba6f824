package engine

import (
	"math/bits"
	"slices"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
)

// The bottleneck of a new swarm is the uplink of its only seed: until every piece is at
// some leecher, a block that the seed sends twice delays everybody. So the seed sends
// each piece to one leecher first, and chooses the leecher that is expected to pass it on
// soonest. It measures how soon that is:
//
//   - A gift is a piece that a leecher has from us alone.
//   - The lag of a gift is the time from its last block until a peer on another host has
//     the piece too. Peers on one host could confirm one another's gifts.
//
// A host that keeps its gifts, or passes them on slowly, gets its next gift after the
// hosts that do not.
//
// The seed tells a leecher with the fast extension which piece to request by a suggestion
// (BEP 6), so that two leechers do not request the same piece.

const (
	// giftTime after the last block of a gift, a leecher that requests no more of the
	// piece must have it. Otherwise the piece is as urgent as one that was never given.
	giftTime = 2 * time.Second
	// hoardTime after the last block of a gift, a peer on another host must have the
	// piece. Otherwise the piece is as urgent as one that nobody has.
	hoardTime = 3 * time.Second
	// firstLag is the lag that is expected of a host before one was measured. Nothing is
	// gained by a shorter lag: hosts that confirm one another's gifts at once are trusted
	// no more than newcomers. maxLag bounds the lag that is expected of any host.
	firstLag = time.Second
	maxLag   = time.Minute
	// lostLag is the lag of a gift to a peer that left before it passed the gift on.
	lostLag = 10 * time.Second
	// maxAbsent hosts without a connection are remembered, so that a peer that connects
	// again is not trusted like a new one.
	maxAbsent = 256
	// maxGifts bounds the gifts of a host that are not passed on: one block each of so
	// many pieces is enough to make us remember them. The oldest is forgotten.
	maxGifts = 1024
	// A new lag counts for one part in lagKeep of a host's average.
	lagKeep = 4
	// maxSuggestScan bounds how many pieces are examined for one suggestion.
	maxSuggestScan = 64
)

// The classes of urgency of a piece that a peer requests, the most urgent first.
const (
	urgentFresh  = iota // no other peer has it or gets it, or the one that does keeps it
	urgentCopied        // another peer has it and can pass it on
	urgentGiven         // it is on its way to another peer, which is to pass it on
)

// spreadPeer is what spread knows of a peer.
type spreadPeer struct {
	conn      Conn
	host      *spreadHost
	suggested int // the piece that was suggested last, plus 1; 0 is none
}

// spreadHost is what spread knows of the peers on one host. They do not pass gifts on to
// one another, and together get what one peer would get.
type spreadHost struct {
	id    uint32
	peers int           // that are connected
	gifts []*gift       // that are not passed on yet, in the order in which they began
	lag   time.Duration // moving average; 0 if none was measured
}

// gift is a piece that a peer received, or is receiving, from us alone.
type gift struct {
	piece uint32
	to    *spreadPeer
	at    mono.Time // when its latest block was handed to the shell
}

// spreadFacts answers what the decisions of spread depend on.
type spreadFacts interface {
	// nobodyHas reports whether no leecher has the piece.
	nobodyHas(piece uint32) bool
	// awaits reports whether requests of a peer for blocks of the piece are unanswered.
	awaits(conn Conn, piece uint32) bool
}

// spread decides to which peer the only seed sends each piece first. suggest costs
// O(maxSuggestScan), every other call but leave O(gifts of one peer).
type spread struct {
	facts  spreadFacts
	pieces int
	given  map[uint32]*gift // to find a gift; never ranged over
	hosts  []*spreadHost    // the host that was joined last is at the end
	absent int              // hosts without a peer

	suggested bitset.Set // pieces that are suggested to some peer; of length 0 if none ever was
	step      int64      // see stride
	cursor    int        // counts the pieces examined for suggestions, modulo pieces
	looked    int        // pieces examined since one may have become free; if all were, there is none
}

func newSpread(pieces int, facts spreadFacts) spread {
	return spread{facts: facts, pieces: pieces, given: make(map[uint32]*gift), step: stride(pieces)}
}

// join adds a peer. host identifies the host that it is on.
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

// leave forgets p, which is gone, and its gifts. It remembers the host for a while.
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
	s.looked = 0 // what it alone had is at nobody again
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

// end forgets a gift, which was passed on or never will be.
func (s *spread) end(g *gift) {
	delete(s.given, g.piece)
	s.looked = 0
	h := g.to.host
	i := slices.Index(h.gifts, g)
	h.gifts = slices.Delete(h.gifts, i, i+1)
}

// noteSent records that a block of a piece was handed to the shell for p. The piece
// becomes a gift to p if nobody has it, or if the peer that it was given to keeps it.
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

// noteHave records that p has a piece: if it was a gift to a peer on another host, it was
// passed on.
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

// isKept reports whether the peer that was given a piece had enough time to pass it on
// and did not.
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

// cost ranks h by the time that it is expected to need to pass on its gifts and one more.
// Each rank spans a factor of four, so that hosts that differ less share the gifts.
func (h *spreadHost) cost(now mono.Time) int {
	expected := time.Duration(len(h.gifts)+1) * h.expectedLag(now)
	return bits.Len64(uint64(2*expected/firstLag)) / 2
}

// expectedLag returns the lag that is expected of the next gift to h.
func (h *spreadHost) expectedLag(now mono.Time) time.Duration {
	lag := h.lag
	if lag == 0 {
		lag = firstLag
	}
	if len(h.gifts) > 0 { // its oldest gift may have taken longer already
		lag = max(lag, now.Sub(h.gifts[0].at))
	}
	return min(lag, maxLag)
}

// weight returns the share of the uplink that p deserves for passing pieces on: 1 if it
// is expected to take firstLag.
func (s *spread) weight(now mono.Time, p *spreadPeer) float64 {
	return firstLag.Seconds() / p.host.expectedLag(now).Seconds() / float64(p.host.peers)
}

// suggest returns a piece to suggest to p. It returns false if there is none, or while p
// has not received the piece that was suggested to it last.
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
		// that wants only a part of the torrent soon finds a piece of it.
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

// withdraw allows the piece that was suggested to p to be suggested to others.
func (s *spread) withdraw(p *spreadPeer) {
	if p.suggested > 0 {
		s.suggested.Remove(p.suggested - 1)
		p.suggested, s.looked = 0, 0
	}
}
