package engine

import (
	"time"

	"seedbed/internal/mono"
)

// This file applies the standing of peers: in which chunks a weak peer may have requests,
// and when another peer may take these over.

// recheckEvery is how often idle peers look for work while requests are outstanding at others.
const recheckEvery = 250 * time.Millisecond

// updateWeak updates whether p is weak, and the counts of its requests.
func (r *requester) updateWeak(p *requestPeer) {
	weak := p.closing || p.choked || !p.isFirm()
	if weak == p.weak {
		return
	}
	for l := p.outstanding.oldest; l != nil; l = l.next {
		r.countRequest(p, l.chunk, -1)
	}
	p.weak = weak
	for l := p.outstanding.oldest; l != nil; l = l.next {
		r.countRequest(p, l.chunk, 1)
	}
}

// measurePeers measures the total rate of all peers and the speed of the fastest. It is
// called once per second.
func (r *requester) measurePeers() {
	r.peers.downTotal, r.peers.bestGap = 0, 0
	fastest := 0.0
	for _, p := range r.peers.all {
		if !r.isAskable(p) {
			continue
		}
		rate := p.rate.Rate(r.now)
		r.peers.downTotal += rate
		fastest = max(fastest, rate)
		if gap := p.gap; gap > 0 && (gap < r.peers.bestGap || r.peers.bestGap == 0) {
			r.peers.bestGap = gap
		}
	}
	for _, p := range r.peers.all {
		// The rate of a peer without requests says nothing about its speed.
		if l := p.outstanding.oldest; l != nil && r.now.Sub(l.at) >= hiccup {
			p.crawls = p.rate.Rate(r.now)*crawlFactor < fastest
		}
		r.updateWeak(p)
	}
}

// isAskable reports whether more than one block can be requested from p.
func (r *requester) isAskable(p *requestPeer) bool {
	return !p.closing && !p.choked && p.interested && !p.isDoubtful()
}

// checkOverdue snubs p if its requests have been outstanding for too long, and cancels requests
// that will not be answered. It is called once per second.
func (r *requester) checkOverdue(p *requestPeer) {
	p.exhausted = false
	l := p.outstanding.oldest
	if l == nil {
		return
	}
	quiet := r.now.Sub(max(l.at, p.lastBlock))
	if quiet > p.snubTimeout(r.peers.bestGap) {
		p.snubbed = true
		r.updateWeak(p)
	}
	switch {
	case quiet > snubAfter, p.choked && r.now.Sub(max(l.at, p.chokedAt)) > rejectAfter && len(p.allowed) == 0:
		r.release(p, false)
	default:
		// The peer answers other requests but has skipped this one for so long that it
		// must have dropped it silently, as peers without the fast extension do.
		for l := p.outstanding.oldest; l != nil && r.now.Sub(l.at) > snubAfter; l = p.outstanding.oldest {
			r.cancel(l, false)
		}
	}
}

// scheduleRecheck makes idle peers look for work again soon. By then blocks at other peers may
// be overdue.
func (r *requester) scheduleRecheck() {
	r.peers.recheckAt = min(r.peers.recheckAt, r.now.Add(recheckEvery))
}

// overdue returns a time: p may take over blocks that were requested from q before it.
func (r *requester) overdue(q, p *requestPeer) mono.Time {
	if q.closing || (q.choked && len(q.allowed) == 0) {
		return r.now
	}
	return q.overdue(r.now, &p.standing, p.out() == 0)
}

// isContested reports whether block b of pc is requested from p, or from a third peer
// that is expected to deliver it.
func (r *requester) isContested(pc *piece, b uint32, p, q *requestPeer) bool {
	for l := pc.block[b].held; l != nil; l = l.other {
		d := l.peer
		if l.peer == p || (l.peer != q && d.hasDelivered() && !d.isDoubtful() && l.at > r.overdue(l.peer, p)) {
			return true
		}
	}
	return false
}

// weakLimit returns in how many chunks weak peers may have requests.
func (r *requester) weakLimit() int {
	if r.outstanding.firm == 0 { // no other peer makes progress
		return r.slots.budget - r.slots.budget/4
	}
	return r.slots.budget / 4
}

// mayOpenChunk reports whether blocks of one more chunk may be requested from p.
func (r *requester) mayOpenChunk(p *requestPeer) bool {
	return !p.weak || r.outstanding.weakChunks < r.weakLimit()
}

// mayUseChunk reports whether blocks of k may be requested from p.
func (r *requester) mayUseChunk(p *requestPeer, k *chunk) bool {
	return k.weak > 0 || r.mayOpenChunk(p)
}
