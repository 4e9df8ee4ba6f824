package utp

import (
	"time"

	"seedbed/internal/mono"
)

const (
	// maxTarget is the time in queues that we aim at if losses do not say that the queue is
	// shorter (BEP 29: CCONTROL_TARGET).
	maxTarget = 100 * time.Millisecond
	// minTarget is the shortest time to aim at. Less is the noise of wireless networks, and a
	// loss with less is not that of a full queue.
	minTarget = 15 * time.Millisecond
	// minQueued is the least number of our packets that a full queue holds. Less is hardly a
	// queue, and with a shorter target a slow line would be idle at times.
	minQueued = 4
	// maxRandom is the part of the losses, one in maxRandom, that may happen while the queue is
	// less than half full. With more of them, losses say nothing about the queue.
	maxRandom = 4
	// targetStep is the shortest time for which a full queue is remembered. The longest is twice
	// that.
	targetStep = time.Minute
)

// A queueTarget is the time in queues that a connection aims at.
//
// With a fixed target uTP yields only where queues hold more than that. In a shorter queue the
// delay never reaches the target, and uTP would grow until packets are lost, as TCP does. So
// the delay at which packets are lost shows how much the queue holds, and the target is half of
// it. TCP keeps the queue fuller than that most of the time. A queue that is never full again
// is forgotten: the path may have changed.
//
// Some paths lose packets at random, and their delay varies. There packets are also lost while
// the delay is short, and the target stays as it is.
type queueTarget struct {
	longest [2]time.Duration // in queues when packets were lost, in this step and the last; 0: none
	losses  [2]uint16        // in these steps
	random  [2]uint16        // losses while the queue was less than half full
	end     mono.Time        // of this step
}

// lost takes note of a loss while packets waited for the time queueing, and queued of ours were
// in the queue.
func (t *queueTarget) lost(now mono.Time, queueing time.Duration, queued float64) {
	t.advance(now)
	t.losses[0] = min(t.losses[0]+1, 1000)
	if queueing < max(minTarget, t.full()/2) {
		t.random[0] = min(t.random[0]+1, 1000)
	}
	if queueing < minTarget || queued < minQueued && t.full() == 0 {
		return
	}
	t.longest[0] = max(t.longest[0], queueing)
}

func (t *queueTarget) advance(now mono.Time) {
	if now < t.end {
		return
	}
	t.longest[1], t.losses[1], t.random[1] = t.longest[0], t.losses[0], t.random[0]
	if now.Sub(t.end) >= targetStep {
		t.longest[1], t.losses[1], t.random[1] = 0, 0, 0
	}
	t.longest[0], t.losses[0], t.random[0] = 0, 0, 0
	t.end = now.Add(targetStep)
}

// baseFell corrects what is remembered when the delay of an empty path turns out to be shorter
// by d than assumed. Flows that share a queue must agree on the target, or one starves.
func (t *queueTarget) baseFell(d time.Duration) {
	for i := range t.longest {
		if t.longest[i] > 0 {
			t.longest[i] = min(t.longest[i]+d, 2*maxTarget)
		}
	}
}

// full returns the time in the queue when it is full, or 0 if that is not known.
func (t *queueTarget) full() time.Duration { return max(t.longest[0], t.longest[1]) }

// at returns the target.
func (t *queueTarget) at(now mono.Time) time.Duration {
	t.advance(now)
	if t.full() == 0 || maxRandom*(t.random[0]+t.random[1]) > t.losses[0]+t.losses[1] {
		return maxTarget
	}
	return min(maxTarget, max(minTarget, t.full()/2))
}
