package engine

import (
	"time"

	"seedbed/internal/mono"
)

// What follows from the standing of peers: where a weak one may have blocks on
// order, and when another may take these over.

// lookEvery is how often idle peers are looked at while others owe blocks.
const lookEvery = 250 * time.Millisecond

// judge sets whether p is weak, and moves its leases to the right counts.
func (r *requester) judge(p *requestPeer) {
	weak := p.closing || p.choked || !p.isFirm()
	if weak == p.weak {
		return
	}
	for l := p.leases.oldest; l != nil; l = l.next {
		r.countLease(p, l.chunk, -1)
	}
	p.weak = weak
	for l := p.leases.oldest; l != nil; l = l.next {
		r.countLease(p, l.chunk, 1)
	}
}

// measurePeers measures how fast all peers are together, and how fast the best one
// is. It is called once a second.
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
		// The rate of one that had nothing to do says nothing.
		if l := p.leases.oldest; l != nil && r.now.Sub(l.at) >= hiccup {
			p.crawls = p.rate.Rate(r.now)*crawlFactor < fastest
		}
		r.judge(p)
	}
}

// isAskable reports whether p can be asked for more than one block.
func (r *requester) isAskable(p *requestPeer) bool {
	return !p.closing && !p.choked && p.interested && !p.isDoubtful()
}

// checkDebts snubs p if p owes blocks for too long, and gives up those that will not
// arrive. It is called once a second.
func (r *requester) checkDebts(p *requestPeer) {
	p.dry = false
	l := p.leases.oldest
	if l == nil {
		return
	}
	quiet := r.now.Sub(max(l.at, p.lastBlock))
	if quiet > p.patience(r.peers.bestGap) {
		p.snubbed = true
		r.judge(p)
	}
	switch {
	case quiet > snubAfter, p.choked && r.now.Sub(max(l.at, p.chokedAt)) > rejectAfter && len(p.allowed) == 0:
		r.release(p, false)
	default:
		// While others arrive, one that was overtaken for so long was dropped
		// without a word, as peers without the fast extension do.
		for l := p.leases.oldest; l != nil && r.now.Sub(l.at) > snubAfter; l = p.leases.oldest {
			r.cancel(l, false)
		}
	}
}

// lookAgain has peers with nothing to do looked at again soon. By then others may owe
// for too long what these could deliver.
func (r *requester) lookAgain() { r.peers.lookAt = min(r.peers.lookAt, r.now.Add(lookEvery)) }

// overdue returns the time before which q must have been asked for a block, so that p
// may take it over.
func (r *requester) overdue(q, p *requestPeer) mono.Time {
	if q.closing || (q.choked && len(q.allowed) == 0) {
		return r.now
	}
	return q.overdue(r.now, &p.standing, p.out() == 0)
}

// isContested reports whether another peer than p and q has block b of pc on order and
// can be expected to deliver it.
func (r *requester) isContested(pc *piece, b uint32, p, q *requestPeer) bool {
	for l := pc.block[b].held; l != nil; l = l.other {
		d := l.peer
		if l.peer == p || (l.peer != q && d.hasDelivered() && !d.isDoubtful() && l.at > r.overdue(l.peer, p)) {
			return true
		}
	}
	return false
}

// weakLimit returns in how many chunks weak peers may have blocks on order.
func (r *requester) weakLimit() int {
	if r.leases.firm == 0 { // nobody else goes on
		return r.slots.budget - r.slots.budget/4
	}
	return r.slots.budget / 4
}

// mayBegin reports whether p may be asked for blocks in one more chunk.
func (r *requester) mayBegin(p *requestPeer) bool {
	return !p.weak || r.leases.weakChunks < r.weakLimit()
}

// admits reports whether p may be asked for blocks of k.
func (r *requester) admits(p *requestPeer, k *chunk) bool { return k.weak > 0 || r.mayBegin(p) }
