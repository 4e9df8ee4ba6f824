package rate

import (
	"math"
	"time"

	"seedbed/internal/mono"
)

// Decay is a sum whose parts are forgotten with time: after its time constant, 63 % of
// them. The zero Decay is empty.
type Decay struct {
	sum  float64
	last mono.Time
}

// Add adds n at now. over is the time constant, the same in all calls.
func (d *Decay) Add(now mono.Time, over time.Duration, n float64) {
	d.sum = d.Sum(now, over) + n
	d.last = max(d.last, now)
}

// Sum returns what is left at now.
func (d *Decay) Sum(now mono.Time, over time.Duration) float64 {
	if d.sum == 0 {
		return 0
	}
	return d.sum * math.Exp(-float64(max(now.Sub(d.last), 0))/float64(over))
}
