// Package mono defines the time of packages without a clock: nanoseconds since an epoch
// that the caller chooses. Such a package never reads a clock; its caller passes the time
// in.
//
// The caller keeps one epoch (a time.Time taken at its start) and converts with From.
// Times of different epochs must not be mixed.
package mono

import "time"

// Time is a moment in nanoseconds since the caller's epoch. The zero Time is the epoch
// itself; Never is later than every moment.
type Time int64

// Never is a deadline that is never reached.
const Never Time = 1<<63 - 1

// From returns t in nanoseconds since epoch.
func From(epoch, t time.Time) Time { return Time(t.Sub(epoch)) }

// Add returns the moment d after t. It returns Never if t is Never or the sum overflows.
func (t Time) Add(d time.Duration) Time {
	s := t + Time(d)
	if t == Never || (d > 0 && s < t) {
		return Never
	}
	return s
}

// Sub returns the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool { return t < u }
