package dht

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// LookupMethods are the queries that lookups send.
var LookupMethods = [...]string{"get_peers", "find_node", "get", "sample_infohashes"}

// LookupBounds are the upper bounds of LookupCounts.Within.
var LookupBounds = [...]time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond,
	800 * time.Millisecond, 1600 * time.Millisecond, 3200 * time.Millisecond, 6400 * time.Millisecond, 12800 * time.Millisecond}

// LookupCounts counts the lookups that have ended since the start.
type LookupCounts struct {
	Within     [len(LookupBounds)]uint64 // answered lookups that took at most LookupBounds
	Answered   uint64                    // at least one node has answered
	Took       time.Duration             // of all of those together
	Unanswered uint64
	Canceled   uint64
}

// endedLookups counts the lookups of each of LookupMethods.
type endedLookups [len(LookupMethods)]struct {
	within                         [len(LookupBounds)]atomic.Uint64 // each without those of smaller bounds
	answered, unanswered, canceled atomic.Uint64
	took                           atomic.Int64
}

// count counts a lookup that has ended with an error or nil.
func (e *endedLookups) count(t *traversal, err error) {
	i := 0
	for LookupMethods[i] != t.method {
		i++
	}
	c := &e[i]
	switch {
	case errors.Is(err, ErrClosed):
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		c.canceled.Add(1)
	case t.answerCount() == 0:
		c.unanswered.Add(1)
	default:
		c.answered.Add(1)
		c.took.Add(int64(t.took))
		for k, bound := range LookupBounds {
			if t.took <= bound {
				c.within[k].Add(1)
				break
			}
		}
	}
}

// LookupCounts returns the numbers of each of LookupMethods, including lookups that fill the routing tables.
func (d *DHT) LookupCounts() (out [len(LookupMethods)]LookupCounts) {
	for i := range d.lookups.ended {
		c, o := &d.lookups.ended[i], &out[i]
		sum := uint64(0)
		for k := range c.within {
			sum += c.within[k].Load()
			o.Within[k] = sum
		}
		o.Took = time.Duration(c.took.Load())
		o.Answered = max(c.answered.Load(), sum) // another lookup may have ended meanwhile
		o.Unanswered, o.Canceled = c.unanswered.Load(), c.canceled.Load()
	}
	return out
}
