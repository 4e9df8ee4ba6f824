package engine

import (
	"time"

	"seedbed/internal/mono"
)

// This file handles the case that a peer could deliver but no block is free: either all
// slots are occupied (freeSlotFor), or everything is requested already (takeOver, endgame,
// probe).

const (
	// endgameDepth bounds the blocks that are requested from a second peer at once.
	endgameDepth = 16
	// endgameLong is how long the endgame lasts before a block may be requested from
	// three peers instead of two; the limit is at least twice the time per block of the
	// fastest peer. Without it, a small torrent would be fetched three times.
	endgameLong = 2 * time.Second
	// probeAfter is the age at which an outstanding block may be requested from one more
	// peer that has nothing else to do.
	probeAfter = 250 * time.Millisecond
)

// freeSlotFor frees a slot for p when there is none. It drops the least complete of the
// chunks that no firm peer can continue: all their outstanding requests are at weak
// peers. This guarantees progress even with one slot.
func (r *requester) freeSlotFor(p *requestPeer) bool {
	if p.isDoubtful() {
		return false
	}
	var worst *chunk
	for _, pc := range r.pieces.opened {
		for i := range pc.chunk {
			k := &pc.chunk[i]
			if k.state != chunkOpen || k.done == k.blocks || k.out != k.weak || (worst != nil && worst.done <= k.done) {
				continue
			}
			if !r.canFetch(p, pc) && !r.isServable(pc) && r.isStale(k) {
				worst = k
			}
		}
	}
	if worst == nil || !r.canUseSlot(p) {
		return false
	}
	pc := worst.piece
	for b := worst.first; worst.out > 0; b++ {
		for l := pc.block[b].held; l != nil; l = pc.block[b].held {
			r.forfeit(l, false)
		}
	}
	r.dropChunk(worst)
	r.settle(pc)
	return true
}

// isStale reports whether all outstanding requests of k are old.
func (r *requester) isStale(k *chunk) bool {
	for b := k.first; k.out > 0 && b < k.first+k.blocks; b++ {
		for l := k.piece.block[b].held; l != nil; l = l.other {
			if r.now.Sub(l.at) < overtakenAfter {
				return false
			}
		}
	}
	return true
}

// canUseSlot reports whether p could use a free slot to begin something.
func (r *requester) canUseSlot(p *requestPeer) bool {
	if r.unfinished(p) != nil {
		return true
	}
	_, ok := r.pick.rarest(p.has)
	return ok
}

// isServable reports whether a peer that serves us could continue pc.
func (r *requester) isServable(pc *piece) bool {
	for _, q := range r.peers.all {
		if r.isServing(q) && r.canFetch(q, pc) {
			return true
		}
	}
	return false
}

// isEndgame reports whether every missing block has been requested.
func (r *requester) isEndgame() bool {
	return r.pick.idleCount() == 0 && r.keep.held == 0 && len(r.pieces.requestable) == 0 && r.pieces.closed == 0
}

// endgame requests from p blocks that are outstanding at slower peers. It starts at the
// end, because these peers send the last blocks last. When one peer delivers, the others
// get a cancel.
func (r *requester) endgame(p *requestPeer, limit int) bool {
	if !r.isEndgame() {
		r.peers.endgameAt = mono.Never
		return false
	}
	r.peers.endgameAt = min(r.peers.endgameAt, r.now)
	if p.isDoubtful() {
		return false
	}
	copies := 2
	if r.now.Sub(r.peers.endgameAt) > max(endgameLong, 2*r.peers.bestGap) {
		copies = 3
	}
	asked := false
	for _, pc := range r.pieces.opened {
		if !r.canFetch(p, pc) {
			continue
		}
		for i := range pc.chunk {
			k := &pc.chunk[i]
			if k.out == 0 {
				continue
			}
			for b := k.first + k.blocks; b > k.first; b-- {
				if !r.canDuplicate(pc, b-1, p, copies) {
					continue
				}
				r.grant(p, k, b-1)
				if asked = true; p.out() >= limit {
					return true
				}
			}
		}
	}
	return asked
}

// canDuplicate reports whether block b of pc has been requested, but not from p, and from
// fewer than copies peers that are expected to deliver it soon.
func (r *requester) canDuplicate(pc *piece, b uint32, p *requestPeer, copies int) bool {
	n := 0
	for l := pc.block[b].held; l != nil; l = l.other {
		if l.peer == p {
			return false
		}
		age := r.now.Sub(l.at)
		if age < hiccup && l.peer.rate.Rate(r.now) > p.rate.Rate(r.now) {
			return false // it is faster than p
		}
		slow := l.peer.isSlower(r.now, &p.standing) && (age >= weakAfter || (age >= probeAfter && !l.peer.hasDelivered()))
		if !slow && !l.peer.isDoubtful() && l.at > r.overdue(l.peer, p) {
			n++
		}
	}
	return n < copies && pc.block[b].held != nil
}

// takeOver moves overdue blocks of other peers to p, which delivers and has nothing else
// to do.
func (r *requester) takeOver(p *requestPeer, limit int) bool {
	if p.weak && !p.crawls {
		return false
	}
	moved := false
	for _, q := range r.peers.all {
		if q == p || q.out() == 0 {
			continue
		}
		before := r.overdue(q, p)
		for l := q.outstanding.oldest; l != nil && l.at <= before; {
			if p.out() >= limit {
				return moved
			}
			k, b, next := l.chunk, l.block, l.next
			if r.canFetch(p, k.piece) && !r.isContested(k.piece, b, p, q) {
				k.piece.lastAsked = p
				r.grant(p, k, b)
				r.forfeit(l, false)
				moved = true
			}
			l = next
		}
	}
	return moved
}

// probe requests from p, which has nothing else to do, one block that is outstanding at
// other peers, to measure its speed. That needs no additional memory and delays nobody.
func (r *requester) probe(p *requestPeer) bool {
	if r.outstanding.firm > 0 && r.slots.available() && r.mayOpenChunk(p) {
		return false // there is space for regular requests
	}
	if !p.mayProbe(r.now) {
		return false
	}
	var k *chunk
	block, fewest := uint32(0), int(^uint(0)>>1)
	for _, pc := range r.pieces.opened {
		if !r.canFetch(p, pc) {
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
					late = late || r.now.Sub(l.at) >= probeAfter
				}
				if late && n < fewest && pc.requestOf(p, b) == nil {
					k, block, fewest = &pc.chunk[i], b, n
				}
			}
		}
	}
	if k == nil {
		return false
	}
	p.noteProbe(r.now)
	r.grant(p, k, block)
	return true
}
