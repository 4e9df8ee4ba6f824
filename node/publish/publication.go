package publish

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
)

// A Publication is a file or folder that is published under a key: its newest version is
// seeded, and the item that names it is kept alive in the DHT. Its methods may be called
// from any goroutine.
type Publication struct {
	publisher *Publisher
	key       ed25519.PrivateKey
	target    id.ID
	torrent   atomic.Pointer[node.Torrent]

	// making is held while a version is made, which may take long. It guards what
	// follows, and the content of folder together with mu: both are held to change the
	// versions on record, either to read them.
	making  sync.Mutex
	folder  *folder
	options node.ShareOptions
	data    string             // the folder of the torrent's data if a rollback downloads it
	print   create.Fingerprint // of the files when the newest version was made
	unkeep  func()

	mu    sync.Mutex
	seen  seen
	ended bool
}

// seen is what was reported of the items in the DHT, so that each thing is reported once.
type seen struct {
	foreign  int64 // number of an item of another machine
	reported bool  // where the newest item is, or that it is nowhere
	held     bool  // nodes hold the newest item
}

// Link returns the link that followers open.
func (p *Publication) Link() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link()
}

func (p *Publication) link() string {
	link, err := p.folder.file.link()
	if err != nil {
		panic(err) // the key in the record is ours
	}
	return link
}

// Torrent returns the torrent of the newest version.
func (p *Publication) Torrent() *node.Torrent { return p.torrent.Load() }

// Versions returns the versions on record, ascending.
func (p *Publication) Versions() []Version {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.folder.file.Versions)
}

// Update makes and puts the next version if the files have changed. Only files that were
// touched are hashed.
func (p *Publication) Update(ctx context.Context) (changed bool, err error) {
	ctx, cancel := p.publisher.within(ctx)
	defer cancel()
	p.making.Lock()
	defer p.making.Unlock()
	if p.isClosed() {
		return false, node.ErrClosed
	}
	return p.update(ctx, false)
}

// Rollback publishes an earlier version again, under a new number. Its data comes from
// the path, if that holds it, or is downloaded from followers that have kept it.
func (p *Publication) Rollback(ctx context.Context, seq int64, overrule bool) error {
	ctx, cancel := p.publisher.within(ctx)
	defer cancel()
	p.making.Lock()
	defer p.making.Unlock()
	if p.isClosed() {
		return node.ErrClosed
	}
	return p.rollback(ctx, seq, overrule)
}

func (p *Publication) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// Close stops keeping the item alive and lets other processes publish. The torrent goes
// on until the node ends.
func (p *Publication) Close() {
	if p.end() {
		if err := p.folder.close(); err != nil {
			p.warn(fmt.Errorf("the lock of a publication was not released: %w", err))
		}
	}
}

// Remove ends the publication for good: it removes the torrent from the node, and the
// publication with its history from the state directory. The key and the published files
// stay. The item is forgotten by the DHT after two hours.
func (p *Publication) Remove() error {
	if !p.end() {
		return node.ErrClosed
	}
	p.publisher.torrents.release(p.Torrent(), p.data)
	return p.folder.remove()
}

// end reports whether the publication had not ended before.
func (p *Publication) end() bool {
	p.making.Lock()
	defer p.making.Unlock()
	p.mu.Lock()
	was := p.ended
	p.ended = true
	p.mu.Unlock()
	if was {
		return false
	}
	if p.unkeep != nil {
		p.unkeep()
	}
	q := p.publisher
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open[p.target] == p {
		delete(q.open, p.target)
	}
	return true
}

func (p *Publication) warn(err error) {
	p.publisher.node.Emit(node.Event{Kind: node.Warning, Err: err}.About(p.Torrent()))
}

// update is Update while making is held.
func (p *Publication) update(ctx context.Context, overrule bool) (changed bool, err error) {
	r := &p.folder.file
	made, spec, err := p.make(ctx)
	if err != nil {
		return false, err
	}
	c := content{spec: spec, fresh: !r.last().names(made.Info), overrule: overrule}
	if err := p.publish(ctx, c); err != nil {
		return false, err
	}
	p.print = made.Print
	if err := p.folder.keepStamps(made); err != nil {
		p.warn(fmt.Errorf("size and time of the files were not saved, so they are hashed again next time: %w", err))
	}
	return c.fresh, nil
}

// make makes a torrent of what is at the path.
func (p *Publication) make(ctx context.Context) (*create.Made, node.Spec, error) {
	o, path := p.options, p.folder.file.Path
	o.Before = p.folder.before()
	made, err := node.Make(ctx, path, o)
	if err != nil {
		return nil, node.Spec{}, err
	}
	spec, err := node.MadeSpec(path, made)
	return made, spec, err
}

