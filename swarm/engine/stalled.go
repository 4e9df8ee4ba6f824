package engine

import (
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// An upload slot is worth nothing to a peer that does not read. Systems take
// hundreds of KiB on its behalf before that shows, so one that has taken more is
// told from one that has not; and where many take nothing, who has proven itself
// goes before the others, which share a little of what goes out until they have.

const (
	// stallAfter without a block that went out, or four times what one takes at the
	// pace of all, an unchoked peer loses its slot if others wait, and is not given
	// one for stallPause, twice as long each time up to maxStalls.
	stallAfter = 5 * time.Second
	stallLimit = time.Minute
	stallPause = 30 * time.Second
	maxStalls  = 6
	// provenBytes is more than the buffers of a connection hold.
	provenBytes = 1 << 20
	// manyStalled peers connected that took nothing, or half as many that asked and do
	// not read, are no accident.
	manyStalled = 8
	// stalledFor is how long that is remembered: those who lose their place come again.
	stalledFor = 10 * time.Minute
	// trialShare is the part of what goes out that they may have then, and
	// minTrial, in bytes a second, what they have at least.
	trialShare = 1. / 32
	minTrial   = 16 << 10
	trialBurst = 128 << 10
)

// stalledPeers is what is known of peers that take nothing.
type stalledPeers struct {
	on     bool // there are many
	until  mono.Time
	proven bool          // somebody takes who has proven itself
	wait   bool          // an interested peer is choked that may have a slot
	after  time.Duration // without a block it has taken nothing
	trial  rate.Bucket
}

// proven reports whether a peer took more than buffers hold, since it last took
// nothing.
func (u *upload) proven() bool { return u.took >= provenBytes*int64(1+u.stalls) }

// watchStalled looks at all peers once a second.
func (e *Engine) watchStalled() {
	w := &e.stalled
	stalled := 0
	w.proven, w.wait = false, false
	w.after = stallAfter
	if flow := e.upRate.Rate(e.now); flow > 0 {
		perBlock := time.Duration(float64(e.uploadSlots()) * blockSize / flow * float64(time.Second))
		w.after = min(max(stallAfter, 4*perBlock), stallLimit)
	}
	for _, p := range e.peers {
		u := &p.up
		switch {
		case p.closing || !u.interested:
			continue
		case u.proven():
			w.proven = w.proven || !u.choking && e.now.Sub(u.tookAt) < w.after
		case u.stalls > 0 && u.inflight > 0:
			stalled += 2 // it asks, and does not read
		case u.stalls > 0:
			stalled++
		}
		w.wait = w.wait || u.choking && e.now >= u.retry
	}
	if stalled >= manyStalled {
		w.until = e.now.Add(stalledFor)
	}
	w.on = e.now < w.until
	if w.trial.Burst == 0 {
		w.trial = rate.NewBucket(e.now, minTrial, trialBurst)
	}
	w.trial.Rate = max(minTrial, e.upRate.Rate(e.now)*trialShare)
}

// dropStalled takes the slot of a peer that neither takes nor gives, if others
// wait for it.
func (e *Engine) dropStalled(p *peer) {
	u := &p.up
	if u.choking || !u.interested || !e.stalled.wait || e.paused || e.content == nil || p.down.rate.Rate(e.now) > 0 ||
		e.now.Sub(max(u.since, u.tookAt)) < e.stalled.after {
		return
	}
	u.retry = e.now.Add(stallPause << u.stalls)
	u.stalls = min(u.stalls+1, maxStalls)
	e.choke(p)
	e.freeUnchoke = true
}

// mayServe reports whether the next block for p may go out now. What a choked peer
// may have all the same is for newcomers to begin with, and as little.
func (e *Engine) mayServe(p *peer, b Block) bool {
	w := &e.stalled
	if !w.proven || p.up.proven() && !p.up.choking || !w.on && !p.up.choking {
		return true
	}
	return w.trial.Take(e.now, float64(b.Length))
}
