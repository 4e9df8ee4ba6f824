package engine

import "time"

// This file decides what is requested while there is a focus.

const (
	// duplicateAfter is the age at which an outstanding block of the focus is requested from
	// a second peer too.
	duplicateAfter = time.Second
	// focusTime is how many seconds of a peer's rate are kept requested while there is a
	// focus. It is shorter than queueTime, so that the next request is answered soon.
	focusTime = time.Second
	// maxDuplicates is how many blocks may be requested a second time from one peer at once.
	maxDuplicates = 8
	// urgentPieces is the number of missing pieces whose late blocks are requested from
	// busy peers too.
	urgentPieces = 2
)

// setFocus replaces the focus. Requests for other pieces are canceled; blocks of them
// that have arrived are kept while there is space.
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

// nextFocused is nextChunk while there is a focus. It returns the chunk of the first free
// block in the order of the focus.
func (r *requester) nextFocused(p *requestPeer) *chunk {
	for at, index := range r.focus.order {
		if int(index) >= r.n || !p.has.Has(int(index)) || !r.need.Has(int(index)) {
			continue
		}
		pc := r.pieces.open[index]
		if pc == nil {
			if r.mayOpenChunk(p) && r.ensureSlotFor(at) {
				return r.openChunk(r.openPiece(index))
			}
			return nil
		}
		if !r.canFetch(p, pc) {
			continue
		}
		for i := range pc.chunk {
			if k := &pc.chunk[i]; k.requestable && r.mayUseChunk(p, k) {
				return k
			}
		}
		if pc.closed > 0 {
			if r.mayOpenChunk(p) && r.ensureSlotFor(at) {
				return r.openChunk(pc)
			}
			return nil
		}
	}
	return nil
}

// ensureSlotFor reports whether a slot is free for the piece at index at of the focus. If less
// urgent pieces hold all slots, it takes one of theirs.
func (r *requester) ensureSlotFor(at int) bool {
	if r.slots.available() {
		return true
	}
	if r.slots.inUse > r.slots.budget || r.slots.budget == 0 {
		return false
	}
	var last *chunk
	where := at
	for _, pc := range r.pieces.opened {
		place := r.focus.positionOf(pc.index)
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

// duplicateLate requests blocks from p that slower peers have owed for a while: those of the
// first few missing pieces, or of all pieces when p has nothing else to do. When one peer
// delivers, the others get a cancel.
func (r *requester) duplicateLate(p *requestPeer, limit, pieces int) bool {
	if p.choked || p.isDoubtful() {
		return false
	}
	mine := p.rate.Rate(r.now)
	asked := 0
	for _, q := range r.peers.all {
		if q == p || (!q.weak && q.rate.Rate(r.now) >= mine) {
			continue
		}
		for l := q.outstanding.oldest; l != nil; l = l.next {
			if p.out() >= limit || asked == maxDuplicates {
				return asked > 0
			}
			pc := l.chunk.piece
			if r.now.Sub(l.at) < duplicateAfter {
				break // requests are in the order of the requests
			}
			if !r.canFetch(p, pc) || !r.isUrgent(pc.index, pieces) || r.isContested(pc, l.block, p, q) {
				continue
			}
			r.grant(p, l.chunk, l.block)
			asked++
		}
	}
	return asked > 0
}

// isUrgent reports whether piece is among the first missing pieces of the focus.
func (r *requester) isUrgent(piece uint32, first int) bool {
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
