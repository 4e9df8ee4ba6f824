package catalogue

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/journal"
	"seedbed/internal/objectstore"
	"seedbed/node"
)

// Config configures Open.
type Config struct {
	// Node shares the torrents. It must have the object store (node.Config.Objects), and its session must be restored.
	Node *node.Node
	// Warn is called with what goes wrong, possibly concurrently. It may be nil.
	Warn func(error)
}

// Catalogue shares the catalogue of an object store on one node.
type Catalogue struct {
	node  *node.Node
	store *objectstore.Store
	warn  func(error)
	kept  *journal.Journal
	ctx   context.Context
	stop  context.CancelFunc
	wake  chan struct{}
	ended sync.WaitGroup

	opened     time.Time
	isRestored bool // an earlier run had torrents
	listed     int  // objects that the last listing had; only run uses it

	mu      sync.Mutex
	entries map[id.ID]entry // by the keys of their names
	ours    map[id.ID]int32 // the infohashes of the torrents that the catalogue has added; how many objects have each
	// failures are the objects that could not be loaded, by their keys. They may have an entry of an earlier version too.
	failures map[id.ID]failure
	round    uint32
	status   Status
	// isSuspicious says that the last complete listing lacked so many that they are kept for longer.
	isSuspicious bool
}

// Status says what the catalogue is doing.
type Status struct {
	Location string    // the folder of the torrent files, as in s3://BUCKET/PREFIX/.seedbed/torrents/
	Listed   time.Time // when the last complete listing ended; the zero Time if there was none
	Objects  int       // torrent files in the store, as far as they are known
	Torrents int       // torrents of them that the node shares
	Refused  int       // objects that are no torrents that can be shared, or cannot be loaded now
	LeftOut  int       // objects that are left out because there are too many
	Absent   int       // objects that the last complete listing lacks, and whose torrents are still shared
	Err      error     // why the last listing failed, or what it has was not loaded, or nil
}

// Open starts to share the catalogue of the node's object store. It reads the state directory, but does not wait for the
// store. The catalogue ends with Close or with the node.
func Open(cfg Config) (*Catalogue, error) {
	o := cfg.Node.Objects()
	if o == nil {
		return nil, node.NewFault(node.FaultUsage, errors.New("a catalogue needs an object store"), "start with --store")
	}
	c := &Catalogue{node: cfg.Node, store: o.Store, warn: cfg.Warn, wake: make(chan struct{}, 1), entries: map[id.ID]entry{}, ours: map[id.ID]int32{}, failures: map[id.ID]failure{}, opened: time.Now()}
	if c.warn == nil {
		c.warn = func(error) {}
	}
	var err error
	if c.kept, err = journal.Open(filepath.Join(cfg.Node.StateDir(), "catalogue")); err != nil {
		return nil, fmt.Errorf("cannot read what is kept of the catalogue: %w", err)
	}
	c.status.Location = c.store.Location().Name(folder)
	c.restore()
	c.ctx, c.stop = context.WithCancel(cfg.Node.Context())
	c.ended.Go(c.run)
	return c, nil
}

// Close ends the catalogue. Its torrents stay in the session.
func (c *Catalogue) Close() error {
	c.stop()
	c.ended.Wait()
	return c.kept.Close()
}

// Refresh lists the store soon, and not only after the interval.
func (c *Catalogue) Refresh() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Status returns what the catalogue is doing.
func (c *Catalogue) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// IsLoaded reports whether the node has the torrents of the catalogue: from an earlier run, or by a complete listing.
func (c *Catalogue) IsLoaded() bool { return c.isRestored || !c.Status().Listed.IsZero() }

// restore reads what is kept. A damaged entry is loaded again.
func (c *Catalogue) restore() {
	for _, key := range c.kept.Keys() {
		b, err := c.kept.Get(key)
		if err != nil {
			continue
		}
		if e, err := parseEntry(b); err == nil && len(c.entries) < maxTorrents {
			c.set(key, e)
		}
	}
	c.count()
	c.isRestored = len(c.ours) > 0
}

// set sets an entry, and counts the objects of its torrent. mu is held, unless nobody else has c.
func (c *Catalogue) set(key id.ID, e entry) {
	c.unset(key)
	c.entries[key] = e
	if e.kind == ours {
		c.ours[e.infohash]++
	}
}

// unset removes an entry. mu is held, unless nobody else has c.
func (c *Catalogue) unset(key id.ID) {
	e, ok := c.entries[key]
	if !ok {
		return
	}
	delete(c.entries, key)
	if e.kind != ours {
		return
	}
	if c.ours[e.infohash]--; c.ours[e.infohash] == 0 {
		delete(c.ours, e.infohash)
	}
}

// count updates the status. mu is held, unless nobody else has c.
func (c *Catalogue) count() {
	s := &c.status
	s.Objects, s.Torrents, s.Refused = len(c.entries), len(c.ours), 0
	for _, e := range c.entries {
		if e.kind == refused {
			s.Refused++
		}
	}
	for key := range c.failures {
		if e, ok := c.entries[key]; !ok {
			s.Objects++
			s.Refused++
		} else if e.kind != refused {
			s.Refused++
		}
	}
}

// run lists the store again and again.
func (c *Catalogue) run() {
	for c.ctx.Err() == nil {
		began := time.Now()
		more, err := c.sync(c.ctx)
		if c.ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		isNew := err != nil && c.status.Err == nil
		c.status.Err = err
		c.mu.Unlock()
		if isNew {
			c.warn(fmt.Errorf("the catalogue in %s is not up to date, and is read again later: %w", c.store.Location().Name(folder), err))
		}
		if more && err == nil {
			continue
		}
		c.pause(max(listingPause(c.listed), listingShare*time.Since(began)))
	}
}

// listingPause returns the time until the next listing, after one that had this many objects.
func listingPause(objects int) time.Duration {
	return max(interval, time.Duration(objects)*time.Minute/(listPage*maxListRequests))
}

// listingShare limits the listings of a slow store or a large catalogue to about 1/listingShare of all time.
const listingShare = 4

// pause waits for a time or for Refresh.
func (c *Catalogue) pause(wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.wake:
	case <-c.ctx.Done():
	}
}
