package engine

import "time"

// What is asked for while there is a focus.

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

// setFocus replaces the focus. What was ordered of other pieces is cancelled; what
// has come of them stays while there is room for it.
func (r *requester) setFocus(pieces []uint32) {
	f := &r.focus
	f.set(pieces)
	if !r.isStarted() {
		return
	}
	r.peers.freed = true
	if !f.on {
		return
	}
	for i := len(r.pieces.opened) - 1; i >= 0; i-- {
		pc := r.pieces.opened[i]
		if f.has(pc.index) {
			continue
		}
		for j := range pc.chunk {
			k := &pc.chunk[j]
			r.cancelChunk(k)
			if k.state == chunkOpen && k.done == 0 {
				r.dropChunk(k)
			}
		}
		r.settle(pc)
	}
}

// nextFocused is nextChunk while there is a focus. It returns the chunk of the first
// free block in the order of the focus.
func (r *requester) nextFocused(p *requestPeer) *chunk {
	for at, index := range r.focus.order {
		if int(index) >= r.n || !p.has.Has(int(index)) || !r.need.Has(int(index)) {
			continue
		}
		pc := r.pieces.open[index]
		if pc == nil {
			if r.mayBegin(p) && r.roomFor(at) {
				return r.openChunk(r.openPiece(index))
			}
			return nil
		}
		if !r.may(p, pc) {
			continue
		}
		for i := range pc.chunk {
			if k := &pc.chunk[i]; k.needy && r.admits(p, k) {
				return k
			}
		}
		if pc.closed > 0 {
			if r.mayBegin(p) && r.roomFor(at) {
				return r.openChunk(pc)
			}
			return nil
		}
	}
	return nil
}

// roomFor reports whether a slot is free for place at of the focus. If less urgent
// pieces hold all slots, it takes one from them.
func (r *requester) roomFor(at int) bool {
	if r.slots.available() {
		return true
	}
	if r.slots.inUse > r.slots.budget || r.slots.budget == 0 {
		return false
	}
	var last *chunk
	where := at
	for _, pc := range r.pieces.opened {
		place := r.focus.placeOf(pc.index)
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
	r.cancelChunk(last)
	r.dropChunk(last)
	r.settle(pc)
	return r.slots.available()
}

// hasten requests of p blocks that slower peers have owed us for a while: of the first
// few pieces that are lacking, or of all when p has nothing else to do. When one
// delivers, the others get a cancel.
func (r *requester) hasten(p *requestPeer, limit, pieces int) bool {
	if p.choked || p.isDoubtful() {
		return false
	}
	mine := p.rate.Rate(r.now)
	asked := 0
	for _, q := range r.peers.all {
		if q == p || (!q.weak && q.rate.Rate(r.now) >= mine) {
			continue
		}
		for l := q.leases.oldest; l != nil; l = l.next {
			if p.out() >= limit || asked == hastened {
				return asked > 0
			}
			pc := l.chunk.piece
			if r.now.Sub(l.at) < hastenAfter {
				break // they are in the order in which they were asked for
			}
			if !r.may(p, pc) || !r.urgent(pc.index, pieces) || r.isContested(pc, l.block, p, q) {
				continue
			}
			r.grant(p, l.chunk, l.block)
			asked++
		}
	}
	return asked > 0
}

// urgent reports whether a piece is among the first so many that the focus
// lacks.
func (r *requester) urgent(piece uint32, first int) bool {
	for _, i := range r.focus.order {
		if first == 0 {
			return false
		}
		if i == piece {
			return true
		}
		if int64(i) < int64(r.n) && r.need.Has(int(i)) {
			first--
		}
	}
	return false
}
