package engine

import (
	"time"
)

// What is on order at a peer that serves many waits long for its turn. Meanwhile others
// may get the same piece and have nothing else to do for us. So blocks are moved from
// where they would come late, the last requested first, for these are the least likely
// to be on their way.

const (
	// steadyTime is the time constant of the rates by which peers are compared. It is
	// long, as a peer that serves one after the other sends in bursts.
	steadyTime = 10 * time.Second
	// A block is moved if it is on order for stealAge and would take stealFactor times as
	// long as from the other peer, and stealMargin longer.
	stealAge    = time.Second
	stealFactor = 2
	stealMargin = queueTime + time.Second
	// maxStealScan bounds the leases of a peer that are looked at.
	maxStealScan = 64
)

// steal moves to p, which has nothing else to do, blocks that are on order at slower
// peers. It reports whether it moved any.
func (r *requester) steal(p *requestPeer, limit int) bool {
	if p.isDoubtful() || p.choked || !r.slots.available() {
		return false // or there may be more to begin, once there is memory
	}
	rate := p.steadyRate(r)
	if !p.hasDelivered() { // it is taken for an average one, but not with much
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

// latest returns the last lease that p could have, of the peer that will take longest for
// what it has on order, or nil if no peer takes so many seconds.
func (r *requester) latest(p *requestPeer, seconds float64) (best *lease) {
	for _, q := range r.peers.all {
		if q == p || q.out() == 0 {
			continue
		}
		// One block is being sent, and another may be before it can be cancelled.
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

// steadyRate returns bytes a second that p sent, over a longer time than its rate.
func (p *requestPeer) steadyRate(r *requester) float64 {
	known := min(steadyTime, max(r.now.Sub(p.firstAt), time.Second))
	return p.steady.Sum(r.now, steadyTime) / known.Seconds()
}

// stealable returns the last lease of q that p could have instead, or nil.
func (r *requester) stealable(p, q *requestPeer) *lease {
	l := q.leases.newest
	for range maxStealScan {
		if l == nil {
			break
		}
		// The oldest is probably on its way.
		if alone := l.other == nil && l.chunk.piece.block[l.block].held == l; alone && l.prev != nil && r.now.Sub(l.at) > stealAge &&
			r.may(p, l.chunk.piece) && r.admits(p, l.chunk) {
			return l
		}
		l = l.prev
	}
	return nil
}

// move takes l from its peer and requests its block of p.
func (r *requester) move(l *lease, p *requestPeer) {
	q, k, b := l.peer, l.chunk, l.block
	r.drop(l)
	if !q.closing {
		q.cancelled.add(r.now)
		q.dry = false
		r.sink.cancel(q.conn, k.piece.blockOf(b), false)
	}
	k.piece.only = p
	r.grant(p, k, b)
}
