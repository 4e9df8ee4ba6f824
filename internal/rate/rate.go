// Package rate measures and limits rates. Meter is an average rate in bytes per second, and
// Decay a sum that decays over time. Bucket limits one rate, and Sources the rate of each
// source of packets. Flows counts the UDP flows that a router has to remember.
//
// The types have no clock: callers pass in the time. They are not safe for concurrent use.
package rate

import (
	"math"
	"time"

	"seedbed/internal/mono"
)

// Meter is an exponentially weighted average of a flow in bytes per second, over the time
// since its first byte. The zero Meter is ready for use and reads 0.
type Meter struct {
	last  mono.Time
	begun bool
	rate  float64 // weighted sum of bytes per second, as of last
	known float64 // sum of the weights; below 1 until the flow has lasted long
	fresh float64 // bytes since last that are not in rate yet
	total int64
}

// window is the time constant: after it, 63 % of a step in the flow is visible.
const window = 3 * time.Second

// grain is the shortest interval that is folded into the average separately.
const grain = 100 * time.Millisecond

// Add counts n bytes that were transferred at now.
func (m *Meter) Add(now mono.Time, n int) {
	if !m.begun {
		m.last, m.begun = now, true
	}
	m.fold(now)
	m.fresh += float64(n)
	m.total += int64(n)
}

func (m *Meter) fold(now mono.Time) {
	d := now.Sub(m.last)
	if d < grain {
		return
	}
	keep := math.Exp(-float64(d) / float64(window))
	m.rate = m.rate*keep + m.fresh/d.Seconds()*(1-keep)
	m.known = m.known*keep + 1 - keep
	m.fresh, m.last = 0, now
}

// Rate returns the average at now in bytes per second.
func (m *Meter) Rate(now mono.Time) float64 {
	if !m.begun {
		return 0
	}
	m.fold(now)
	if m.known == 0 {
		return 0
	}
	return m.rate / m.known
}

// Total returns the number of bytes ever counted.
func (m *Meter) Total() int64 { return m.total }

// Bucket is a token bucket: it gains Rate tokens per second and holds at most Burst.
type Bucket struct {
	Rate  float64
	Burst float64

	tokens float64
	last   mono.Time
}

// NewBucket returns a bucket that is full at now.
func NewBucket(now mono.Time, perSecond, burst float64) Bucket {
	return Bucket{Rate: perSecond, Burst: burst, tokens: burst, last: now}
}

// Take takes n tokens and returns true if there are that many.
func (b *Bucket) Take(now mono.Time, n float64) bool {
	b.fill(now)
	if b.tokens < n {
		return false
	}
	b.tokens -= n
	return true
}

// Wait returns how long after now the bucket will hold n tokens, or 0 if it does already.
func (b *Bucket) Wait(now mono.Time, n float64) time.Duration {
	b.fill(now)
	if b.tokens >= n {
		return 0
	}
	return time.Duration(math.Ceil((n - b.tokens) / b.Rate * float64(time.Second)))
}

func (b *Bucket) fill(now mono.Time) {
	if d := now.Sub(b.last); d > 0 {
		b.tokens = min(b.Burst, b.tokens+b.Rate*d.Seconds())
		b.last = now
	}
}
