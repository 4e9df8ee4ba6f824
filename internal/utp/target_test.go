package utp

import (
	"testing"
	"time"

	"seedbed/internal/mono"
)

// The target is half of what was in the queue at losses of the last minutes, within limits.
func TestTargetFollowsLosses(t *testing.T) {
	const ms = time.Millisecond
	at := func(s float64) mono.Time { return mono.Time(s * 1e9) }
	expect := func(q *queueTarget, s float64, want time.Duration) {
		t.Helper()
		if got := q.at(at(s)); got != want {
			t.Errorf("%v after %v s instead of %v", got, s, want)
		}
	}
	var q queueTarget
	expect(&q, 0, maxTarget)
	q.lost(at(1), 60*ms, minQueued-1) // hardly a queue
	expect(&q, 1, maxTarget)
	q.lost(at(1), 60*ms, minQueued)
	expect(&q, 1, 30*ms)
	q.lost(at(1), minTarget-1, 100) // not of a full queue
	expect(&q, 1, maxTarget)        // a third of the losses are random
	q.lost(at(1), 60*ms, minQueued)
	expect(&q, 1, 30*ms) // a quarter
	q.lost(at(2), 50*ms, 1)
	expect(&q, 2, 30*ms)
	q.lost(at(30), 80*ms, 1)
	expect(&q, 30, 40*ms)
	q.baseFell(10 * ms)
	expect(&q, 30, 45*ms)
	expect(&q, 60, 45*ms)
	expect(&q, 119, 45*ms)
	expect(&q, 120, maxTarget) // forgotten after one to two minutes
	q.lost(at(200), 20*ms, 100)
	expect(&q, 200, minTarget)
	q.lost(at(201), time.Second, 100)
	expect(&q, 201, maxTarget)
	q.baseFell(time.Hour)
	expect(&q, 202, maxTarget)
	expect(&q, 1000, maxTarget)

	l := newLEDBAT(0)
	l.window = 100_000
	l.lost(1, 0, 60*ms, 100*ms, 1400)
	expect(&l.target, 1, 30*ms)
	l.resume(at(10)) // what was before a pause says nothing about the path
	expect(&l.target, 10, maxTarget)
}
