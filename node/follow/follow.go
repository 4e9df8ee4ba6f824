// Package follow downloads the newest version published under a key, seeds it, and switches
// to each newer version once that is complete (BEP 46).
//
// A Follower belongs to one node and uses only its exported API. It polls the DHT for the
// item under the key and downloads the torrent that the newest item names into a separate
// folder (folders.go). First it fills the folder with the data that earlier versions have
// (reuse.go); at the end it points the link "current" to it. The publication and its current
// version are recorded in the state directory (record.go), so that Restore resumes after a
// restart.
//
// A version is adopted only if its item is signed by the key, its number is higher than any
// that was adopted, and its metadata and data have the hashes that follow from the item.
// Refused items are counted in Stats.
//
// The node emits the events: node.FoundVersion, node.SwitchedVersion, and node.Warning for
// problems.
package follow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node"
)

// Config says what to follow, and how.
type Config struct {
	Link *magnet.Link // with a public key (BEP 46)
	Dir  string       // the folder of the versions and of "current"
	// KeepAlive republishes the publisher's item, so that the link outlives the
	// publisher's machine. The item stays signed by the publisher.
	KeepAlive bool
	// Poll is the interval between checks for a newer version when nothing has changed
	// lately; 10 minutes by default, at least 1 second.
	Poll time.Duration
	// Keep is the number of earlier versions to keep on disk; 1 by default, negative for
	// none.
	Keep  int
	Peers []string // HOST:PORT to try besides the link's x.pe
}

func (c *Config) validate() error {
	if c.Link == nil || !c.Link.HasPublicKey {
		return node.NewFault(node.FaultUsage, errors.New("the link has no public key (xs=urn:btpk:), so there is nothing to follow"), "seedbed get opens other links")
	}
	if c.Poll == 0 {
		c.Poll = 10 * time.Minute
	}
	if c.Poll < time.Second {
		return node.NewFault(node.FaultUsage, fmt.Errorf("asking every %v would burden the DHT", c.Poll), "give a second or more")
	}
	if c.Keep == 0 {
		c.Keep = 1
	}
	return nil
}

// Stats counts the items that a follower has received.
type Stats struct {
	Polls    int64
	Older    int64 // answers with an older version: refused
	Unsigned int64 // with a missing or wrong signature: refused
	Foreign  int64 // of another key or salt: refused
	Forked   int64 // another value under a known number: refused
	Useless  int64 // signed, but without a torrent: refused
	Switched int64
}

// A Follower follows one publication. All methods are safe for concurrent use.
type Follower struct {
	node   *node.Node
	items  *node.Items
	cfg    Config
	target id.ID
	folder *folder // run changes it only with mu held
	dirs   *versions
	ctx    context.Context
	cancel context.CancelFunc
	remove func() // undoes OnClose
	done   chan struct{}
	hint   chan dht.Item // a newer item that the keeper saw; buffered: 1
	active atomic.Pointer[node.Torrent]

	mu    sync.Mutex
	stats Stats

	poller
}

// poller is the state of a follower's goroutine.
type poller struct {
	fetching *fetch
	unkeep   func()
	interval time.Duration
	refused  int64  // number of an item that names no torrent
	warned   string // the last warning, so that a retry does not repeat it
}

// Start starts to follow a publication, until Close or the end of the node.
func Start(n *node.Node, cfg Config) (_ *Follower, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	f := &Follower{node: n, cfg: cfg, target: dht.ItemTarget(cfg.Link.PublicKey, cfg.Link.Salt), done: make(chan struct{}), hint: make(chan dht.Item, 1)}
	if f.items, err = n.Items(); err != nil {
		return nil, err
	}
	if f.folder, err = openFolder(n.StateDir(), f.target); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.folder.close())
		}
	}()
	if f.dirs, err = openVersions(cfg.Dir); err != nil {
		return nil, err
	}
	r := &f.folder.file
	r.set(&cfg, f.dirs.dir)
	if err = f.folder.save(r); err != nil {
		f.dirs.close()
		return nil, err
	}
	f.ctx, f.cancel = context.WithCancel(n.Context())
	if f.remove, err = n.OnClose(f.end); err != nil {
		f.cancel()
		f.dirs.close()
		return nil, err
	}
	go f.run()
	return f, nil
}

// Torrent returns the torrent of the current version, or nil if there is none yet.
func (f *Follower) Torrent() *node.Torrent { return f.active.Load() }

// Seq returns the number of the current version, or 0 if there is none yet.
func (f *Follower) Seq() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.folder.file.Seq
}

// Stats returns the counts so far.
func (f *Follower) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// Close stops following. The publication stays on record, and the torrent keeps running
// until the node closes.
func (f *Follower) Close() {
	f.remove()
	f.end()
}

func (f *Follower) end() {
	f.cancel()
	<-f.done
}

// Remove stops following permanently: it removes the torrent from the node and the record
// from the state directory. The versions stay on disk.
func (f *Follower) Remove(ctx context.Context) error {
	f.remove()
	f.cancel()
	<-f.done
	var errs []error
	for _, t := range []*node.Torrent{f.Torrent(), f.pending()} {
		if t == nil {
			continue
		}
		if err := f.node.Remove(ctx, t.InfoHash(), false); err != nil && !errors.Is(err, node.ErrUnknown) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, f.folder.remove())...)
}

// pending returns the torrent of a version that is not adopted yet, or nil.
func (f *Follower) pending() *node.Torrent {
	if f.fetching == nil || f.fetching.torrent == f.Torrent() {
		return nil
	}
	return f.fetching.torrent
}
