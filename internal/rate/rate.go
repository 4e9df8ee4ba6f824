// Package rate measures and limits flows of bytes in time that is handed in.
package rate

import (
	"math"
	"time"

	"seedbed/internal/mono"
)

// Meter is an exponentially weighted average of a flow, in bytes a second, over
// the time since its first byte. The zero Meter is ready and reads 0.
type Meter struct {
	last  mono.Time
	begun bool
	rate  float64 // weighted sum of bytes a second, as of last
	known float64 // sum of the weights: below 1 while the flow is young
	fresh float64 // bytes since last that rate does not hold yet
	total int64
}

// window is the time constant: a step in the flow is 63 % visible after it.
const window = 3 * time.Second

// grain is the shortest stretch folded into the average on its own.
const grain = 100 * time.Millisecond

// Add counts n bytes that moved at now.
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

// Rate is the average at now, in bytes a second.
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

// Total is every byte ever counted.
func (m *Meter) Total() int64 { return m.total }

// Bucket is a token bucket: Rate tokens a second, at most Burst saved.
type Bucket struct {
	Rate  float64
	Burst float64

	tokens float64
	last   mono.Time
}

// NewBucket is a full bucket at now.
func NewBucket(now mono.Time, perSecond, burst float64) Bucket {
	return Bucket{Rate: perSecond, Burst: burst, tokens: burst, last: now}
}

// Take takes n tokens if they are there.
func (b *Bucket) Take(now mono.Time, n float64) bool {
	b.fill(now)
	if b.tokens < n {
		return false
	}
	b.tokens -= n
	return true
}

// Wait is how long after now n tokens will be there; 0 if they are.
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
