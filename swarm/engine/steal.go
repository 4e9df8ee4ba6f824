package engine

import (
	"time"
)

// A request to a peer that serves many others waits long for its turn. Meanwhile a peer
// that has nothing else for us may get the same piece. So a block is requested from the
// second peer instead, if it would arrive much later from the first. The newest requests
// move first, because their blocks are the least likely to be on their way.

const (
	// steadyTime is the time constant of the rates by which peers are compared. It is
	// long because a peer that serves its peers one after the other sends to each in
	// bursts.
	steadyTime = 10 * time.Second
	// A block moves if it has been outstanding for stealAge and needs stealMargin more
	// than stealFactor times as long as it would from the other peer. Without the minimum
	// age, a block would move back and forth between peers and be sent by several of
	// them.
	stealAge    = time.Second / 2
	stealFactor = 2
	stealMargin = time.Second / 2
	// maxStealScan bounds how many requests of a peer are examined.
	maxStealScan = 64
)

// steal requests from p, which has nothing else to do, blocks that are outstanding at
// slower peers. It reports whether it moved any.
func (r *requester) steal(p *requestPeer, limit int) bool {
	if p.isDoubtful() || p.choked || !r.slots.available() {
		return false // without a slot, p may have pieces to begin once memory is free
	}
	rate := p.steadyRate(r)
	if !p.hasDelivered() { // assume the average rate, and move little
		rate = r.peers.downTotal / float64(max(r.peers.askable, 1))
		limit = min(limit, firstDepth)
	}
	if rate == 0 {
		return false
	}
	moved := false
	for p.out() < limit {
		l := r.latest(p, stealFactor*float64(p.out()+1)*blockSize/rate+stealMargin.Seconds())
		if l == nil {
			break
		}
		r.move(l, p)
		moved = true
	}
	return moved
}

// latest returns the request to move to p: the newest one that p can take, from the peer
// that needs longest for its outstanding blocks. It returns nil if no peer needs longer
// than seconds.
func (r *requester) latest(p *requestPeer, seconds float64) (best *request) {
	for _, q := range r.peers.all {
		if q == p || q.out() == 0 {
			continue
		}
		// One block is being sent, and a second one may be before the cancel arrives.
		wait := float64(q.out()-2) * blockSize / max(q.steadyRate(r), 1)
		if wait <= seconds {
			continue
		}
		if l := r.stealable(p, q); l != nil {
			best, seconds = l, wait
		}
	}
	return best
}

// steadyRate returns the rate of p in bytes per second, over a longer time than p.rate
// does.
func (p *requestPeer) steadyRate(r *requester) float64 {
	known := min(steadyTime, max(r.now.Sub(p.firstAt), time.Second))
	return p.steady.Sum(r.now, steadyTime) / known.Seconds()
}

// stealable returns the newest request of q that can move to p, or nil.
func (r *requester) stealable(p, q *requestPeer) *request {
	l := q.outstanding.newest
	for range maxStealScan {
		if l == nil {
			break
		}
		// The oldest request stays: its block is probably on its way.
		if alone := l.other == nil && l.chunk.piece.block[l.block].held == l; alone && l.prev != nil && r.now.Sub(l.at) > stealAge &&
			r.canFetch(p, l.chunk.piece) && r.mayUseChunk(p, l.chunk) {
			return l
		}
		l = l.prev
	}
	return nil
}

// move cancels request l at its peer and requests the block from p.
func (r *requester) move(l *request, p *requestPeer) {
	q, k, b := l.peer, l.chunk, l.block
	r.drop(l)
	r.sendCancel(q, k.piece.blockOf(b), false)
	q.exhausted = false
	k.piece.lastAsked = p
	r.grant(p, k, b)
}
