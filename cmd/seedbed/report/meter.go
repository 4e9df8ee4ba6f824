package report

import (
	"math"
	"time"
)

// A meter is the speed of a count that grows, averaged over some seconds.
type meter struct {
	at   time.Time
	n    int64
	rate float64 // a second
}

const (
	meterEvery  = 250 * time.Millisecond // shortest time between two measurements
	meterMemory = 3 * time.Second        // after which a change of speed shows by two thirds
)

// update tells the meter that the count is n now, and returns its speed.
func (m *meter) update(now time.Time, n int64) float64 {
	dt := now.Sub(m.at)
	switch {
	case m.at.IsZero() || n < m.n: // it begins, or begins again
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