// rollback is Rollback while making is held. If the newest version has that content
// already, it continues with it. What is at the path is not published before it changes
// or is named again.
func (p *Publication) rollback(ctx context.Context, seq int64, overrule bool) error {
	torrent, err := p.earlier(seq)
	if err != nil {
		return err
	}
	r := &p.folder.file
	print, err := create.Print(r.Path, p.options)
	if err != nil {
		print = create.Fingerprint{} // the path is gone
	}
	c := content{fresh: !r.last().names(torrent.Info), overrule: overrule, isRollback: true}
	made, spec, err := p.make(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil && made.Info.Hash == torrent.Info.Hash:
		c.spec = spec
	default:
		c.data = p.folder.dataDir(torrent.Info)
		c.spec = node.Spec{Torrent: torrent, Dir: c.data}
		p.publisher.node.Emit(node.Event{Kind: node.Warning, Err: node.NewFault(node.FaultOther,
			fmt.Errorf("%s does not hold version %d any more", r.Path, seq), "it is downloaded from followers that have kept it, into "+c.data)})
	}
	if err := p.publish(ctx, c); err != nil {
		return err
	}
	p.print = print
	return nil
}

// earlier returns the torrent of a version on record.
func (p *Publication) earlier(seq int64) (*metainfo.Torrent, error) {
	r := &p.folder.file
	k := slices.IndexFunc(r.Versions, func(v Version) bool { return v.Seq == seq })
	if k < 0 {
		return nil, node.NewFault(node.FaultUsage, fmt.Errorf("there is no version %d of this publication", seq), "seedbed publish --history lists the versions")
	}
	t := p.folder.torrent(&r.Versions[k])
	if t == nil {
		return nil, node.NewFault(node.FaultVanished, fmt.Errorf("the torrent of version %d is not in the state directory any more", seq), "")
	}
	return t, nil
}

// content is what is to be the newest version.
type content struct {
	spec       node.Spec
	data       string // the download folder of a rollback, if the path does not hold it
	fresh      bool   // it is not the newest version yet
	isRollback bool
	overrule   bool
}

// publish seeds a version, puts its item if it is a fresh one, and keeps the item alive.
func (p *Publication) publish(ctx context.Context, c content) error {
	r := &p.folder.file
	was := r.RolledBack
	r.RolledBack = c.isRollback // a new version is saved with it
	item, fresh, cas, err := p.item(ctx, c.spec.Torrent, c.fresh, c.overrule)
	if err != nil {
		r.RolledBack = was
		return err
	}
	if err := p.seed(ctx, c); err != nil {
		return err
	}
	p.mu.Lock()
	p.seen.reported, p.seen.held = false, false
	p.mu.Unlock()
	just := fresh && p.put(ctx, item, cas)
	if p.unkeep != nil {
		p.unkeep()
	}
	p.unkeep = p.publisher.items.Keep(item, just, p.tended)
	return p.folder.save(r)
}

// seed makes the node seed a version in place of the one before.
func (p *Publication) seed(ctx context.Context, c content) error {
	t, err := p.publisher.torrents.acquire(ctx, c.spec)
	if err != nil {
		return err
	}
	old := p.torrent.Swap(t)
	if old == t {
		c.data = p.data // t goes on as it was added
	}
	p.publisher.torrents.release(old, p.data)
	p.data = c.data
	if old == nil { // an earlier run may have left data
		if err := p.folder.dropData(func(infohash id.ID) bool { return p.publisher.node.Torrent(infohash) != nil }); err != nil {
			p.warn(fmt.Errorf("the data of an earlier version was not deleted: %w", err))
		}
	}
	return nil
}

// item returns the item for a torrent: a newly signed one with the next number if the
// torrent is not the newest version, or else the newest one. The new one is on record
// then. cas is the number that the DHT has, if any.
func (p *Publication) item(ctx context.Context, torrent *metainfo.Torrent, fresh, overrule bool) (_ dht.Item, isFresh bool, cas *int64, err error) {
	last := p.folder.file.last()
	stored, err := p.stored(ctx, fresh)
	if err != nil {
		return dht.Item{}, false, nil, err
	}
	foreign := stored != nil && p.isForeign(stored)
	if foreign && !overrule {
		return dht.Item{}, false, nil, conflict(stored)
	}
	if !fresh && !foreign {
		i, err := p.folder.file.item(last)
		return i, false, nil, err
	}
	var seq int64
	if last != nil {
		seq = last.Seq
	}
	if stored != nil {
		seq, cas = max(seq, stored.Seq), &stored.Seq
	}
	i, err := p.sign(torrent, seq)
	return i, true, cas, err
}

// stored returns what the DHT has under the key, which may be ahead of the record: the
// key is used on another machine too, or the record is an old copy. When nothing new is
// to be signed, a DHT that cannot be reached does not matter.
func (p *Publication) stored(ctx context.Context, fresh bool) (*dht.Item, error) {
	look := ctx
	if !fresh {
		var cancel context.CancelFunc
		look, cancel = context.WithTimeout(ctx, lookTimeout)
		defer cancel()
	}
	g, err := p.publisher.items.Get(look, p.target, p.folder.file.Salt, nil)
	if err != nil && (fresh || ctx.Err() != nil) {
		return nil, err
	}
	return g.Item, nil
}
