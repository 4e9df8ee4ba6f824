package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"seedbed/internal/id"
	"seedbed/internal/sealed"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
	"seedbed/swarm/s3store"
)

// Publication is a file or folder that is published under a key. Its newest version is
// seeded, and its item is republished in the DHT. All methods are safe for concurrent use.
type Publication struct {
	publisher *Publisher
	ctx       context.Context // ends when the publication ends
	cancel    context.CancelFunc
	user      ed25519.PrivateKey // the user's key
	place     id.ID              // identifies the publication on this machine
	torrent   atomic.Pointer[node.Torrent]
	pushes    *node.ItemSubscription
	archive   archive // of the earlier versions

	// making is held while a version is made, which can take a long time. It guards the
	// fields below. The content of folder is also guarded by mu: changing the recorded
	// versions needs both locks, reading them needs either.
	making        turn
	folder        *folder
	options       node.ShareOptions
	data          string             // the folder into which a rollback downloads the data, or ""
	fingerprint   create.Fingerprint // of the files when the newest version was made
	key           ed25519.PrivateKey // signs the items
	target        id.ID              // of the item
	secret        sealed.Secret      // of a private publication
	facts         facts              // of the files of the version that is being made
	isResumed     bool               // the version that is being made is that of the recorded path
	shared        shared             // the record in the object store
	storeSeeds    *s3store.WebSeeds  // of the place of the objects; nil before they are first asked for
	onWait        func()             // called when publishing waits for the object store; may be nil
	stopKeeping   func()
	stopStatement func() // of a delegated publication; nil before the first version

	mu      sync.Mutex
	outcome Outcome
	seen    seen
	ended   bool
}

// Outcome is what publishing has led to.
type Outcome struct {
	Link     string // with the key
	KeepLink string // of a private publication: keeps it alive without reading it
	Seq      int64  // of the newest version
	InfoHash id.ID  // of its torrent
	// IsUnchanged says that the newest version had this content before, so that no version was made.
	IsUnchanged bool
	// WasShared says that another client of the node had added the torrent before the publication
	// used it. It may be paused, and it stays when the publication ends.
	WasShared bool
}

// Outcome returns what the last call of Publish, Apply, Update or Rollback that succeeded has led to.
func (p *Publication) Outcome() Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outcome
}

// seen records what has been reported about the items in the DHT, so that nothing is
// reported twice.
type seen struct {
	foreign  int64 // sequence number of the reported item of another machine
	reported bool  // the number of nodes that store the item was reported, even if it was 0
	held     bool  // at least one node stores the newest item
	isAsking bool  // lookInStore runs
}

// Link returns the permanent link that followers open.
func (p *Publication) Link() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link()
}

func (p *Publication) link() string {
	link, err := p.folder.file.link()
	if err != nil {
		panic(err) // the record holds a valid key
	}
	return link.String()
}

// keepLink returns the link that keeps a private publication alive; "" for a public one.
func (p *Publication) keepLink() string {
	link, err := p.folder.file.link()
	if err != nil {
		panic(err) // the record holds a valid key
	}
	if !link.IsPrivate() {
		return ""
	}
	return link.ToKeep().String()
}

// Torrent returns the torrent of the newest version.
func (p *Publication) Torrent() *node.Torrent { return p.torrent.Load() }

func (p *Publication) salt() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.folder.file.Salt
}

// Connected returns the number of connected peers to which new versions are pushed: followers, also of the
// previous version for a moment.
func (p *Publication) Connected() int {
	p.mu.Lock()
	s := p.pushes
	p.mu.Unlock()
	return s.Peers()
}

// Describe returns what is recorded of the publication.
func (p *Publication) Describe() Published {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, err := p.folder.file.describe()
	if err != nil {
		panic(err) // the record holds a valid key
	}
	return d
}

// Versions returns the recorded versions in ascending order.
func (p *Publication) Versions() []Version {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.folder.file.Versions)
}

