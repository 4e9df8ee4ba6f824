package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/sealed"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
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
func (p *Publication) Remove(keepHistory bool) error {
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

// update implements Update; the caller holds making.
func (p *Publication) update(ctx context.Context, overrule bool) (changed bool, err error) {
	r := &p.folder.file
	made, spec, err := p.make(ctx)
	if err != nil {
		return false, err
	}
	c := content{spec: spec, fresh: !r.last().isTorrent(made.Info), overrule: overrule, isResumed: p.isResumed}
	err = p.publish(ctx, &c)
	if errors.Is(err, errUnfinishedRollback) {
		return false, p.rollback(ctx, r.last().Seq, overrule)
	}
	if err != nil {
		return false, err
	}
	p.fingerprint = made.Fingerprint
	if err := p.folder.saveStamps(made); err != nil {
		p.warn(fmt.Errorf("cannot save the size and time of the files, so all of them are hashed again next time: %w", err))
	}
	return c.fresh && !c.isOutdated, nil
}

// make makes a torrent of the path. It hashes only the files that have changed.
func (p *Publication) make(ctx context.Context) (*create.Made, node.Spec, error) {
	if !p.secret.IsZero() {
		return p.makePrivate(ctx)
	}
	o, path := p.options, p.folder.file.Path
	o.Before = p.folder.before()
	made, err := node.Make(ctx, path, o)
	if err != nil {
		return nil, node.Spec{}, err
	}
	p.facts = factsOf(made.Info)
	spec, err := node.MadeSpec(path, made)
	return made, spec, err
}

// rollback implements Rollback; the caller holds making. If the newest version already has
// the content, rollback makes no new version. Afterwards, the content of the path is
// published only when it changes, or when the user publishes the path again.
func (p *Publication) rollback(ctx context.Context, seq int64, overrule bool) error {
	torrent, err := p.earlier(seq)
	if err != nil {
		return err
	}
	r := &p.folder.file
	fingerprint, err := create.FingerprintOf(r.Path, p.options)
	if err != nil {
		fingerprint = create.Fingerprint{} // the path cannot be read
	}
	c := content{fresh: !r.last().isTorrent(torrent.Info), overrule: overrule, isRollback: true, isResumed: p.isResumed}
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
			fmt.Errorf("%s no longer contains version %d", r.Path, seq), "its data is downloaded from followers that have it, into "+c.data)})
	}
	p.facts = r.factsOf(seq)
	if err := p.publish(ctx, &c); err != nil {
		return err
	}
	p.fingerprint = fingerprint
	return nil
}

// earlier returns the torrent of a recorded version.
func (p *Publication) earlier(seq int64) (*metainfo.Torrent, error) {
	r := &p.folder.file
	k := slices.IndexFunc(r.Versions, func(v Version) bool { return v.Seq == seq })
	if k < 0 {
		return nil, node.NewFault(node.FaultUsage, fmt.Errorf("there is no version %d of this publication", seq), "seedbed publish --history lists the versions")
	}
	t := p.folder.anyTorrent(&r.Versions[k])
	if t == nil {
		return nil, node.NewFault(node.FaultVanished, fmt.Errorf("the torrent of version %d is no longer in the state directory", seq), "")
	}
	return t, nil
}

// content is the content of the version to publish.
type content struct {
	spec       node.Spec
	data       string // the download folder of a rollback, or "" if the path contains the data
	fresh      bool   // the newest version has other content
	isRollback bool
	overrule   bool
	isResumed  bool // the user has not asked for it now
	// isOutdated says that another publisher has published a newer version through the object store, and that the
	// content has not changed since it was published from here.
	isOutdated bool
}

// publish seeds a version, puts its item if it is new, and republishes the item from then
// on.
func (p *Publication) publish(ctx context.Context, c *content) error {
	r := &p.folder.file
	was := p.setRolledBack(c.isRollback) // saved together with the new version
	item, fresh, cas, err := p.item(ctx, c)
	if err != nil {
		p.setRolledBack(was)
		return err
	}
	if c.data == "" { // also if it is not new: an earlier run may have failed to keep it
		p.keepManifest(c.spec.Torrent.Info)
	}
	old := p.torrent.Load()
	p.pushes.SetTorrents(infohashes(old, c.spec.Torrent.Info)...)
	wasShared, err := p.seed(ctx, *c)
	if err != nil {
		p.pushes.SetTorrents(infohashes(p.torrent.Load(), nil)...)
		return err
	}
	// The peers of the previous version learn of the new one while the DHT does.
	p.pushes.Push(item)
	p.mu.Lock()
	p.outcome = Outcome{Link: p.link(), KeepLink: p.keepLink(), Seq: item.Seq, InfoHash: p.Torrent().InfoHash(), IsUnchanged: !fresh, WasShared: wasShared}
	p.seen.reported, p.seen.held = false, false
	p.mu.Unlock()
	p.keep(item, fresh && p.put(ctx, item, cas))
	p.publisher.wg.Go(p.shareEarlier)
	return p.folder.save(r)
}

