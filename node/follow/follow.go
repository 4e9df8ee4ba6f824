// Package follow downloads the newest version published under a key, seeds it, and switches
// to each newer version once that is complete (BEP 46).
//
// A Follower belongs to one node and uses only its exported API. New items under the key are
// pushed by peers (push.go). In case none is connected, it also polls the DHT for them. It downloads the torrent of the newest item into a separate folder
// (folders.go). First it fills the folder with data from earlier versions (reuse.go). When
// the version is complete, it makes the symbolic link "current" point to it. The
// publication and its current version are recorded in the state directory (record.go), so
// that Restore resumes after a restart.
//
// A version is adopted only if its item is signed with the key, its number is higher than
// that of every adopted version, and its metadata and data match the infohash in the item.
// The owner of the key can delegate it to others (delegation.go). Stats counts the refused
// items.
//
// Events are emitted by the node: node.FoundVersion, node.SwitchedVersion, node.Recovered,
// and node.Warning for problems.
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
	"seedbed/internal/sealed"
	"seedbed/magnet"
	"seedbed/magnet/delegation"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// Config says what to follow, and how.
type Config struct {
	Link *magnet.Link // with a public key (BEP 46)
	Dir  string       // the folder of the versions and of "current"
	// Domain is the domain name by which the user follows the publication, or "". Package names has
	// resolved it. Start ends an earlier follow of the same name whose key was another one.
	Domain string
	// KeepAlive republishes the publisher's item, so that the link outlives the
	// publisher's machine. The item stays signed by the publisher.
	KeepAlive bool
	// Poll is the interval between checks for a newer version while nothing changes; 10
	// minutes by default, at least 1 second. Just after a change it is shorter.
	Poll time.Duration
	// Keep is the number of earlier versions to keep on disk; 1 by default, negative for
	// none.
	Keep  int
	Peers []string // HOST:PORT of peers to try, in addition to x.pe in the link
	// Owner names the client of the node that follows this for its own purpose, or is "".
	// Restore leaves a publication with an owner to that owner.
	Owner string
	// Admit, if not nil, is asked before any data of a version is downloaded. added is the
	// number of bytes in files that no version on disk has. If it returns an error, the current
	// version stays, the error is reported as a warning, and Admit is asked again later. It is
	// not recorded.
	Admit func(seq int64, info *metainfo.Info, added int64) error
}

// Validate returns an error if nothing can be followed with c, and sets the defaults. Start
// calls it; a caller can, before it opens a node.
func (c *Config) Validate() error {
	if c.Link == nil || !c.Link.HasPublicKey {
		return node.NewFault(node.FaultUsage, errors.New("the link has no public key (xs=urn:btpk:), so it has no versions to follow"), "use seedbed get for other links")
	}
	if c.Poll == 0 {
		c.Poll = 10 * time.Minute
	}
	if c.Poll < time.Second {
		return node.NewFault(node.FaultUsage, fmt.Errorf("a poll every %v would load the DHT too much", c.Poll), "give a second or more")
	}
	if c.Keep == 0 {
		c.Keep = 1
	}
	return nil
}

// Stats counts the polls, the refused items and the switches of a follower.
type Stats struct {
	Polls    int64
	Older    int64 // refused: an older version
	Unsigned int64 // refused: no valid signature
	Foreign  int64 // refused: the item of another key or salt
	Forked   int64 // refused: another value with a known number
	Useless  int64 // refused: signed, but without an infohash
	Expired  int64 // refused: the delegation of its key had expired
	Switched int64
}

// Follower follows one publication. All methods are safe for concurrent use.
type Follower struct {
	node   *node.Node
	items  *node.Items
	cfg    Config
	target id.ID
	folder *folder      // only run changes it, with mu held
	dirs   *versions    // what current leads to
	store  *versions    // the data of the torrents: dirs, unless keys is set
	keys   *sealed.Keys // of a private publication that is read; or nil (private.go)
	ctx    context.Context
	cancel context.CancelFunc
	remove func() // undoes OnClose
	done   chan struct{}
	pushes pushes
	judge  *delegation.Judge // decides which items count; only run uses it

	requests   chan request
	asking     atomic.Int32 // requests that wait
	cancelPoll atomic.Pointer[context.CancelFunc]

	active atomic.Pointer[node.Torrent]
	next   atomic.Pointer[fetch] // fetching, for other goroutines
	held   atomic.Int64          // number of the newest version that Stay holds back, or 0

	mu    sync.Mutex
	stats Stats

	poller
}

// poller is the state of a follower's goroutine.
type poller struct {
	fetching    *fetch
	stopKeeping []func()
	archives    map[string]*node.Archive // of earlier versions, by folder
	interval    time.Duration
	masterDue   time.Time // when to look up the item of the key in the link, if it names others
	warned      string    // the last warning, so that a retry does not repeat it
}

// Start follows a publication until Close, or until the node closes.
func Start(n *node.Node, cfg Config) (_ *Follower, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	f := &Follower{node: n, cfg: cfg, target: dht.ItemTarget(cfg.Link.PublicKey, cfg.Link.Salt), done: make(chan struct{}), pushes: newPushes(), judge: delegation.New(cfg.Link), requests: make(chan request)}
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
	if cfg.Domain != "" {
		if err = supersede(n, cfg.Domain, f.target); err != nil {
			return nil, err
		}
	}
	if f.dirs, err = openVersions(cfg.Dir); err != nil {
		return nil, err
	}
	if err = f.openStore(); err != nil {
		f.dirs.close()
		return nil, err
	}
	r := &f.folder.file
	r.set(&cfg, f.dirs.dir)
	if err = f.folder.save(r); err != nil {
		f.closeVersions()
		return nil, err
	}
	f.ctx, f.cancel = context.WithCancel(n.Context())
	if f.remove, err = n.OnClose(f.end); err != nil {
		f.cancel()
		f.closeVersions()
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
	return f.folder.file.shown().Seq
}

// Describe returns what is recorded of the publication.
func (f *Follower) Describe() Followed {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, err := f.folder.file.describe()
	if err != nil {
		panic(err) // the link was parsed before it was recorded
	}
	if held := f.held.Load(); held != 0 {
		d.Newest = held
	}
	return d
}

// Next returns the number and the torrent of the version that is being downloaded, or 0 and nil.
func (f *Follower) Next() (seq int64, t *node.Torrent) {
	if fe := f.next.Load(); fe != nil {
		return fe.seq, fe.torrent
	}
	return 0, nil
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
		err := f.node.Remove(ctx, t.InfoHash(), false)
		if err == nil {
			err = t.Settled(ctx)
		}
		if err != nil && !errors.Is(err, node.ErrUnknown) {
			errs = append(errs, err)
		}
	}
	for name := range f.archives {
		errs = append(errs, f.endArchive(ctx, name))
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
