package publish

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/objectstore"
)

// A store without conditional writes cannot take numbers, so only one publisher may use it. It has a lease there, which it
// renews. Clocks are not compared: a lease that another publisher does not renew for leaseTime has ended.

const (
	leaseName = objectstore.OwnFolder + "/publisher"
	// renewEvery is how often a lease is renewed, and leaseTime how long one lasts that is not.
	renewEvery = 30 * time.Second
	leaseTime  = 2 * time.Minute
	// leaseLook is how often others look at it.
	leaseLook = 5 * time.Second
	// leaseSettle is longer than the write of another publisher can take.
	leaseSettle = 2 * objectstore.Patience
	// maxLease is the maximum size of the object in bytes.
	maxLease = 1 << 10
)

// leaseRecord is the content of the object.
type leaseRecord struct {
	Publisher string `json:"publisher"`
	Count     int64  `json:"count"` // changes with each renewal
}

// isOthers reports whether another publisher than self has written the record.
func (r leaseRecord) isOthers(self string) bool { return r.Publisher != "" && r.Publisher != self }

// errLeased reports that another publisher renews the lease.
var errLeased = errors.New("another publisher renews the lease")

// lease makes a publisher the only one of a store.
type lease struct {
	store *objectstore.Store
	self  string

	ctx     context.Context // ends with close
	stop    context.CancelFunc
	renewal sync.WaitGroup

	mu         sync.Mutex // not held while the store is asked
	isTaken    bool
	isRenewing bool
	renewed    time.Time // when the last write that succeeded began
	count      int64
}

func newLease(store *objectstore.Store, self string) *lease {
	l := &lease{store: store, self: self}
	l.ctx, l.stop = context.WithCancel(context.Background())
	return l
}

// isHeld reports whether the publisher has the lease. Another one may take it leaseTime after the last renewal, so it
// ends before that, with time for a write that has begun.
func (l *lease) isHeld() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isHeldLocked()
}

func (l *lease) isHeldLocked() bool {
	now := time.Now()
	// The monotonic clock stops while the machine is suspended, and the wall clock may be set back.
	age := max(now.Sub(l.renewed), now.Round(0).Sub(l.renewed.Round(0)))
	return l.isTaken && age < leaseTime-leaseSettle
}

// take takes the lease, unless it is held. The error is errLeased if another publisher has it. take is called once at a time.
func (l *lease) take(ctx context.Context) error {
	if l.isHeld() {
		return nil
	}
	l.drop()
	if _, err := l.awaitFree(ctx); err != nil {
		return err
	}
	if err := l.write(ctx); err != nil {
		return err
	}
	if err := await.Sleep(ctx, leaseSettle); err != nil {
		return err
	}
	now, err := l.read(ctx)
	if err != nil {
		return err
	}
	if now.Publisher != l.self {
		return errLeased
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isTaken = true
	if !l.isRenewing {
		l.isRenewing = true
		l.renewal.Go(l.renew)
	}
	return nil
}

// drop records that the lease is not held.
func (l *lease) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isTaken = false
}

// awaitFree returns when no other publisher has the lease. abandoned says that one has had it, and has not renewed it for
// leaseTime. The error is errLeased if one renews it.
func (l *lease) awaitFree(ctx context.Context) (abandoned bool, err error) {
	first, err := l.read(ctx)
	if err != nil || !first.isOthers(l.self) {
		return false, err
	}
	for waited := time.Duration(0); waited < leaseTime; waited += leaseLook {
		if err := await.Sleep(ctx, leaseLook); err != nil {
			return false, err
		}
		now, err := l.read(ctx)
		switch {
		case err != nil:
			return false, err
		case !now.isOthers(l.self):
			return false, nil
		case now != first:
			return false, errLeased
		}
	}
	return true, nil
}

func (l *lease) read(ctx context.Context) (r leaseRecord, err error) {
	b, _, err := l.store.Load(ctx, leaseName, maxLease)
	if objectstore.KindOf(err) == objectstore.NotFound {
		return r, nil
	}
	if err == nil && json.Unmarshal(b, &r) != nil {
		r = leaseRecord{}
	}
	return r, err
}

func (l *lease) write(ctx context.Context) error {
	l.mu.Lock()
	l.count++
	count := l.count
	l.mu.Unlock()
	b, err := json.Marshal(leaseRecord{l.self, count})
	if err != nil {
		return err
	}
	began := time.Now()
	if _, err := l.store.Write(ctx, leaseName, b, "application/json", objectstore.Condition{}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = began
	return nil
}

// renew renews the lease until close is called, another publisher has taken it, or it has ended because the store was away.
func (l *lease) renew() {
	for await.Sleep(l.ctx, renewEvery) == nil && l.isStillHeld() {
		now, err := l.read(l.ctx)
		switch {
		case err != nil: // the lease ends unless the store is back in time
		case now.isOthers(l.self):
			l.drop()
		case l.isHeld():
			_ = l.write(l.ctx) // the next renewal makes up for it
		}
	}
}

// isStillHeld is isHeld for renew, which ends if the lease is not held.
func (l *lease) isStillHeld() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isRenewing = l.isHeldLocked()
	return l.isRenewing
}

// close gives the lease up.
func (l *lease) close() {
	l.stop()
	l.renewal.Wait()
	if l.isHeld() {
		ctx, cancel := context.WithTimeout(context.Background(), objectstore.Patience)
		defer cancel()
		_ = l.store.Remove(ctx, leaseName) // it ends by itself
	}
	l.drop()
}
