package engine

import "time"

// This file decides what is requested while there is a focus.

const (
	// focusTime is how many seconds of a peer's rate are kept requested while there is a
	// focus. It is shorter than queueTime, so that the next request is answered soon.
	focusTime = time.Second
	// urgentPieces is the number of missing pieces whose late blocks are requested from
	// busy peers too.
	urgentPieces = 2
)

// setFocus replaces the focus. If its most urgent pieces were not in the old one, a reader has begun or
// jumped: requests for other pieces are canceled, so that peers send the new ones next. Without
// rest this is always so. Blocks of other pieces that have arrived are kept while there is space.
func (r *requester) setFocus(pieces []uint32, rest bool) {
	f := &r.focus
	had := f.position
	f.set(pieces, rest)
	if !r.isStarted() {
		return
	}
	r.peers.freed = true
	if !f.on || f.rest && !r.hasJumped(had) {
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
			if k.state == chunkOpen && k.done == 0 && !f.rest {
				r.dropChunk(k)
			}
		}
		r.settle(pc)
	}
}

// isFocused reports whether a piece of the focus is missing.
func (r *requester) isFocused() bool {
	for _, piece := range r.focus.order {
		if r.isMissing(piece) {
			return true
		}
	}
	return r.focus.isOnly()
}

// isMissing reports whether a piece of the focus exists and is needed.
func (r *requester) isMissing(piece uint32) bool {
	return int64(piece) < int64(r.n) && r.need.Has(int(piece))
}

// hasJumped reports whether one of the most urgent pieces of the focus is missing and was not in the
// old one.
func (r *requester) hasJumped(old map[uint32]int) bool {
	for _, piece := range r.focus.order[:min(len(r.focus.order), urgentPieces)] {
		if _, ok := old[piece]; !ok && r.isMissing(piece) {
			return true
		}
	}
	return false
}

// nextFocused is nextChunk while there is a focus. It returns the chunk of the first free
// block in the order of the focus.
func (r *requester) nextFocused(p *requestPeer) *chunk {
	for at, index := range r.focus.order {
		if !r.isMissing(index) || !p.has.Has(int(index)) || r.focus.rest && r.isForFaster(p, index) {
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

// fastPart is the part of the rate of the fastest peer that a peer must reach to be asked for what a
// reader needs, if others can be.
const fastPart = 4

// isForFaster reports whether a piece of the focus is left to a faster peer than p. A slow peer, or
// one that has sent nothing yet, would hold up the reader; it sends other pieces meanwhile.
func (r *requester) isForFaster(p *requestPeer, piece uint32) bool {
	if f := &r.focus; f.topAt != r.now {
		f.topAt, f.top = r.now, 0
		for _, q := range r.peers.all {
			f.top = max(f.top, q.rate.Rate(r.now))
		}
	}
	if r.isFast(p) {
		return false
	}
	for _, q := range r.peers.all {
		if r.isFast(q) && q.has.Has(int(piece)) && r.isServing(q) {
			return true
		}
	}
	return false
}

func (r *requester) isFast(p *requestPeer) bool {
	return !p.weak && p.rate.Rate(r.now)*fastPart >= r.focus.top && r.focus.top > 0
}

// ensureSlotFor reports whether a slot is free for the piece at index at of the focus. If all
// slots hold less urgent pieces, it frees one of them.
func (r *requester) ensureSlotFor(at int) bool {
	if r.slots.available() {
		return true
	}
	if r.slots.inUse > r.slots.budget || r.slots.budget == 0 {
		return false
	}
	var last *chunk
	lastPosition := at
	for _, pc := range r.pieces.opened {
		place := r.focus.positionOf(pc.index)
		for i := range pc.chunk {
			if k := &pc.chunk[i]; k.state == chunkOpen && place > lastPosition {
				last, lastPosition = k, place
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

// duplicateFocus requests late blocks of the focus from p: those of the first few missing pieces, or of
// all pieces if p has nothing else to do. It reports whether it requested any.
func (r *requester) duplicateFocus(p *requestPeer, limit, pieces int) bool {
	return r.duplicateLate(p, limit, func(piece uint32) bool { return r.isUrgent(piece, pieces) })
}

// nearPart is the part of a focus in which pieces can be urgent while others are requested too. A
// reader with more than that ahead of it does not wait soon, and a second request would often be
// wasted.
const nearPart = 4

// isUrgent reports whether piece is among the first missing pieces of the focus.
func (r *requester) isUrgent(piece uint32, first int) bool {
	near := len(r.focus.order)
	if r.focus.rest {
		near = (near + nearPart - 1) / nearPart
	}
	for _, i := range r.focus.order[:near] {
		if first == 0 {
			return false
		}
		if i == piece {
			return true
		}
		if r.isMissing(i) {
			first--
		}
	}
	return false
}
