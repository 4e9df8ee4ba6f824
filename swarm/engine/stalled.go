package engine

import (
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// An upload slot is worth nothing to a peer that does not read. The kernels on the
// way take hundreds of KiB on its behalf before that shows, so the choker tells a
// peer that has taken more (it is proven) from one that has not. Where many take
// nothing, proven peers go before the others, and these share a small part of what
// is sent until they are proven too.

const (
	// stallAfter without a block that was sent, or four times what a block takes at
	// the pace of all, an unchoked peer loses its slot if others wait. It is not given
	// one for stallPause, twice as long each time up to maxStalls.
	stallAfter = 5 * time.Second
	stallLimit = time.Minute
	stallPause = 30 * time.Second
	maxStalls  = 6
	// provenBytes is more than the buffers of a connection hold.
	provenBytes = 1 << 20
	// manyStalled peers that took nothing, or half as many that asked and do not read,
	// are no accident.
	manyStalled = 8
	// stalledFor is how long that is remembered: those who lose their place come again.
	stalledFor = 10 * time.Minute
	// trialShare is the part of what is sent that unproven peers may have then, and
	// minTrial, in bytes a second, what they have at least.
	trialShare = 1. / 32
	minTrial   = 16 << 10
	trialBurst = 128 << 10
)

// stalledPeers is what the choker knows of peers that take nothing.
type stalledPeers struct {
	many   bool // there are many
	until  mono.Time
	proven bool          // a proven peer takes what it is sent
	waits  bool          // an interested peer is choked that may have a slot
	after  time.Duration // without a block a peer is stalled
	trial  rate.Bucket   // for unproven peers
}

// isProven reports whether a peer took more than buffers hold, since it was stalled
// last.
func (p *chokePeer) isProven() bool { return p.total >= provenBytes*int64(1+p.stalls) }

// isStalled reports whether a peer was unchoked, took nothing, and has not taken
// enough since to be proven.
func (p *chokePeer) isStalled() bool { return p.stalls > 0 && !p.isProven() }

// countStalled looks at all peers once a second. bytesPerSecond is what we send to
// all of them.
func (c *choker) countStalled(now mono.Time, bytesPerSecond float64, sink chokeSink) {
	w := &c.stalled
	stalled := 0
	w.proven, w.waits = false, false
	w.after = stallAfter
	if bytesPerSecond > 0 {
		perBlock := time.Duration(float64(c.slots) * blockSize / bytesPerSecond * float64(time.Second))
		w.after = min(max(stallAfter, 4*perBlock), stallLimit)
	}
	for _, p := range c.peers {
		switch {
		case !p.interested:
			continue
		case p.isProven():
			w.proven = w.proven || p.unchoked && now.Sub(p.sentAt) < w.after
		case p.stalls > 0 && sink.isSending(p.conn):
			stalled += 2 // it asks, and does not read
		case p.stalls > 0:
			stalled++
		}
		w.waits = w.waits || !p.unchoked && now >= p.retry
	}
	if stalled >= manyStalled {
		w.until = now.Add(stalledFor)
	}
	w.many = now < w.until
	if w.trial.Burst == 0 {
		w.trial = rate.NewBucket(now, minTrial, trialBurst)
	}
	w.trial.Rate = max(minTrial, bytesPerSecond*trialShare)
}

// dropStalled takes the slot of a peer that takes nothing, if others wait for it. The
// caller passes over peers that give us something.
func (c *choker) dropStalled(now mono.Time, p *chokePeer, sink chokeSink) {
	if !c.open || !p.unchoked || !p.interested || !c.stalled.waits ||
		now.Sub(max(p.unchokedAt, p.sentAt)) < c.stalled.after {
		return
	}
	p.retry = now.Add(stallPause << p.stalls)
	p.stalls = min(p.stalls+1, maxStalls)
	c.choke(p, sink)
	c.freed = true
}

// maySend reports whether the next block for p, of length bytes, may be sent now.
// What a choked peer may have is to begin with, and is as little as what unproven
// peers have.
func (c *choker) maySend(now mono.Time, p *chokePeer, length uint32) bool {
	w := &c.stalled
	if !w.proven || p.isProven() && p.unchoked || !w.many && p.unchoked {
		return true
	}
	return w.trial.Take(now, float64(length))
}