// infohashes returns the infohashes of a torrent and of an info dictionary, if they are not nil.
func infohashes(t *node.Torrent, info *metainfo.Info) (list []id.ID) {
	if t != nil {
		list = append(list, t.InfoHash())
	}
	if info != nil {
		list = append(list, info.Hash)
	}
	return list
}

// Connected returns the number of connected peers to which new versions are pushed: followers, also of the
// previous version for a moment.
func (p *Publication) Connected() int {
	p.mu.Lock()
	s := p.pushes
	p.mu.Unlock()
	return s.Peers()
}

// setRolledBack records whether the newest version is a rollback, and returns the old value.
func (p *Publication) setRolledBack(is bool) (was bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.folder.file
	was, r.RolledBack = r.RolledBack, is
	return was
}

// seed makes the node seed a version, and stop seeding the previous one. wasShared is as in
// Outcome.
func (p *Publication) seed(ctx context.Context, c content) (wasShared bool, err error) {
	t, isOthers, err := p.publisher.torrents.acquire(ctx, c.spec)
	if err != nil {
		return false, err
	}
	old := p.torrent.Swap(t)
	if old == t {
		c.data = p.data // t keeps its folder
	} else if old != nil {
		old.PassPeers(t)
	}
	p.publisher.torrents.releaseSoon(old, p.data, p.shareEarlier)
	p.data = c.data
	if old == nil { // an earlier run may have left data
		p.forgetAll()
	}
	return isOthers && old != t, nil
}

// forgetAll deletes the data of rollbacks, and what the node keeps of the versions, except for torrents that are in the node.
// A process that was killed while it changed the version has left that behind.
func (p *Publication) forgetAll() {
	if err := p.folder.dropData(func(infohash id.ID) bool { return p.publisher.node.Torrent(infohash) != nil }); err != nil {
		p.warn(fmt.Errorf("cannot delete the data of an earlier version: %w", err))
	}
	for _, v := range p.Versions() {
		infohash, err := id.ParseHex(v.InfoHash)
		if err != nil {
			continue
		}
		if err := p.publisher.node.Forget(infohash); err != nil {
			p.warn(fmt.Errorf("cannot forget version %d: %w", v.Seq, err))
		}
	}
}

// item returns the item for the content. If the content is not the newest version, item signs
// a new one with the next number and records it; otherwise it returns the newest item. cas
// is the sequence number of the item in the DHT, or nil.
func (p *Publication) item(ctx context.Context, c *content) (_ dht.Item, isFresh bool, cas *int64, err error) {
	if err := p.catchUp(ctx, c); err != nil {
		return dht.Item{}, false, nil, err
	}
	newest, err := p.lookup(ctx, c.fresh)
	if err != nil {
		return dht.Item{}, false, nil, err
	}
	if p.isOthers(&newest) { // perhaps since then, through the object store
		if err := p.catchUp(ctx, c); err != nil {
			return dht.Item{}, false, nil, err
		}
	}
	foreign := p.isOthers(&newest)
	if foreign && !c.overrule {
		return dht.Item{}, false, nil, p.othersConflict(&newest)
	}
	return p.decide(ctx, c, &newest, foreign)
}

// decide is item after the lookup. foreign says that newest was not published from here.
func (p *Publication) decide(ctx context.Context, c *content, newest *found, foreign bool) (_ dht.Item, isFresh bool, cas *int64, err error) {
	for isFirst := true; ; isFirst = false {
		if c.isOutdated {
			p.outdated()
		}
		if (!c.fresh || c.isOutdated) && !foreign {
			i, err := p.newestItem(c)
			return i, false, nil, err
		}
		i, cas, err := p.next(ctx, c.spec.Torrent, newest)
		if !errors.Is(err, errOvertaken) {
			if !isFirst {
				cas = nil // nodes may have that of the other publisher
			}
			return i, true, cas, err
		}
		if err := p.catchUp(ctx, c); err != nil {
			return dht.Item{}, false, nil, err
		}
		foreign = foreign && p.isOthers(newest) // perhaps it has come through the object store
	}
}

// newestItem returns the item of the newest version on record, which the content is unless that is outdated.
func (p *Publication) newestItem(c *content) (dht.Item, error) {
	if !c.isOutdated {
		if err := p.folder.keepTorrent(c.spec.Torrent); err != nil {
			return dht.Item{}, err
		}
	}
	return p.folder.file.item(p.folder.file.last())
}

// next signs the item of a torrent as the version after all that are known, and records it. cas is as for item.
func (p *Publication) next(ctx context.Context, torrent *metainfo.Torrent, newest *found) (_ dht.Item, cas *int64, err error) {
	seq := max(newest.Number, newest.after)
	if last := p.folder.file.last(); last != nil {
		seq = max(seq, last.Seq)
	}
	if newest.own != nil {
		seq, cas = max(seq, newest.own.Seq), &newest.own.Seq
	}
	i, err := p.sign(ctx, torrent, seq, newest.carried())
	return i, cas, err
}
