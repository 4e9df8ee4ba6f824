package catalogue

import (
	"time"

	"seedbed/internal/id"
	"seedbed/internal/objectstore"
)

// failure is what is known of an object that could not be loaded for a reason that may pass while the object stays the same: the
// store does not give its content, or the disk is full. Others choose what is in the store, so one such object must not keep the
// rest from being loaded: it is left out until retryTime later, and then comes after those that are new.
type failure struct {
	version uint64 // of the object; see versionOf
	round   uint32 // the last listing that has it
	retry   time.Time
}

const (
	// retryTime is how long an object that could not be loaded is left out.
	retryTime = 5 * time.Minute
	// maxAgain is how many of them are loaded again after one listing, chosen at random, so that many that never succeed cost few requests
	// and leave a turn to the others.
	maxAgain = 100
	// maxDenied is how many objects in a row the store may deny. More are an error of the store, such as credentials that may not read.
	maxDenied = 100
)

// postpone notes that an object could not be loaded, and reports whether that is new.
func (c *Catalogue) postpone(o *objectstore.Object, round uint32) (isNew bool) {
	key, version := keyOf(o.Name), versionOf(o)
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.failures[key]
	c.failures[key] = failure{version: version, round: round, retry: time.Now().Add(retryTime)}
	return !ok || f.version != version
}

// failed returns whether an object could not be loaded before, and whether it is left out for now. mu is held.
func (c *Catalogue) failed(key id.ID, version uint64, round uint32) (before, isLeftOut bool) {
	f, ok := c.failures[key]
	if !ok || f.version != version {
		return false, false
	}
	f.round = round
	c.failures[key] = f
	return true, time.Now().Before(f.retry)
}

// dropFailures forgets the objects that a complete listing lacks. mu is held.
func (c *Catalogue) dropFailures(round uint32) {
	for key, f := range c.failures {
		if f.round != round {
			delete(c.failures, key)
		}
	}
}
