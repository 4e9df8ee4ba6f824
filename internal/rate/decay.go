package rate

import (
	"math"
	"time"

	"seedbed/internal/mono"
)

// Decay is an exponentially decaying sum: after its time constant, 63 % of what was added
// is gone. The zero Decay is empty.
type Decay struct {
	sum  float64
	last mono.Time
}

// Add adds n at now. over is the time constant; it must be the same in all calls.
func (d *Decay) Add(now mono.Time, over time.Duration, n float64) {
	d.sum = d.Sum(now, over) + n
	d.last = max(d.last, now)
}

// Sum returns the rest of the sum at now.
func (d *Decay) Sum(now mono.Time, over time.Duration) float64 {
	if d.sum == 0 {
		return 0
	}
	return d.sum * math.Exp(-float64(max(now.Sub(d.last), 0))/float64(over))
}
