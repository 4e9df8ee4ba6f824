package report

import (
	"math"
	"time"
)

// A meter measures the rate of a growing count, averaged over a few seconds.
type meter struct {
	at   time.Time
	n    int64
	rate float64 // per second
}

const (
	meterEvery  = 250 * time.Millisecond // minimum time between two measurements
	meterMemory = 3 * time.Second        // time constant of the average: after it, the average has followed a change by 63 %
)

// update sets the count to n and returns the rate.
func (m *meter) update(now time.Time, n int64) float64 {
	dt := now.Sub(m.at)
	switch {
	case m.at.IsZero() || n < m.n: // the first call, or the count was reset
		*m = meter{at: now, n: n}
	case dt >= meterEvery:
		speed := float64(n-m.n) / dt.Seconds()
		if m.rate == 0 {
			m.rate = speed
		}
		m.rate += (speed - m.rate) * (1 - math.Exp(-dt.Seconds()/meterMemory.Seconds()))
		m.at, m.n = now, n
	}
	return m.rate
}
