package lookup

import (
	"slices"
	"time"
)

// quantile estimates the 90th percentile of the latest round trips.
type quantile struct {
	ring [32]time.Duration
	n    int
}

func (q *quantile) add(d time.Duration) {
	q.ring[q.n%len(q.ring)] = d
	q.n++
}

// p90 is the estimate; three samples are too few for one.
func (q *quantile) p90() (time.Duration, bool) {
	n := min(q.n, len(q.ring))
	if n < 4 {
		return 0, false
	}
	s := q.ring
	slices.Sort(s[:n])
	return s[min(n-1, n*9/10)], true
}
