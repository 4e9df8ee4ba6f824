package utp

import (
	"testing"
	"time"

	"seedbed/internal/mono"
)

// BEP 29: a loss halves the window; all losses of one round trip count once.
func TestOneCutPerRoundTrip(t *testing.T) {
	l := newLEDBAT(0)
	l.window = 100_000
	for sent := range mono.Time(10) {
		l.lost(20*millisecond, sent*millisecond, 0, 0, 1400)
	}
	if l.window != 50_000 || l.slowStart {
		t.Errorf("a window of %.0f, slow start %v", l.window, l.slowStart)
	}
	l.lost(50*millisecond, 21*millisecond, 0, 0, 1400)
	if l.window != 25_000 {
		t.Errorf("a window of %.0f after a loss of the next round trip", l.window)
	}
	l.lost(51*millisecond, 22*millisecond, 0, 0, 1400)
	if l.arrived(1); l.window != 25_000 {
		t.Errorf("a window of %.0f after one of two losses was none", l.window)
	}
	if l.arrived(1); l.window != 50_000 {
		t.Errorf("a window of %.0f after both losses were none", l.window)
	}
	l.timedOut(time100, 1400)
	l.timedOut(2*time100, 1400)
	if l.window != 1400 || l.threshold != 25_000 || !l.slowStart {
		t.Errorf("a window of %.0f after timeouts, threshold %.0f", l.window, l.threshold)
	}
	if l.arrived(2); l.window != 50_000 {
		t.Errorf("a window of %.0f after the timeouts were none", l.window)
	}
}

const time100 = mono.Time(100 * time.Millisecond)

// The window grows on an empty path by as much as that of libutp, shrinks above the target
// the faster the longer the queue is, and a larger one shrinks where a smaller one grows.
func TestWindowPerRoundTrip(t *testing.T) {
	l := ledbat{window: 100_000}
	if got := l.perRoundTrip(0, 1400); got != maxGain {
		t.Errorf("%.0f on an empty path", got)
	}
	last := float64(maxGain + 1)
	for delay := 0.0; delay < 4; delay += 0.01 {
		got := l.perRoundTrip(delay, 1400)
		if got > last+1 && (delay < 0.5 || delay > 0.51) || got < -l.window/2 {
			t.Fatalf("%.0f at %.2f, %.0f before", got, delay, last)
		}
		last = got
	}
	if last != -l.window/2 || l.perRoundTrip(1.1, 1400) > -l.window/5 {
		t.Errorf("%.0f above the target, %.0f far above", l.perRoundTrip(1.1, 1400), last)
	}
	small := ledbat{window: 10_000}
	if l.perRoundTrip(0.65, 1400) >= 0 || small.perRoundTrip(0.65, 1400) <= 0 {
		t.Errorf("%.0f for a large window, %.0f for a small one", l.perRoundTrip(0.65, 1400), small.perRoundTrip(0.65, 1400))
	}
}

// A window that is not used does not grow.
func TestUnusedWindow(t *testing.T) {
	for _, slowStart := range []bool{true, false} {
		l := newLEDBAT(0)
		l.window, l.slowStart = 100_000, slowStart
		for range 100 {
			l.acked(1, 1400, 10_000, 0, time.Millisecond, time.Millisecond, 1400)
		}
		if l.window != 100_000 {
			t.Errorf("slow start %v: %.0f", slowStart, l.window)
		}
	}
}
