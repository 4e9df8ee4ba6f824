package engine

import (
	"slices"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// This file finds out which blocks of outdated pieces are right. When a large file has changed in a few
// places, most blocks of each changed piece are on the disk, at the place where they belong. BEP 52: the
// hashes of its blocks, which peers send, prove which ones.

const (
	// compareWindow is how many pieces a peer is asked about at the same time.
	compareWindow = 16
	// maxCompared limits the pieces that are being compared, or have been and are not verified.
	maxCompared = 128
	// compareRetry is how long a peer is not asked after a reject. After compareRejects in a row it is not
	// asked any more.
	compareRetry   = 2 * time.Second
	compareRejects = 3
	// When fruitlessAfter pieces in a row had no right block, as after an insertion, only some of the
	// next ones are compared: after n pieces without one, the next n are requested as a whole, but at
	// most maxSkip.
	fruitlessAfter = 8
	maxSkip        = 64
	// Outdated pieces wait at most comparePatience seconds without an answer, or unansweredPatience
	// if no peer can answer.
	comparePatience    = 10
	unansweredPatience = 3
)

// comparison is the state of the torrent for outdated pieces.
type comparison struct {
	left      bitset.Set // pieces to ask about; the requester holds them back
	n         int        // how many
	from      int        // no piece before this one is left
	out       int        // pieces that a peer was asked about, or that the shell compares
	fruitless int        // pieces in a row that had no right block
	skip      int        // pieces to request as a whole
	silent    int        // seconds since the last answer
}

// comparePeer is the state of a peer for outdated pieces.
type comparePeer struct {
	asked   []uint32  // pieces
	at      mono.Time // time of the last request or answer
	window  int       // how many pieces it is asked about at once
	rejects int       // in a row
	useless bool      // it does not answer
	pause   mono.Time // it is not asked before
}

// beginComparison holds the outdated pieces back until they are compared.
func (e *Engine) beginComparison(outdated bitset.Set) {
	c := e.content
	if outdated.Len() == 0 || !c.info.HasV2() {
		return
	}
	left := bitset.New(c.n)
	for i := range outdated.All() {
		if _, ok := c.info.LeafRequest(i); ok && e.req.need.Has(i) {
			left.Add(i)
		}
	}
	if e.comparison = (comparison{left: left, n: left.Count()}); e.comparison.n > 0 {
		e.req.holdBack(left)
	}
}

// askComparisons requests the hashes of the blocks of outdated pieces.
func (e *Engine) askComparisons() {
	if e.comparison.n == 0 || e.paused {
		return
	}
	for _, p := range e.peers {
		e.askComparisonsOf(p)
	}
}

func (e *Engine) askComparisonsOf(p *peer) {
	c, s := &e.comparison, &p.compare
	if !p.canCompare() || e.now < s.pause || p.down.has.Len() != e.content.n {
		return
	}
	if s.window == 0 {
		s.window = compareWindow
	}
	for c.n > 0 && len(s.asked) < s.window && c.out+len(e.req.keep.blocks) < maxCompared {
		c.from = max(c.left.Next(c.from), 0)
		i := c.left.NextAnd(p.down.has, c.from)
		if i < 0 {
			return
		}
		c.left.Remove(i)
		c.n--
		piece := uint32(i)
		if c.skip > 0 {
			c.skip--
			e.req.letGo(piece)
		}
		if !e.req.keep.holds(piece) {
			continue
		}
		q, _ := e.content.info.LeafRequest(i)
		if len(s.asked) == 0 {
			s.at = e.now
		}
		s.asked = append(s.asked, piece)
		c.out++
		e.sendHash(p, wire.HashRequest, q, nil)
	}
}

// canCompare reports whether the peer can be asked for hashes.
func (p *peer) canCompare() bool { return p.v2 && !p.closing && !p.compare.useless }

// onBlockHashes handles the answer to a request of askComparisons, and reports whether it is one.
func (e *Engine) onBlockHashes(p *peer, t wire.Type, q metainfo.HashRequest, hashes []byte) bool {
	c, s := &e.comparison, &p.compare
	k := slices.IndexFunc(s.asked, func(piece uint32) bool {
		want, _ := e.content.info.LeafRequest(int(piece))
		return want == q
	})
	if k < 0 {
		return false
	}
	piece := s.asked[k]
	s.asked, s.at = slices.Delete(s.asked, k, k+1), e.now
	e.wasUseful = true
	if t == wire.HashReject {
		e.askAgain(piece)
		s.rejects++
		s.window, s.pause = max(s.window/2, 1), e.now.Add(compareRetry)
		s.useless = s.rejects >= compareRejects
		return true
	}
	leaves, ok := e.content.info.CheckLeaves(int(piece), hashes)
	if !ok {
		e.askAgain(piece)
		e.punish(p)
		return true
	}
	s.rejects, c.silent = 0, 0
	e.cmd(Command{Kind: CmdCompare, Block: Block{Piece: piece}, Leaves: leaves})
	return true
}

// askAgain makes a piece that a peer did not answer one to ask about.
func (e *Engine) askAgain(piece uint32) {
	c := &e.comparison
	c.out--
	if e.req.keep.holds(piece) && c.left.Add(int(piece)) {
		c.n++
		c.from = min(c.from, int(piece))
	}
}

// onCompared handles EvCompared.
func (e *Engine) onCompared(ev *EvCompared) {
	c := &e.comparison
	c.out--
	e.req.keepBlocks(ev.Piece, ev.Kept)
	if ev.Kept.Len() > 0 {
		c.fruitless, c.skip = 0, 0
		return
	}
	if c.fruitless++; c.fruitless >= fruitlessAfter {
		c.skip = min(c.fruitless, maxSkip)
	}
}

// stopAsking takes back what a peer was asked.
func (e *Engine) stopAsking(p *peer) {
	for _, piece := range p.compare.asked {
		e.askAgain(piece)
	}
	p.compare.asked = nil
}

// comparisonUpkeep handles timeouts; it is called once per second.
func (e *Engine) comparisonUpkeep() {
	c := &e.comparison
	if e.req.keep.held == 0 || e.paused {
		return
	}
	canAnswer := false
	for _, p := range e.peers {
		if s := &p.compare; len(s.asked) > 0 && e.now.Sub(s.at) > hashTimeout {
			s.useless = true
			e.stopAsking(p)
		}
		canAnswer = canAnswer || p.canCompare()
	}
	c.silent++
	if len(e.req.keep.blocks) >= maxCompared/2 { // blocks of these have to arrive first
		c.silent = 0
	}
	if c.silent >= comparePatience || c.silent >= unansweredPatience && !canAnswer {
		e.endComparison()
	}
}

// endComparison requests the pieces that are still held back as a whole.
func (e *Engine) endComparison() {
	for i := range e.req.keep.holding.All() {
		e.req.letGo(uint32(i))
	}
	e.comparison.left.Clear()
	e.comparison.n = 0
}
