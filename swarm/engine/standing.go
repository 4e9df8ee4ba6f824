package engine

import (
	"time"

	"seedbed/internal/mono"
)

// A peer that takes requests and delivers nothing holds up whatever was asked of
// it, and it costs the peer nothing. So how much a peer may have on order follows
// what it delivered. A peer is weak while it
//
//   - has delivered nothing yet,
//   - is snubbed: it owes blocks for longer than its own pace explains,
//   - has strikes: it lost blocks that it was asked for, and delivered none since,
//   - chokes us, or
//   - crawls: others deliver many times as fast.
//
// Weak peers hold blocks in a few chunks only (see admits), so that they cannot
// hold up all memory. What is on order at one for long is taken over by a peer
// that delivers (see takeOver). A peer with strikes is asked for one block at a
// time, after a pause that doubles. One block that arrives makes up for all that.
const (
	// A peer is snubbed when it owes blocks for patienceGaps times as long as it
	// recently took for one, within these limits.
	patienceGaps = 4
	minPatience  = 2 * time.Second
	maxPatience  = 10 * time.Second
	// weakAfter is the age at which what a weak peer has on order may be taken over.
	weakAfter = time.Second
	// hiccup is the same for a peer that has delivered and is quiet for so long, and
	// for hiccupGaps times as long as it took for a block.
	hiccup     = weakAfter / 2
	hiccupGaps = 8
	// slowAfter is the same for a peer that is slower by slowFactor than the one
	// that takes over: its queue is queueTime long.
	slowAfter  = 2 * queueTime
	slowFactor = 8
	// overtakenAfter is the same for a block while later requests are answered.
	overtakenAfter = 2 * time.Second
	// crawlFactor: a peer crawls that is slower than the fastest one by this.
	crawlFactor = 16
	// lookEvery is how often idle peers are looked at while others owe blocks.
	lookEvery = 250 * time.Millisecond
	// maxStrikes bounds the pauses: 64 s.
	maxStrikes = 6
)

// judge makes p weak or not.
func (e *Engine) judge(p *peer) {
	d := &p.down
	weak := p.closing || d.choked || !d.hasDelivered() || d.snubbed || d.strikes > 0 || d.crawls
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

// strike notes that p lost a block that it was asked for at that time and had for
// a while; or for any time, if it gave the block up itself and never delivered one.
func (e *Engine) strike(p *peer, asked mono.Time, gaveUp bool) {
	d := &p.down
	if p.closing || e.now < d.retry {
		return
	}
	if e.now.Sub(max(asked, d.lastBlock)) < hiccup && (!gaveUp || d.hasDelivered()) {
		return
	}
	d.strikes = min(d.strikes+1, maxStrikes)
	d.retry = e.now.Add(time.Second << d.strikes)
	e.judge(p)
}

// hasDelivered reports whether a block came that we asked for.
func (d *download) hasDelivered() bool { return d.rate.Total() > 0 }

// isDoubtful reports whether p owes us or failed us, so that it is asked for one
// block at a time.
func (d *download) isDoubtful() bool { return d.snubbed || d.strikes > 0 }

// patience is how long p may owe blocks before it is snubbed: by its own pace,
// and by that of the best.
func (e *Engine) patience(p *peer) time.Duration {
	others := patienceGaps * e.bestGap
	return min(max(patienceGaps*p.down.gap, minPatience, others), max(maxPatience, others))
}

// noteBlock notes that a block arrived that was asked for at that time.
func (e *Engine) noteBlock(p *peer, asked mono.Time) {
	d := &p.down
	d.gap = max(e.now.Sub(max(asked, d.lastBlock)), d.gap-d.gap/8)
	d.answered = max(d.answered, asked)
	d.lastBlock = e.now
	d.snubbed, d.strikes, d.retry, d.probes, d.probeAt, d.rejects = false, 0, 0, 0, 0, 0
	e.judge(p)
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
	if quiet > e.patience(p) {
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
// take it over. In twice the time that p itself takes, q may well deliver.
func (e *Engine) overdue(q, p *peer) mono.Time {
	d, least := &q.down, 2*p.down.gap
	switch {
	case q.closing, d.choked && len(d.allowed) == 0:
		return e.now
	case !d.hasDelivered(), d.isDoubtful():
		return e.now.Add(-max(weakAfter, least))
	case e.isSlower(q, p):
		return e.now.Add(-max(slowAfter, least))
	}
	hiccup := max(hiccup, hiccupGaps*d.gap, least)
	if p.down.out() == 0 && e.now.Sub(d.lastBlock) > hiccup {
		return e.now.Add(-hiccup)
	}
	return d.answered.Add(-max(overtakenAfter, least))
}

// isSlower reports whether q is far slower than p.
func (e *Engine) isSlower(q, p *peer) bool {
	return q.down.rate.Rate(e.now)*slowFactor < p.down.rate.Rate(e.now)
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
