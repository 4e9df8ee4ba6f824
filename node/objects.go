package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/s3store"
	"seedbed/swarm/storage"
)

// Objects is where the files of torrents with Spec.Objects are. Its owner opens it before the node and closes it after.
type Objects struct {
	Store  *objectstore.Store
	Shared *s3store.Shared
}

var (
	_ swarm.Remote = (*s3store.Storage)(nil)
	_ swarm.Remote = (*s3store.Writer)(nil)
)

// ErrNoStore is the error of adding a torrent with Spec.Objects to a node without Config.Objects.
var ErrNoStore = NewFault(FaultUsage, errors.New("the files are to be in an object store, and the node has none"), "start it with --store s3://BUCKET/PREFIX")

// setObjects completes the spec of a torrent that is being added.
func (n *Node) setObjects(spec *Spec) error {
	o := n.cfg.Objects
	switch {
	case !spec.Objects:
		return nil
	case o == nil:
		return ErrNoStore
	}
	spec.Seed, spec.Dir = !spec.Upload, o.Shared.Cache.Dir()
	if spec.store == "" { // MakeObjects has not said where they are
		spec.store = o.Store.Location().String()
	}
	return nil
}

// checkStore returns an error if the files of a torrent are in an object store that the node does not have.
func (n *Node) checkStore(spec *Spec) error {
	if !spec.Objects {
		return nil
	}
	_, err := n.storeOf(spec)
	return err
}

// storeOf returns the store at the place where a torrent of objects is: that of the node, or a folder below it.
func (n *Node) storeOf(spec *Spec) (*objectstore.Store, error) {
	o := n.cfg.Objects
	if o == nil {
		return nil, NewFault(FaultUsage, fmt.Errorf("the files are in the object store %s, and this node has none", spec.store),
			"start it with --store "+spec.store)
	}
	own := o.Store.Location()
	if own.String() == spec.store {
		return o.Store, nil
	}
	at, err := objectstore.ParseLocation(spec.store)
	if err != nil || !own.Contains(at) || spec.Upload { // an upload goes on where it has begun
		return nil, NewFault(FaultUsage, fmt.Errorf("the files are in the object store %s, and that of this node is %s", spec.store, own),
			"start it with --store "+spec.store+", or remove the torrent and add it again")
	}
	return o.Store.At(at.Prefix), nil
}

// StoreLocation returns the place of Config.Objects, as in s3://BUCKET/PREFIX, or "".
func (n *Node) StoreLocation() string {
	if n.cfg.Objects == nil {
		return ""
	}
	return n.cfg.Objects.Store.Location().String()
}

// refuseObjects returns an error if the files of a torrent are objects. what is the operation
// that is refused, as in "be moved".
func (s *Spec) refuseObjects(what string) error {
	if !s.Objects {
		return nil
	}
	return NewFault(FaultUsage, fmt.Errorf("the files are objects in %s, so they cannot %s", s.store, what), "")
}

// openObjects opens the files of a torrent in the object store. They are not hashed now, but before they are served.
func (r *run) openObjects(ctx context.Context, info *metainfo.Info, progress func(done, total int64)) (_ swarm.Content, err error) {
	t := r.t
	store, err := t.node.storeOf(&r.spec)
	if err != nil {
		return swarm.Content{}, err
	}
	var refused *s3store.RefusedError
	if err := s3store.CheckFiles(info, store.Location()); r.spec.Upload && errors.As(err, &refused) { // before anything is made
		return swarm.Content{}, NewFault(FaultUsage, refused, refused.Hint())
	}
	if r.spec.Upload && t.node.isStaged(t.hash) { // the store may be away
		return r.openWriter(ctx, info, progress)
	}
	m := t.summary.Load()
	// A torrent that wakes does not wait for the store.
	s, err := t.openStore(ctx, &r.spec, s3store.Options{Info: info, IsKnown: m != nil && m.isComplete(), NeedsAnswer: r.spec.Upload})
	if err != nil {
		return swarm.Content{}, r.spec.storeFault(err)
	}
	have, wanted := s.Have(), info.Wanted(nil)
	n := missing(wanted, have)
	switch {
	case n > 0 && r.spec.Upload:
		if err := s.Close(); err != nil {
			return swarm.Content{}, err
		}
		return r.openWriter(ctx, info, progress)
	case n > 0:
		err := &Fault{Kind: FaultIncomplete, Err: fmt.Errorf("%s in %s is not complete: %s of %d missing or wrong", info.Name, r.spec.store, count(n, "piece"), wanted.Count()),
			hint: "put the right objects there and recheck it"}
		return swarm.Content{}, errors.Join(err, s.Close())
	case t.endFetch():
		return swarm.Content{}, errors.Join(errEnded, s.Close())
	}
	r.objects.Store(s)
	return swarm.Content{Storage: s, Have: have, Wanted: wanted, Fixed: true}, nil
}