// Metadata returns the metadata of a version, or ErrNoVersion. It reads the state directory.
func (p *Publication) Metadata(seq int64) (*metainfo.Info, error) {
	for _, v := range p.Versions() {
		if v.Seq != seq {
			continue
		}
		if t := p.folder.torrent(&v); t != nil {
			return t.Info, nil
		}
	}
	return nil, fmt.Errorf("%w with the number %d", ErrNoVersion, seq)
}

// ErrNoVersion is the error for a version whose metadata is not on disk.
var ErrNoVersion = errors.New("there is no version")

// Update makes and publishes the next version if the files have changed. It hashes only
// files whose size or modification time has changed.
func (p *Publication) Update(ctx context.Context) (changed bool, err error) {
	err = p.exclusively(ctx, func(ctx context.Context) error {
		changed, err = p.update(ctx, false)
		return err
	})
	return changed && err == nil, err
}

// exclusively calls do while no other version is made. It returns node.ErrClosed if the publication has ended or ends
// meanwhile, which ends the context of do.
func (p *Publication) exclusively(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := either(ctx, p.ctx)
	defer cancel()
	err := p.making.lockWithin(ctx)
	if err == nil {
		defer p.making.Unlock()
		if p.isClosed() {
			return node.ErrClosed
		}
		err = do(ctx)
	}
	if err != nil && p.isEnding() {
		return node.ErrClosed
	}
	return err
}

// isEnding reports whether Close or Remove has been called. It is false if the whole publisher ends.
func (p *Publication) isEnding() bool { return p.ctx.Err() != nil && p.publisher.ctx.Err() == nil }

// Rollback publishes an earlier version again under a new number. If the path no longer
// contains that version, its data is downloaded from followers that have it. overrule is as
// in Config.
func (p *Publication) Rollback(ctx context.Context, seq int64, overrule bool) error {
	return p.exclusively(ctx, func(ctx context.Context) error { return p.rollback(ctx, seq, overrule) })
}

func (p *Publication) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// Close stops republishing the item, and lets other processes publish under the key. It ends an operation that runs. The
// torrent keeps running until the node closes.
func (p *Publication) Close() {
	if p.end() {
		if err := p.folder.close(); err != nil {
			p.warn(fmt.Errorf("cannot release the lock of a publication: %w", err))
		}
	}
}

// Remove ends the publication permanently: it removes the torrent from the node, and the
// publication with its history from the state directory. With keepHistory, the history stays
// there, and Publish continues it. The key and the published files stay. DHT nodes drop the
// item after two hours. It ends an operation that runs.
//
// With an object store, Remove first records there that the publication has ended, so that no other machine republishes
// its item. If the store does not answer, that is done later.
func (p *Publication) Remove(keepHistory bool) error {
	if p.publisher.fence != nil && !p.isClosed() {
		if err := p.recordEnd(); err != nil {
			return err
		}
	}
	if !p.end() {
		return node.ErrClosed
	}
	if t := p.Torrent(); t != nil {
		p.publisher.torrents.release(t, p.data)
	} else {
		p.forgetAll() // of an earlier run, because it ends before it was resumed
	}
	if err := p.endArchive(); err != nil {
		p.warn(fmt.Errorf("cannot remove what is shared of earlier versions: %w", err))
	}
	return p.folder.end(keepHistory)
}

// end ends the publication. It returns false if the publication has ended before.
func (p *Publication) end() bool {
	p.cancel() // before making is locked: what holds it may wait for the object store
	p.making.Lock()
	defer p.making.Unlock()
	p.mu.Lock()
	was := p.ended
	p.ended = true
	p.mu.Unlock()
	if was {
		return false
	}
	if p.stopKeeping != nil {
		p.stopKeeping()
		p.stopStatement()
	}
	p.pushes.Close()
	q := p.publisher
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open[p.place] == p {
		delete(q.open, p.place)
	}
	return true
}

func (p *Publication) warn(err error) {
	p.publisher.node.Emit(node.Event{Kind: node.Warning, Err: err}.About(p.Torrent()))
}
