// Package mono is time as the pure rooms see it: nanoseconds since an epoch
// that the caller chose, always handed in, never read from a clock.
//
// The shell that drives a pure room keeps one epoch (a time.Time taken at its
// start) and converts with From. Times of two different epochs must not meet.
package mono

import "time"

// Time is a moment: nanoseconds since the caller's epoch. The zero Time is the
// epoch itself; Never is later than every moment.
type Time int64

// Never is a deadline that does not come.
const Never Time = 1<<63 - 1

// From converts a wall-and-monotonic time to nanoseconds since epoch.
func From(epoch, t time.Time) Time { return Time(t.Sub(epoch)) }

// Add is the moment d after t. Never stays Never, and a sum too large to hold
// is Never.
func (t Time) Add(d time.Duration) Time {
	s := t + Time(d)
	if t == Never || (d > 0 && s < t) {
		return Never
	}
	return s
}

// Sub is the time from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool { return t < u }
