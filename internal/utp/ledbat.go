package utp

import (
	"math"
	"time"

	"seedbed/internal/mono"
)

const (
	// target is the time in queues that we aim at (BEP 29: CCONTROL_TARGET).
	target = 100 * time.Millisecond
	// maxGain is the growth of the window in bytes per round trip on an empty path. libutp
	// and libtorrent have the same.
	maxGain = 3000
	// initialWindow and minWindow are in packets.
	initialWindow = 4
	minWindow     = 2
	// refreshAfter is the time without an empty queue after which the window is taken back
	// for a moment.
	refreshAfter = 15 * time.Second
)

// ledbat decides how many bytes may be in flight: LEDBAT (RFC 6817) with ideas of LEDBAT++
// (draft-irtf-iccrg-ledbat-plus-plus).
//
// Below the target the window grows, less and less as the target comes near. Above, it
// shrinks by the same fraction as the delay exceeds the target, so a flow with a larger
// window gives more. A flow that starts while others fill a queue takes their queue for the
// base delay and would push them out. Therefore a flow that has not seen an empty queue for
// some seconds takes its window back for two round trips, so that all can measure it.
type ledbat struct {
	window      float64   // bytes
	threshold   float64   // the window grows fast below it (slow start)
	beforeCut   float64   // the window before the last cut; 0: no cut can be undone
	cutAt       mono.Time // time of the last cut
	emptyAt     mono.Time // when the queue was last empty or nearly so
	frozenUntil mono.Time // the window does not grow before this
}

func newLEDBAT(now mono.Time, payload int) ledbat {
	return ledbat{window: float64(initialWindow * payload), threshold: math.Inf(1), cutAt: now - 1, emptyAt: now, frozenUntil: now}
}

func (l *ledbat) slowStart() bool { return l.window < l.threshold }

// acked handles that bytes were acknowledged, of flight bytes that were in flight. queueing
// is the time that packets wait in queues.
func (l *ledbat) acked(now mono.Time, bytes, flight int, queueing, srtt, minRTT time.Duration, payload int) {
	if queueing < target/8 {
		l.emptyAt = now
	}
	if now < l.frozenUntil {
		return
	}
	size := float64(payload)
	floor := minWindow * size
	// A window that is not used says nothing about the path.
	limited := float64(flight) >= l.window/2
	if l.slowStart() {
		if queueing <= target*3/4 {
			if limited {
				l.window = min(l.window+float64(bytes), l.threshold)
			}
			return
		}
		l.threshold = l.window
	}
	if now.Sub(l.emptyAt) > refreshAfter && l.window > 2*floor {
		l.threshold, l.window = l.window, floor
		l.emptyAt = now
		l.frozenUntil = now.Add(srtt + 2*minRTT)
		return
	}
	off := 1 - float64(queueing)/float64(target)
	gain := math.Sqrt(l.window*size) / 8
	if off > 0 {
		gain = max(gain, maxGain*off)
	}
	if !limited {
		gain = 0
	}
	share := min(1, float64(bytes)/l.window) // of a round trip
	gain += l.window * max(-0.5, min(0, off))
	l.window = max(floor, l.window+share*gain)
}

// lost handles the loss of a packet that was sent at sentAt: the window is cut once per
// round trip. BEP 29: it "is multiplied by 0.5 to mimic TCP".
func (l *ledbat) lost(now, sentAt mono.Time, payload int) {
	if sentAt <= l.cutAt {
		return
	}
	l.cutAt, l.beforeCut = now, l.window
	l.window = max(l.window/2, float64(minWindow*payload))
	l.threshold = l.window
}

// timedOut handles a timeout. BEP 29: the window becomes one packet.
func (l *ledbat) timedOut(now mono.Time, payload int) {
	if l.window > float64(payload) {
		l.beforeCut = l.window
		l.threshold = max(l.window/2, float64(minWindow*payload))
	}
	l.window = float64(payload)
	l.cutAt = now
}

// undo takes back the last cut: the loss was none.
func (l *ledbat) undo() {
	l.window = max(l.window, l.beforeCut)
	l.threshold = max(l.threshold, l.window)
	l.beforeCut = 0
}
