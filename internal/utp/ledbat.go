package utp

import (
	"math"
	"time"

	"seedbed/internal/mono"
)

const (
	// maxGain is the growth of the window in bytes per round trip on an empty path. libutp
	// and libtorrent have the same.
	maxGain = 3000
	// initialWindow is the first window in bytes: four packets of usual length.
	initialWindow = 5000
	// minWindow is the smallest window in packets, but for one packet after a timeout.
	minWindow = 2
	// refreshAfter is the time without an empty queue after which the window is taken back
	// for a moment.
	refreshAfter = 15 * time.Second
)

// ledbat decides how many bytes may be in flight: LEDBAT (RFC 6817) with ideas of LEDBAT++
// (draft-irtf-iccrg-ledbat-plus-plus).
//
// The window follows the delay (see perRoundTrip), and losses as in TCP. A flow that starts
// while others fill a queue takes their queue for the base delay and would push them out.
// Therefore a flow that has not seen an empty queue for some seconds takes its window back
// for two round trips, so that all can measure an empty path.
type ledbat struct {
	target      queueTarget
	window      float64 // bytes
	slowStart   bool    // the window grows fast until it reaches threshold
	threshold   float64
	beforeCut   float64   // the window before the last cut
	losses      int       // packets lost since the last cut that may be the reason for it
	cutAt       mono.Time // time of the last cut
	ackedAt     mono.Time // when data was last acknowledged
	emptyAt     mono.Time // when the queue was last empty or nearly so
	frozenUntil mono.Time // the window does not grow before this; 0: it may
}

func newLEDBAT(now mono.Time) ledbat {
	return ledbat{window: initialWindow, slowStart: true, threshold: math.Inf(1), cutAt: now - 1, ackedAt: now, emptyAt: now}
}

// acked handles that bytes were acknowledged, of flight bytes that were in flight. queueing
// is the time that packets wait in queues.
func (l *ledbat) acked(now mono.Time, bytes, flight int, queueing, srtt, minRTT time.Duration, payload int) {
	l.ackedAt = now
	target := l.target.at(now)
	if queueing < min(maxTarget/8, target/4) {
		l.emptyAt = now
	}
	if l.frozenUntil != 0 {
		if now < l.frozenUntil {
			return
		}
		l.frozenUntil, l.window = 0, max(l.window, l.threshold/2)
	}
	size := float64(payload)
	floor := minWindow * size
	// A window that is not used says nothing about the path.
	limited := float64(flight) >= l.window/2
	if l.slowStart && l.window < l.threshold {
		if queueing <= target*3/4 {
			if limited {
				l.window = min(l.window+float64(bytes), l.threshold)
			}
			return
		}
	}
	l.slowStart = false
	if now.Sub(l.emptyAt) > refreshAfter && l.window > 2*floor {
		l.slowStart, l.threshold, l.window = true, l.window, floor
		l.emptyAt = now
		l.frozenUntil = now.Add(srtt + 2*minRTT)
		return
	}
	change := l.perRoundTrip(float64(queueing)/float64(target), size)
	if !limited {
		change = min(change, 0)
	}
	share := min(1, float64(bytes)/l.window) // of a round trip
	l.window = max(floor, l.window+share*change)
}

// resume handles that data is sent again and nothing is in flight. After a pause the window
// says nothing about the path, nor do earlier losses, so it grows anew, fast up to what it was.
func (l *ledbat) resume(now mono.Time) {
	if now.Sub(l.ackedAt) > idleAfter && l.window > initialWindow {
		l.slowStart, l.threshold, l.window = true, l.window, initialWindow
		l.target = queueTarget{}
	}
}

// perRoundTrip returns by how many bytes the window changes in a round trip, where delay is
// the time in queues in units of the target, and size the length of a packet in bytes.
//
// Below half of the target this is LEDBAT. Above, the window shrinks in proportion to
// itself, and grows with its square root. So several flows come to rest between half of
// the target and the target, where those with a larger window shrink and those with a
// smaller one grow, and small errors in the base delay matter little. RFC 6817 comes to
// rest at the target itself, where each flow keeps the share that it happens to have.
func (l *ledbat) perRoundTrip(delay, size float64) float64 {
	if delay < 0.5 {
		return min(maxGain, l.window/5) * (1 - delay)
	}
	grow := 0.36 * math.Sqrt(l.window*size) * max(0, 1-delay)
	shrink := l.window / 4 * min(0.5, delay-0.5)
	if delay > 1 {
		shrink += l.window * (delay - 1)
	}
	return grow - min(shrink, l.window/2)
}

// lost handles the loss of a packet that was sent at sentAt: the window is cut once per
// round trip. BEP 29: it "is multiplied by 0.5 to mimic TCP".
func (l *ledbat) lost(now, sentAt mono.Time, queueing, rtt time.Duration, payload int) {
	l.target.lost(now, queueing, l.window/float64(payload)*float64(queueing)/float64(max(rtt, 1)))
	l.losses++
	if sentAt <= l.cutAt {
		return
	}
	l.cutAt, l.beforeCut, l.losses = now, l.window, 1
	l.window = max(l.window/2, float64(minWindow*payload))
	l.slowStart = false
}

// timedOut handles a timeout. BEP 29: the window becomes one packet.
func (l *ledbat) timedOut(now mono.Time, payload int) {
	if l.window > float64(payload) {
		l.beforeCut, l.losses = l.window, 0
		l.threshold = max(l.window/2, float64(minWindow*payload))
	}
	l.losses++
	l.window = float64(payload)
	l.slowStart = true
	l.cutAt = now
}

// arrived handles that n packets had arrived that were called lost. Once that is so for all
// since the last cut, the cut is taken back.
func (l *ledbat) arrived(n int) {
	if n == 0 || l.losses == 0 {
		return
	}
	l.losses = max(0, l.losses-n)
	if l.losses == 0 {
		l.window = max(l.window, l.beforeCut)
	}
}
