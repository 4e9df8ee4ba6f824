package engine

import "time"

// What the engine asks for while there is a focus.

const (
	// hastenAfter is the age at which a block that is lacking in the focus is
	// asked of a second peer too.
	hastenAfter = time.Second
	// focusTime is how much of a peer's flow is kept on order in the focus: less
	// than else, for what is asked next is to come soon.
	focusTime = time.Second
	// hastened bounds what is asked twice of one peer at once.
	hastened = 8
	// urgentPieces are those whose late blocks a busy peer is asked for too.
	urgentPieces = 2
)

// onFocus handles EvFocus. What was ordered of other pieces is cancelled; what
// has come of them stays while there is room for it.
func (e *Engine) onFocus(ev *EvFocus) {
	f := &e.focus
	f.set(ev.Pieces)
	c := e.content
	if c == nil {
		return // it counts from EvInfo on
	}
	e.freed = true
	if !f.on {
		return
	}
	for i := len(c.opened) - 1; i >= 0; i-- {
		pc := c.opened[i]
		if f.has(pc.index) {
			continue
		}
		for j := range pc.chunk {
			k := &pc.chunk[j]
			e.cancelChunk(k)
			if k.state == chunkOpen && k.done == 0 {
				e.dropChunk(k)
			}
		}
		e.settle(pc)
	}
}

// nextFocused is nextChunk while there is a focus: the first free block in its
// order.
func (e *Engine) nextFocused(p *peer) *chunk {
	c := e.content
	for at, index := range e.focus.order {
		if int(index) >= c.n || !p.has.Has(int(index)) || !c.need.Has(int(index)) {
			continue
		}
		pc := c.open[index]
		if pc == nil {
			if e.mayBegin(p) && e.roomFor(at) {
				return e.openChunk(e.start(index))
			}
			return nil
		}
		if !e.may(p, pc) {
			continue
		}
		for i := range pc.chunk {
			if k := &pc.chunk[i]; k.needy && e.admits(p, k) {
				return k
			}
		}
		if pc.closed > 0 {
			if e.mayBegin(p) && e.roomFor(at) {
				return e.openChunk(pc)
			}
			return nil
		}
	}
	return nil
}

// roomFor reports whether a slot is free for place at of the focus, and sees to
// it if less urgent pieces hold them all.
func (e *Engine) roomFor(at int) bool {
	c := e.content
	if c.slots.available() {
		return true
	}
	if c.slots.inUse > c.slots.budget || c.slots.budget == 0 {
		return false
	}
	var last *chunk
	where := at
	for _, pc := range c.opened {
		place := e.focus.placeOf(pc.index)
		for i := range pc.chunk {
			if k := &pc.chunk[i]; k.state == chunkOpen && place > where {
				last, where = k, place
			}
		}
	}
	if last == nil {
		return false
	}
	pc := last.piece
	e.cancelChunk(last)
	e.dropChunk(last)
	e.settle(pc)
	return c.slots.available()
}

// hasten asks p for blocks that slower peers have owed us for a while: of the
// first few pieces that are lacking, or of all when p has nothing else to do.
// Whoever is first wins; the others get a cancel.
func (e *Engine) hasten(p *peer, limit, pieces int) bool {
	if p.down.choked || p.down.isDoubtful() {
		return false
	}
	mine := p.down.rate.Rate(e.now)
	asked := 0
	for _, q := range e.peers {
		if q == p || (!q.down.weak && q.down.rate.Rate(e.now) >= mine) {
			continue
		}
		for l := q.down.leases.oldest; l != nil; l = l.next {
			if p.down.out() >= limit || asked == hastened {
				return asked > 0
			}
			pc := l.chunk.piece
			if e.now.Sub(l.at) < hastenAfter {
				break // they are in the order in which they were asked for
			}
			if !e.may(p, pc) || !e.urgent(pc.index, pieces) || e.isContested(pc, l.block, p, q) {
				continue
			}
			e.grant(p, l.chunk, l.block)
			asked++
		}
	}
	return asked > 0
}

// urgent reports whether a piece is among the first so many that the focus
// lacks.
func (e *Engine) urgent(piece uint32, first int) bool {
	for _, i := range e.focus.order {
		if first == 0 {
			return false
		}
		if i == piece {
			return true
		}
		if int64(i) < int64(e.content.n) && e.content.need.Has(int(i)) {
			first--
		}
	}
	return false
}
