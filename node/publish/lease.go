package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/objectstore"
	"seedbed/node"
)

// A store without conditional writes cannot take numbers, so only one publisher may use it. It has a lease there, which it
// renews. Clocks are not compared: a lease that another publisher does not renew for leaseTime has ended.

const (
	leaseName = ".seedbed/publisher"
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

// lease makes a publisher the only one of a store.
type lease struct {
	store *objectstore.Store
	self  string

	mu      sync.Mutex
	held    bool
	count   int64
	stop    context.CancelFunc
	renewal sync.WaitGroup
}

// take takes the lease, unless it is held. It returns a node.Fault if another publisher has it.
func (l *lease) take(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		return nil
	}
	first, err := l.read(ctx)
	if err != nil {
		return err
	}
	for waited := time.Duration(0); first.isOf(l.self) && waited < leaseTime; waited += leaseLook {
		if err := await.Sleep(ctx, leaseLook); err != nil {
			return err
		}
		now, err := l.read(ctx)
		if err != nil {
			return err
		}
		if now != first && now.isOf(l.self) {
			return l.refused()
		}
		first = now
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
		return l.refused()
	}
	l.held = true
	renew, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.renewal.Go(func() { l.renew(renew) })
	return nil
}

// isOf reports whether another publisher than self has written the record.
func (r leaseRecord) isOf(self string) bool { return r.Publisher != "" && r.Publisher != self }

func (l *lease) refused() error {
	return node.NewFault(node.FaultConflict, fmt.Errorf("another machine publishes through %s, and this object store has no conditional writes, so that two would take the same numbers", l.store.Location()),
		"publish from one machine only, or use an object store with conditional writes (If-Match)")
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
	l.count++
	b, err := json.Marshal(leaseRecord{l.self, l.count})
	if err == nil {
		_, err = l.store.Write(ctx, leaseName, b, "application/json", objectstore.Condition{})
	}
	return err
}

// renew renews the lease until ctx ends, or until another publisher has taken it.
func (l *lease) renew(ctx context.Context) {
	for await.Sleep(ctx, renewEvery) == nil {
		now, err := l.read(ctx)
		if err != nil {
			continue // the store is away for all publishers
		}
		l.mu.Lock()
		if now.isOf(l.self) {
			l.held = false
			l.mu.Unlock()
			return
		}
		_ = l.write(ctx) // the next renewal makes up for it
		l.mu.Unlock()
	}
}

// close gives the lease up.
func (l *lease) close() {
	l.mu.Lock()
	stop, held := l.stop, l.held
	l.held = false
	l.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	l.renewal.Wait()
	if held {
		ctx, cancel := context.WithTimeout(context.Background(), objectstore.Patience)
		defer cancel()
		_ = l.store.Remove(ctx, leaseName) // it ends by itself
	}
}
