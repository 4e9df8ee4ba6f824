package engine

import (
	"time"

	"seedbed/internal/mono"
)

// What is done when a peer could deliver and no block is free: because every slot is
// held (relieve), or because everything is on order already (takeOver, endgame, probe).

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

// relieve frees a slot for p when there is none for it. Nobody can go on with a chunk
// whose missing blocks are on order nowhere, or at weak peers alone. Of those chunks it
// drops the least complete. So there is progress with one slot.
func (r *requester) relieve(p *requestPeer) bool {
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
			if !r.may(p, pc) && !r.servable(pc) && r.isStale(k) {
				worst = k
			}
		}
	}
	if worst == nil || !r.useful(p) {
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

// isStale reports whether all that is on order of k has been for a while.
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

// useful reports whether p has something that a free slot would let us begin.
func (r *requester) useful(p *requestPeer) bool {
	if r.unfinished(p) != nil {
		return true
	}
	_, ok := r.pick.rarest(p.has, p.nHas)
	return ok
}

// servable reports whether a peer that serves us could go on with pc.
func (r *requester) servable(pc *piece) bool {
	for _, q := range r.peers.all {
		if r.serves(q) && r.may(q, pc) {
			return true
		}
	}
	return false
}

// inEndgame reports whether every block that is lacking is on order somewhere.
func (r *requester) inEndgame() bool {
	return r.pick.idleCount() == 0 && len(r.pieces.needy) == 0 && r.pieces.closed == 0
}

// endgame requests of p the blocks that slower peers have on order. It begins with the
// last, as these peers send them last. When one delivers, the others get a cancel.
func (r *requester) endgame(p *requestPeer, limit int) bool {
	if !r.inEndgame() {
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
		if !r.may(p, pc) {
			continue
		}
		for i := range pc.chunk {
			k := &pc.chunk[i]
			if k.out == 0 {
				continue
			}
			for b := k.first + k.blocks; b > k.first; b-- {
				if !r.isWithin(pc, b-1, p, copies) {
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

// isWithin reports whether block b of pc is on order, but not at p, and at fewer
// peers than so many that can be expected to deliver it soon.
func (r *requester) isWithin(pc *piece, b uint32, p *requestPeer, copies int) bool {
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

// takeOver moves the blocks that others owe for long to p, which delivers and has
// nothing else to do.
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
		for l := q.leases.oldest; l != nil && l.at <= before; {
			if p.out() >= limit {
				return moved
			}
			k, b, next := l.chunk, l.block, l.next
			if r.may(p, k.piece) && !r.isContested(k.piece, b, p, q) {
				k.piece.only = p
				r.grant(p, k, b)
				r.forfeit(l, false)
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
func (r *requester) probe(p *requestPeer) bool {
	if r.leases.firm > 0 && r.slots.available() && r.mayBegin(p) {
		return false // there is room for what it could be asked for
	}
	if !p.mayProbe(r.now) {
		return false
	}
	var k *chunk
	block, fewest := uint32(0), int(^uint(0)>>1)
	for _, pc := range r.pieces.opened {
		if !r.may(p, pc) {
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
				if late && n < fewest && pc.leaseOf(p, b) == nil {
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
