package node

import (
	"context"
	"fmt"
	"strings"

	"seedbed/internal/objectstore"
	"seedbed/swarm/create"
	"seedbed/swarm/s3store"
)

// objectsAt returns the store at a location where the torrents of the node find their objects: the place of Config.Objects, or a
// folder or an object directly below it.
func (n *Node) objectsAt(location string) (*objectstore.Store, error) {
	at, err := objectstore.ParseLocation(location)
	if err != nil {
		return nil, NewFault(FaultUsage, err, "")
	}
	hint := "start it with --store " + at.String() + ", or with the folder that contains it"
	if n.cfg.Objects == nil {
		return nil, NewFault(FaultUsage, fmt.Errorf("the content is in the object store, at %s, and this node has none", at), hint)
	}
	store := n.cfg.Objects.Store
	own := store.Location()
	name, isBelow := strings.CutPrefix(at.Prefix, own.Prefix)
	switch {
	case at == own:
		return store, nil
	case at.Bucket != own.Bucket || !isBelow || strings.Count(name, "/") > 1:
		return nil, NewFault(FaultUsage, fmt.Errorf("the content is in %s, and this node finds objects in %s and directly below it", at, own), hint)
	case name == objectstore.OwnFolder+"/":
		return nil, NewFault(FaultUsage, fmt.Errorf("%s is a folder that seedbed has for itself", at), "")
	}
	return store.At(at.Prefix), nil
}

// CheckLocation returns a Fault if MakeObjects can make no torrent of a location, whatever is there.
func (n *Node) CheckLocation(location string) error {
	_, err := n.objectsAt(location)
	return err
}

// MakeObjects makes the torrent of the objects at a location of the node's object store: the place of Config.Objects, or a folder
// or an object directly below it. A Spec with Objects then shares it. Of the options, those that only files on a disk have are not
// used. The error is an *objectstore.Error if the store fails.
func (n *Node) MakeObjects(ctx context.Context, location string, o ShareOptions) (*create.Made, error) {
	store, err := n.objectsAt(location)
	if err != nil {
		return nil, err
	}
	return s3store.Make(ctx, store, s3store.OptionsOf(o))
}

// FingerprintObjects returns the fingerprint of the objects that MakeObjects would include. It lists them, and does not read them.
func (n *Node) FingerprintObjects(ctx context.Context, location string, o ShareOptions) (create.Fingerprint, error) {
	store, err := n.objectsAt(location)
	if err != nil {
		return create.Fingerprint{}, err
	}
	return s3store.FingerprintOf(ctx, store, s3store.OptionsOf(o))
}
