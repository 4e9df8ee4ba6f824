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

// A Publication is a file or folder that is published under a key. Its newest version is
// seeded, and the item that names it is kept alive in the DHT. All methods are safe for
// concurrent use.
type Publication struct {
	publisher *Publisher
	key       ed25519.PrivateKey
	target    id.ID
	torrent   atomic.Pointer[node.Torrent]

	// making is held while a version is made, which can take long. It guards the fields
	// below. The content of folder is also guarded by mu: a change of the recorded versions
	// needs both locks, a read needs either.
	making  sync.Mutex
	folder  *folder
	options node.ShareOptions
	data    string             // the folder of the torrent's data if a rollback downloads it, else ""
	print   create.Fingerprint // of the files when the newest version was made
	unkeep  func()

	mu    sync.Mutex
	seen  seen
	ended bool
}

// seen is what was reported about the items in the DHT, so that each thing is reported once.
type seen struct {
	foreign  int64 // number of an item that another machine published
	reported bool  // the number of holders was reported, even if it was 0
	held     bool  // at least one node holds the newest item
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
	return link
}

// Torrent returns the torrent of the newest version.
func (p *Publication) Torrent() *node.Torrent { return p.torrent.Load() }

// Versions returns the recorded versions in ascending order.
func (p *Publication) Versions() []Version {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.folder.file.Versions)
}

// Update makes and publishes the next version if the files have changed. It hashes only
// files whose size or time changed.
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

// Rollback publishes an earlier version again under a new number. It reads the data from the
// path if the path holds it; otherwise it downloads the data from followers that kept it.
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

// Close stops keeping the item alive and lets other processes publish. The torrent keeps
// running until the node closes.
func (p *Publication) Close() {
	if p.end() {
		if err := p.folder.close(); err != nil {
			p.warn(fmt.Errorf("the lock of a publication was not released: %w", err))
		}
	}
}

// Remove ends the publication permanently: it removes the torrent from the node, and the
// publication with its history from the state directory. The key and the published files
// stay. The DHT forgets the item after two hours.
func (p *Publication) Remove() error {
	if !p.end() {
		return node.ErrClosed
	}
	p.publisher.torrents.release(p.Torrent(), p.data)
	return p.folder.remove()
}

// end ends the publication. It returns false if it had ended before.
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

// update implements Update; the caller holds making.
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

// make makes a torrent of the path.
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

// rollback implements Rollback; the caller holds making. If the newest version already has
// that content, rollback keeps that version. The content of the path is not published until
// it changes or the user names the path again.
func (p *Publication) rollback(ctx context.Context, seq int64, overrule bool) error {
	torrent, err := p.earlier(seq)
	if err != nil {
		return err
	}
	r := &p.folder.file
	print, err := create.Print(r.Path, p.options)
	if err != nil {
		print = create.Fingerprint{} // the path does not exist
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

// earlier returns the torrent of a recorded version.
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

// content is the content of the newest version.
type content struct {
	spec       node.Spec
	data       string // the download folder of a rollback, if the path does not hold it
	fresh      bool   // it is not published yet
	isRollback bool
	overrule   bool
}

// publish seeds a version, publishes its item if it is new, and keeps the item alive.
func (p *Publication) publish(ctx context.Context, c content) error {
	r := &p.folder.file
	was := r.RolledBack
	r.RolledBack = c.isRollback // saved together with the new version
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

// seed makes the node seed a version instead of the previous one.
func (p *Publication) seed(ctx context.Context, c content) error {
	t, err := p.publisher.torrents.acquire(ctx, c.spec)
	if err != nil {
		return err
	}
	old := p.torrent.Swap(t)
	if old == t {
		c.data = p.data // t keeps its folder
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

// item returns the item for a torrent. If the torrent is not the newest version, item signs
// a new one with the next number and records it; otherwise it returns the newest item. cas
// is the number of the item in the DHT, if any.
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

// stored returns the item that the DHT has under the key. It can be ahead of the record if
// another machine uses the key or the record is an old copy. If nothing new is to be signed,
// an unreachable DHT is not an error.
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
