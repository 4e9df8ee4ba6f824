package utp

import (
	"math/rand/v2"
	"testing"
	"time"

	"seedbed/internal/mono"
)

// The base delay is the lowest sample of the last five minutes, in steps of a minute, on
// clocks that wrap.
func TestBaseDelay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const offset = 0xffff_8000 // wraps within the range of the samples
	var h delayHistory
	var at []mono.Time
	var samples []uint32
	now := mono.Time(0)
	for range 3000 {
		now = now.Add(time.Duration(rng.IntN(3000)) * time.Millisecond)
		v := uint32(rng.IntN(1 << 17))
		h.add(now, v+offset)
		at, samples = append(at, now), append(samples, v)
		recent, all := uint32(1<<31), uint32(1<<31)
		for i := range at {
			if now.Sub(at[i]) < 4*time.Minute {
				recent = min(recent, samples[i])
			}
			if now.Sub(at[i]) <= 5*time.Minute {
				all = min(all, samples[i])
			}
		}
		if got := h.base - offset; got > recent || got < all {
			t.Fatalf("at %v: base %d, lowest %d in four minutes, %d in five", now, got, recent, all)
		}
	}
	h.add(now.Add(time.Hour), 5)
	if h.base != 5 {
		t.Errorf("%d after an hour without samples", h.base)
	}
}

// When our clock runs slow against theirs, our packets seem to take longer and theirs
// shorter. The base delay of ours follows, for changes that a clock can make.
func TestClocksDriftApart(t *testing.T) {
	var d delays
	d.received(time100, 5_000_000) // the sample is 100,000 - 5,000,000
	d.reported(time100, 50_000)
	base := d.ours.base
	d.received(2*time100, 5_100_000+300)
	if got := d.ours.base - base; got != 300 {
		t.Errorf("the base moved by %d for a drift of 300", got)
	}
	base = d.ours.base
	d.received(3*time100, 5_200_000+300+maxDrift)
	if d.ours.base != base {
		t.Error("a jump counts as drift")
	}
}

// The time in queues cannot exceed the growth of the round trip, whatever is reported.
func TestReportedDelays(t *testing.T) {
	var d delays
	if d.queueing(time.Second) != 0 {
		t.Error("a delay without a sample")
	}
	d.rtt.add(0, 20_000)
	for _, v := range []uint32{1000, 51_000, 41_000, 61_000} {
		d.reported(0, v)
	}
	if got := d.queueing(time.Second); got != 40*time.Millisecond {
		t.Errorf("%v, not the lowest of the last three", got)
	}
	if got := d.queueing(25 * time.Millisecond); got != 5*time.Millisecond {
		t.Errorf("%v with a round trip 5 ms above the shortest", got)
	}
}
