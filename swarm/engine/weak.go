package engine

import (
	"time"

	"seedbed/internal/mono"
)

// What follows from the standing of peers: where a weak one may have blocks on
// order, and when another may take these over.

// lookEvery is how often idle peers are looked at while others owe blocks.
const lookEvery = 250 * time.Millisecond

// judge makes p weak or not.
func (e *Engine) judge(p *peer) {
	d := &p.down
	weak := p.closing || d.choked || !d.isFirm()
	if weak == d.weak {
		return
	}
	for l := d.leases.oldest; l != nil; l = l.next {
		e.countLease(p, l.chunk, -1)
	}
	d.weak = weak
	for l := d.leases.oldest; l != nil; l = l.next {
		e.countLease(p, l.chunk, 1)
	}
}

// measurePeers is done once a second: how fast all are and the best is.
func (e *Engine) measurePeers() {
	e.downTotal, e.bestGap = 0, 0
	fastest := 0.0
	for _, p := range e.peers {
		if !e.isAskable(p) {
			continue
		}
		r := p.down.rate.Rate(e.now)
		e.downTotal += r
		fastest = max(fastest, r)
		if gap := p.down.gap; gap > 0 && (gap < e.bestGap || e.bestGap == 0) {
			e.bestGap = gap
		}
	}
	for _, p := range e.peers {
		// The rate of one that had nothing to do says nothing.
		if l := p.down.leases.oldest; l != nil && e.now.Sub(l.at) >= hiccup {
			p.down.crawls = p.down.rate.Rate(e.now)*crawlFactor < fastest
		}
		e.judge(p)
	}
}

// isAskable reports whether p can be asked for more than one block.
func (e *Engine) isAskable(p *peer) bool {
	return !p.closing && !p.down.choked && p.down.interested && !p.down.isDoubtful()
}

// checkDebts is done once a second: it snubs p if p owes blocks for too long, and
// gives up those that will not arrive.
func (e *Engine) checkDebts(p *peer) {
	d := &p.down
	d.dry = false
	l := d.leases.oldest
	if l == nil {
		return
	}
	quiet := e.now.Sub(max(l.at, d.lastBlock))
	if quiet > d.patience(e.bestGap) {
		d.snubbed = true
		e.judge(p)
	}
	switch {
	case quiet > snubAfter, d.choked && e.now.Sub(max(l.at, d.chokedAt)) > rejectAfter && len(d.allowed) == 0:
		e.release(p, false)
	default:
		// While others arrive, one that was overtaken for so long was dropped
		// without a word, as peers without the fast extension do.
		for l := d.leases.oldest; l != nil && e.now.Sub(l.at) > snubAfter; l = d.leases.oldest {
			e.cancel(l, false)
		}
	}
}

// lookAgain sees to it that peers with nothing to do are looked at again soon: by
// then others may owe for too long what these could deliver.
func (e *Engine) lookAgain() { e.lookAt = min(e.lookAt, e.now.Add(lookEvery)) }

// overdue is the time before which q must have been asked for a block, for p to
// take it over.
func (e *Engine) overdue(q, p *peer) mono.Time {
	if q.closing || (q.down.choked && len(q.down.allowed) == 0) {
		return e.now
	}
	return q.down.overdue(e.now, &p.down.standing, p.down.out() == 0)
}

// isContested reports whether somebody but p and q has block b of pc on order and
// can be expected to deliver it.
func (e *Engine) isContested(pc *piece, b uint32, p, q *peer) bool {
	for l := pc.block[b].held; l != nil; l = l.other {
		d := &l.peer.down
		if l.peer == p || (l.peer != q && d.hasDelivered() && !d.isDoubtful() && l.at > e.overdue(l.peer, p)) {
			return true
		}
	}
	return false
}

// weakLimit is in how many chunks weak peers may have blocks on order.
func (c *content) weakLimit() int {
	if c.firm == 0 { // nobody else goes on
		return c.slots.budget - c.slots.budget/4
	}
	return c.slots.budget / 4
}

// mayBegin reports whether p may be asked for blocks in one more chunk.
func (e *Engine) mayBegin(p *peer) bool {
	return !p.down.weak || e.content.weakChunks < e.content.weakLimit()
}

// admits reports whether p may be asked for blocks of k.
func (e *Engine) admits(p *peer, k *chunk) bool { return k.weak > 0 || e.mayBegin(p) }