// openWriter opens a torrent that is downloaded into the store. What is not uploaded yet is in its staging folder.
func (r *run) openWriter(ctx context.Context, info *metainfo.Info, progress func(done, total int64)) (swarm.Content, error) {
	t, n := r.t, r.t.node
	store, err := n.storeOf(&r.spec)
	if err != nil {
		return swarm.Content{}, err
	}
	if t.endFetch() {
		return swarm.Content{}, errEnded
	}
	staging, options := n.stagingDir(t.hash), t.stagedOptions(info)
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return swarm.Content{}, err
	}
	for _, dir := range []string{staging, options.Dir} { // those of an earlier download were removed
		n.handles.Forget(dir)
	}
	local, _, err := openChecked(ctx, options, progress)
	if err != nil {
		return swarm.Content{}, err
	}
	stored := storedBlocks(local)
	w, err := s3store.OpenWriter(r.ctx, s3store.WriterOptions{
		Options: s3store.Options{Info: info, Hash: t.hash, Objects: store, Shared: n.cfg.Objects.Shared}, Local: local, Dir: staging, Progress: progress,
		Warn: func(err error) { t.emit(Event{Kind: Warning, Err: asFault(err)}) }})
	if err != nil {
		return swarm.Content{}, errors.Join(err, local.Close())
	}
	r.objects.Store(w.Remote())
	have := w.Have()
	stored = slices.DeleteFunc(stored, func(b engine.Block) bool { return have.Has(int(b.Piece)) })
	return swarm.Content{Storage: w, Have: have, Wanted: info.Wanted(nil), Stored: stored}, nil
}

// storeFault is asFault for errors of reading a torrent, whose files may be in an object store.
func (s *Spec) storeFault(err error) error {
	switch {
	case errors.Is(err, storage.ErrAway):
		return &Fault{Kind: FaultNetwork, Err: fmt.Errorf("the object store %s does not answer: %w", s.store, err), hint: "it is asked again"}
	case objectstore.KindOf(err) == objectstore.Unavailable:
		return &Fault{Kind: FaultNetwork, Err: err, hint: "it is asked again"}
	}
	return asFault(err)
}

// openStore opens the objects of a torrent in the store of the node.
func (t *Torrent) openStore(ctx context.Context, spec *Spec, o s3store.Options) (*s3store.Storage, error) {
	store, err := t.node.storeOf(spec)
	if err != nil {
		return nil, err
	}
	o.Hash, o.Objects, o.Shared = t.hash, store, t.node.cfg.Objects.Shared
	o.Warn = func(err error) { t.emit(Event{Kind: Warning, Err: err}) }
	return s3store.Open(ctx, o)
}

// checkObjects looks at the objects of a torrent that does not run. They are verified when they are read.
func (t *Torrent) checkObjects(ctx context.Context, spec *Spec, info *metainfo.Info) error {
	s, err := t.openStore(ctx, spec, s3store.Options{Info: info, NeedsAnswer: true})
	if err != nil {
		return spec.storeFault(err)
	}
	t.noteChecked(info, info.Wanted(nil), s.Have())
	return s.Close()
}

// StoreUsage is what a torrent has asked of the object store since the node was opened.
type StoreUsage struct {
	Requests, Read int64 // Read is in bytes
}

// add adds what was asked of the store for a Storage, which may be nil.
func (u *StoreUsage) add(s *s3store.Storage) {
	if s != nil {
		u.Requests += s.Usage.Requests.Load()
		u.Read += s.Usage.Read.Load()
	}
}

// StoreUsage returns what the torrent has asked of the object store. It is zero if its files are elsewhere.
func (t *Torrent) StoreUsage() StoreUsage {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	u := t.control.counts.store
	if r := t.run.Load(); r != nil && !r.isCounted {
		u.add(r.objects.Load())
	}
	return u
}

// CachedBytes returns how many bytes of the torrent the cache of the object store has. It is zero if its files are elsewhere.
func (t *Torrent) CachedBytes() int64 {
	if o := t.node.cfg.Objects; o != nil && t.spec().Objects {
		return o.Shared.Cache.TorrentSize(t.hash)
	}
	return 0
}

// Objects returns the object store of the node, or nil.
func (n *Node) Objects() *Objects { return n.cfg.Objects }
