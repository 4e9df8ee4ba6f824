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

var errNoStore = errors.New("its files are in an object store, and this node has none")

// checkObjects returns an error if the node cannot share a torrent because of where its files are, and completes spec.
func (n *Node) checkObjects(spec *Spec) error {
	switch o := n.cfg.Objects; {
	case !spec.Objects:
		return nil
	case o == nil:
		return NewFault(FaultUsage, fmt.Errorf("%s: %w", spec.Name(), errNoStore), "start it with --store")
	default:
		spec.Seed, spec.Dir = true, o.Shared.Cache.Dir()
		return nil
	}
}

// openObjects opens the files of a torrent in the object store. They are not hashed now, but before they are served.
func (r *run) openObjects(ctx context.Context, info *metainfo.Info) (_ swarm.Content, err error) {
	t, o := r.t, r.t.node.cfg.Objects
	s, err := s3store.Open(ctx, s3store.Options{Info: info, Hash: t.hash, Objects: o.Store, Shared: o.Shared})
	if err != nil {
		return swarm.Content{}, err
	}
	have, wanted := s.Have(), info.Wanted(nil)
	if n := missing(wanted, have); n > 0 {
		err := &Fault{Kind: FaultIncomplete, Err: fmt.Errorf("%s in %s is not complete: %s of %d missing or wrong", info.Name, o.Store.Location(), count(n, "piece"), wanted.Count()),
			hint: "put the right objects there and recheck it"}
		return swarm.Content{}, errors.Join(err, s.Close())
	}
	r.objects.Store(s)
	return swarm.Content{Storage: s, Have: have, Wanted: wanted}, nil
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
