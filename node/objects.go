package node

import (
	"context"
	"errors"
	"fmt"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/swarm"
	"seedbed/swarm/s3store"
)

// Objects is where the files of torrents with Spec.Objects are. Its owner opens it before the node and closes it after.
type Objects struct {
	Store  *objectstore.Store
	Shared *s3store.Shared
}

var _ swarm.Remote = (*s3store.Storage)(nil)

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
	spec.Seed, spec.Dir, spec.store = true, o.Shared.Cache.Dir(), o.Store.Location().String()
	return nil
}

// checkStore returns an error if the files of a torrent are in an object store that the node does not have.
func (n *Node) checkStore(spec *Spec) error {
	o := n.cfg.Objects
	switch {
	case !spec.Objects || o != nil && o.Store.Location().String() == spec.store:
		return nil
	case o == nil:
		return NewFault(FaultUsage, fmt.Errorf("the files are in the object store %s, and this node has none", spec.store),
			"start it with --store "+spec.store)
	default:
		return NewFault(FaultUsage, fmt.Errorf("the files are in the object store %s, and that of this node is %s", spec.store, o.Store.Location()),
			"start it with --store "+spec.store+", or remove the torrent and add it again")
	}
}

// StoreLocation returns the place of Config.Objects, as in s3://BUCKET/PREFIX, or "".
func (n *Node) StoreLocation() string {
	if n.cfg.Objects == nil {
		return ""
	}
	return n.cfg.Objects.Store.Location().String()
}

// refuseObjects returns an error if the files of a torrent are objects, which the node only reads. what is the operation
// that is refused, as in "be moved".
func (s *Spec) refuseObjects(what string) error {
	if !s.Objects {
		return nil
	}
	return NewFault(FaultUsage, fmt.Errorf("the files are objects in %s, which are only read, so they cannot %s", s.store, what), "")
}

// openObjects opens the files of a torrent in the object store. They are not hashed now, but before they are served.
func (r *run) openObjects(ctx context.Context, info *metainfo.Info) (_ swarm.Content, err error) {
	t := r.t
	m := t.summary.Load()
	s, err := t.openStore(ctx, &r.spec, info, m != nil && m.isComplete()) // a torrent that wakes does not wait for the store
	if err != nil {
		return swarm.Content{}, err
	}
	have, wanted := s.Have(), info.Wanted(nil)
	if n := missing(wanted, have); n > 0 {
		err := &Fault{Kind: FaultIncomplete, Err: fmt.Errorf("%s in %s is not complete: %s of %d missing or wrong", info.Name, r.spec.store, count(n, "piece"), wanted.Count()),
			hint: "put the right objects there and recheck it"}
		return swarm.Content{}, errors.Join(err, s.Close())
	}
	if t.endFetch() {
		return swarm.Content{}, errors.Join(errEnded, s.Close())
	}
	r.objects.Store(s)
	return swarm.Content{Storage: s, Have: have, Wanted: wanted}, nil
}

// openStore opens the objects of a torrent. isKnown is as in s3store.Options.
func (t *Torrent) openStore(ctx context.Context, spec *Spec, info *metainfo.Info, isKnown bool) (*s3store.Storage, error) {
	if err := t.node.checkStore(spec); err != nil {
		return nil, err
	}
	o := t.node.cfg.Objects
	return s3store.Open(ctx, s3store.Options{Info: info, Hash: t.hash, Objects: o.Store, Shared: o.Shared, IsKnown: isKnown})
}

// checkObjects looks at the objects of a torrent that does not run. They are verified when they are read.
func (t *Torrent) checkObjects(ctx context.Context, spec *Spec, info *metainfo.Info) error {
	s, err := t.openStore(ctx, spec, info, false)
	if err != nil {
		return err
	}
	t.noteChecked(info, info.Wanted(nil), s.Have())
	return s.Close()
}

// StoreUsage is what a torrent has asked of the object store in this run.
type StoreUsage struct {
	Requests, Read int64 // Read is in bytes
}

// StoreUsage returns what the torrent has asked of the object store since it was last started. It is zero if its files are
// elsewhere.
func (t *Torrent) StoreUsage() StoreUsage {
	r := t.run.Load()
	if r == nil {
		return StoreUsage{}
	}
	s := r.objects.Load()
	if s == nil {
		return StoreUsage{}
	}
	return StoreUsage{s.Usage.Requests.Load(), s.Usage.Read.Load()}
}

// Objects returns the object store of the node, or nil.
func (n *Node) Objects() *Objects { return n.cfg.Objects }
