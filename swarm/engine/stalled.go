package engine

import (
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// An upload slot is wasted on a peer that does not read. The socket buffers on the way
// absorb hundreds of KiB before that shows. So the choker distinguishes peers that have
// taken more than that (proven) from others. Where many peers take nothing, proven peers
// come first, and the others share a small part of the uplink until they are proven too.

const (
	// An unchoked peer that took no block for stallAfter, or for four times the average
	// duration of a block, loses its slot if others wait. It gets no slot for stallPause,
	// doubled with each stall up to maxStalls.
	stallAfter = 5 * time.Second
	stallLimit = time.Minute
	stallPause = 30 * time.Second
	maxStalls  = 6
	// provenBytes is more than the buffers of a connection can hold.
	provenBytes = 1 << 20
	// manyStalled is the number of stalled peers that indicates an attack. A peer with
	// pending requests that does not read counts twice.
	manyStalled = 8
	// stalledFor is how long that state lasts, because disconnected peers return.
	stalledFor = 10 * time.Minute
	// trialShare is the fraction of the uplink that unproven peers get in that state;
	// minTrial is its minimum in bytes per second.
	trialShare = 1. / 32
	minTrial   = 16 << 10
	trialBurst = 128 << 10
)

// stalledPeers is the choker's knowledge of peers that take nothing.
type stalledPeers struct {
	many   bool // many peers are stalled
	until  mono.Time
	proven bool          // a proven peer takes what it is sent
	waits  bool          // an eligible interested peer is choked
	after  time.Duration // how long a peer without a block takes to count as stalled
	trial  rate.Bucket   // for unproven peers
}

// isProven reports whether a peer has taken more than buffers hold since it last stalled.
func (p *chokePeer) isProven() bool { return p.total >= provenBytes*int64(1+p.stalls) }

// isStalled reports whether a peer was unchoked, took nothing, and has not proven itself
// since.
func (p *chokePeer) isStalled() bool { return p.stalls > 0 && !p.isProven() }

// countStalled counts stalled peers once per second. bytesPerSecond is what we send to
// all peers.
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
			stalled += 2 // it requests but does not read
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

// dropStalled chokes p if it takes nothing and others wait for its slot. The caller
// excludes peers that send us something.
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

// maySend reports whether the next block for p, of length bytes, may be sent now. Choked
// peers (BEP 6 allowed fast) are limited like unproven ones.
func (c *choker) maySend(now mono.Time, p *chokePeer, length uint32) bool {
	w := &c.stalled
	if !w.proven || p.isProven() && p.unchoked || !w.many && p.unchoked {
		return true
	}
	return w.trial.Take(now, float64(length))
}
