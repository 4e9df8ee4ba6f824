package engine

import (
	"time"

	"seedbed/internal/mono"
)

// What is done when a peer could deliver and there is nothing free to ask of
// it: because every slot is held (relieve, steal), or because everything is on
// order already (endgame).

const (
	// endgameDepth bounds what is asked twice of one peer.
	endgameDepth = 16
	// endgameLong after the endgame began, or in twice the time that the best peer takes
	// for a block, a block may be on order at three peers; until then at two, so that
	// what is little to begin with is not fetched three times.
	endgameLong = 2 * time.Second
	// probeAfter is the age at which a block that is on order may be asked of one more
	// peer that has nothing else to do.
	probeAfter = 250 * time.Millisecond
)

// relieve frees a slot for p when there is none for it: it drops the least
// complete of the chunks that nobody can go on with, for what is lacking is on
// order nowhere, or at weak peers alone. So there is progress with one slot.
func (e *Engine) relieve(p *peer) bool {
	c := e.content
	if p.down.isDoubtful() {
		return false
	}
	var worst *chunk
	for _, pc := range c.opened {
		for i := range pc.chunk {
			k := &pc.chunk[i]
			if k.state != chunkOpen || k.done == k.blocks || k.out != k.weak || (worst != nil && worst.done <= k.done) {
				continue
			}
			if !e.may(p, pc) && !e.servable(pc) && e.isStale(k) {
				worst = k
			}
		}
	}
	if worst == nil || !e.useful(p) {
		return false
	}
	pc := worst.piece
	for b := worst.first; worst.out > 0; b++ {
		for l := pc.block[b].held; l != nil; l = pc.block[b].held {
			e.forfeit(l, false)
		}
	}
	e.dropChunk(worst)
	e.settle(pc)
	return true
}

// isStale reports whether all that is on order of k has been for a while.
func (e *Engine) isStale(k *chunk) bool {
	for b := k.first; k.out > 0 && b < k.first+k.blocks; b++ {
		for l := k.piece.block[b].held; l != nil; l = l.other {
			if e.now.Sub(l.at) < overtakenAfter {
				return false
			}
		}
	}
	return true
}

// useful reports whether p has something that a free slot would let us begin.
func (e *Engine) useful(p *peer) bool {
	if e.unfinished(p) != nil {
		return true
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
	return c.pick.idleCount() == 0 && len(c.needy) == 0 && c.closed == 0
}

// endgame asks p for blocks that slower peers have on order, the last first,
// for their holders will come to those last. Whoever is first wins; the others
// get a cancel.
func (e *Engine) endgame(p *peer, limit int) bool {
	c := e.content
	if !c.inEndgame() {
		c.endgameAt = mono.Never
		return false
	}
	c.endgameAt = min(c.endgameAt, e.now)
	if p.down.isDoubtful() {
		return false
	}
	copies := 2
	if e.now.Sub(c.endgameAt) > max(endgameLong, 2*e.bestGap) {
		copies = 3
	}
	asked := false
	for _, pc := range c.opened {
		if !e.may(p, pc) {
			continue
		}
		for i := range pc.chunk {
			k := &pc.chunk[i]
			if k.out == 0 {
				continue
			}
			for b := k.first + k.blocks; b > k.first; b-- {
				if !e.isWithin(pc, b-1, p, copies) {
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

// isWithin reports whether block b of pc is on order, but not at p, and at fewer
// peers than so many that can be expected to deliver it soon.
func (e *Engine) isWithin(pc *piece, b uint32, p *peer, copies int) bool {
	n := 0
	for l := pc.block[b].held; l != nil; l = l.other {
		if l.peer == p {
			return false
		}
		age := e.now.Sub(l.at)
		if age < hiccup && l.peer.down.rate.Rate(e.now) > p.down.rate.Rate(e.now) {
			return false // it is faster than p
		}
		slow := l.peer.down.isSlower(e.now, &p.down.standing) && (age >= weakAfter || (age >= probeAfter && !l.peer.down.hasDelivered()))
		if !slow && !l.peer.down.isDoubtful() && l.at > e.overdue(l.peer, p) {
			n++
		}
	}
	return n < copies && pc.block[b].held != nil
}

// takeOver moves to p, which delivers and has nothing else to do, what others
// owe for long.
func (e *Engine) takeOver(p *peer, limit int) bool {
	if p.down.weak && !p.down.crawls {
		return false
	}
	moved := false
	for _, q := range e.peers {
		if q == p || q.down.out() == 0 {
			continue
		}
		before := e.overdue(q, p)
		for l := q.down.leases.oldest; l != nil && l.at <= before; {
			if p.down.out() >= limit {
				return moved
			}
			k, b, next := l.chunk, l.block, l.next
			if e.may(p, k.piece) && !e.isContested(k.piece, b, p, q) {
				k.piece.only = p.conn
				e.grant(p, k, b)
				e.forfeit(l, false)
				moved = true
			}
			l = next
		}
	}
	return moved
}

// probe asks p, which has nothing else to do, for one block that others have on
// order, so that it can show how fast it is. It needs no memory, and nobody waits
// for it.
func (e *Engine) probe(p *peer) bool {
	d, c := &p.down, e.content
	if c.firm > 0 && c.slots.available() && e.mayBegin(p) {
		return false // there is room for what it could be asked for
	}
	if !d.mayProbe(e.now) {
		return false
	}
	var k *chunk
	block, fewest := uint32(0), int(^uint(0)>>1)
	for _, pc := range c.opened {
		if !e.may(p, pc) {
			continue
		}
		for i := range pc.chunk {
			if pc.chunk[i].out == 0 {
				continue
			}
			for b := pc.chunk[i].first; b < pc.chunk[i].first+pc.chunk[i].blocks; b++ {
				n, late := 0, false
				for l := pc.block[b].held; l != nil; l = l.other {
					n++
					late = late || e.now.Sub(l.at) >= probeAfter
				}
				if late && n < fewest && pc.leaseOf(p, b) == nil {
					k, block, fewest = &pc.chunk[i], b, n
				}
			}
		}
	}
	if k == nil {
		return false
	}
	d.noteProbe(e.now)
	e.grant(p, k, block)
	return true
}
