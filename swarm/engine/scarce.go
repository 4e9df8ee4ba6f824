package engine

import (
	"time"

	"seedbed/internal/mono"
)

// What is done when a peer could deliver and there is nothing free to ask of
// it: because every slot is held (relieve, steal), or because everything is on
// order already (endgame).

const (
	// stealAfter is the age at which a slow peer's lease may be moved to an
	// idle one when memory is short.
	stealAfter = 4 * time.Second
	// endgameDepth bounds what is asked twice of one peer.
	endgameDepth = 16
	// endgameLong after the endgame began a block may be on order at three peers; until
	// then at two, so that what is little to begin with is not fetched three times.
	endgameLong = 2 * time.Second
)

// relieve frees a slot for p when all are held by chunks that nobody can go on
// with: it drops the least complete of those. So there is progress with one slot.
func (e *Engine) relieve(p *peer) bool {
	c := e.content
	var worst *chunk
	for _, k := range c.needy {
		if k.free+k.done != k.blocks || (worst != nil && worst.done <= k.done) {
			continue
		}
		if !e.servable(k.piece) {
			worst = k
		}
	}
	if worst == nil || !e.useful(p) {
		return false
	}
	pc := worst.piece
	e.dropChunk(worst)
	e.settle(pc)
	return true
}

// useful reports whether p has something that a free slot would let us begin.
func (e *Engine) useful(p *peer) bool {
	for _, pc := range e.content.opened {
		if pc.closed > 0 && e.may(p, pc) {
			return true
		}
	}
	_, ok := e.content.pick.rarest(p.has, p.nHas)
	return ok
}

// servable reports whether a peer that serves us could go on with pc.
func (e *Engine) servable(pc *piece) bool {
	for _, q := range e.peers {
		if e.serves(q) && e.may(q, pc) {
			return true
		}
	}
	return false
}

// inEndgame: every block that is lacking is on order somewhere.
func (c *content) inEndgame() bool {
	if len(c.pick.order) > 0 || len(c.needy) > 0 {
		return false
	}
	for _, pc := range c.opened {
		if pc.closed > 0 {
			return false
		}
	}
	return true
}

// endgame asks p for blocks that slower peers have on order, the last first,
// for their holders will come to those last. Whoever is first wins; the others
// get a cancel.
func (e *Engine) endgame(p *peer, limit int) bool {
	c := e.content
	if p.down.out() > 0 {
		return false
	}
	if !c.inEndgame() {
		c.endgameAt = mono.Never
		return false
	}
	c.endgameAt = min(c.endgameAt, e.now)
	copies := uint8(2)
	if e.now.Sub(c.endgameAt) > endgameLong {
		copies = 3
	}
	asked := false
	for _, pc := range c.opened {
		if !e.may(p, pc) {
			continue
		}
		for i := range pc.chunk {
			k := &pc.chunk[i]
			if k.state != chunkOpen {
				continue
			}
			for b := k.first + k.blocks; b > k.first; b-- {
				s := &pc.block[b-1]
				if s.done || s.leases == 0 || s.leases >= copies || p.down.find(pc.blockOf(b-1)) >= 0 {
					continue
				}
				e.grant(p, k, b-1)
				if asked = true; p.down.out() >= limit {
					return true
				}
			}
		}
	}
	return asked
}

// steal moves leases from a peer that is snubbed or far slower to p, which has
// nothing to do because every slot is taken.
func (e *Engine) steal(p *peer, limit int) bool {
	if e.content.slots.available() {
		return false
	}
	limit = min(limit, endgameDepth)
	mine := p.down.rate.Rate(e.now)
	moved := false
	for _, q := range e.peers {
		if q == p || q.down.out() == 0 {
			continue
		}
		slower := q.down.snubbed || q.closing || q.down.rate.Rate(e.now)*4 < mine
		for i := q.down.out() - 1; slower && i >= 0 && p.down.out() < limit; i-- {
			l := q.down.queue[q.down.head+i]
			if e.now.Sub(l.at) < stealAfter || l.chunk.piece.block[l.block].leases != 1 || !e.may(p, l.chunk.piece) {
				continue
			}
			e.cancel(q, i, false)
			e.leaseBlock(p, l.chunk, l.block)
			moved = true
		}
	}
	return moved
}

// leaseBlock leases one free block.
func (e *Engine) leaseBlock(p *peer, k *chunk, b uint32) {
	k.free--
	e.setNeedy(k)
	e.grant(p, k, b)
}
