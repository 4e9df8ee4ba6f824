package lookup

import (
	"slices"
	"time"
)

// quantile estimates the 90th percentile of the latest round trips. It is read far more
// often than it is updated.
type quantile struct {
	ring   [32]time.Duration
	n      int
	latest time.Duration // the estimate
}

func (q *quantile) add(d time.Duration) {
	q.ring[q.n%len(q.ring)] = d
	q.n++
	n := min(q.n, len(q.ring))
	s := q.ring
	slices.Sort(s[:n])
	q.latest = s[min(n-1, n*9/10)]
}

// p90 returns the estimate. Three samples are too few for one.
func (q *quantile) p90() (time.Duration, bool) { return q.latest, q.n > 3 }
