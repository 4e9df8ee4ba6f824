package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
	"seedbed/swarm/s3store"
)

// objectsAt returns the store at a location where the torrents of the node find their objects: the place of Config.Objects, or a
// folder or an object below it. from is the place of the torrent's objects, as in Spec.
func (n *Node) objectsAt(location string) (store *objectstore.Store, from string, err error) {
	at, err := objectstore.ParseLocation(location)
	if err != nil {
		return nil, "", NewFault(FaultUsage, err, "")
	}
	hint := "start it with --store " + at.String() + ", or with a folder that contains it"
	if n.cfg.Objects == nil {
		return nil, "", NewFault(FaultUsage, fmt.Errorf("the content is in the object store, at %s, and this node has none", at), hint)
	}
	own := n.cfg.Objects.Store
	switch {
	case at == own.Location():
		return own, at.String(), nil
	case !own.Location().Contains(at):
		return nil, "", NewFault(FaultUsage, fmt.Errorf("the content is in %s, and this node finds objects in %s and below it", at, own.Location()), hint)
	case slices.Contains(strings.Split(at.Prefix, "/"), objectstore.OwnFolder):
		return nil, "", NewFault(FaultUsage, fmt.Errorf("%s is in a folder that seedbed has for itself", at), "")
	}
	store = own.At(at.Prefix)
	parent, _, _ := store.Parent() // it has one, because it is below another
	return store, parent.Location().String(), nil
}

// CheckLocation returns a Fault if MakeObjects can make no torrent of a location, whatever is there.
func (n *Node) CheckLocation(location string) error {
	_, _, err := n.objectsAt(location)
	return err
}

// MakeObjects makes the torrent of the objects at a location of the node's object store: the place of Config.Objects, or a folder
// or an object below it, and returns the Spec that shares it. Of the options, those that only files on a disk have are not
// used. The error is an *objectstore.Error if the store fails.
func (n *Node) MakeObjects(ctx context.Context, location string, o ShareOptions) (*create.Made, Spec, error) {
	store, from, err := n.objectsAt(location)
	if err != nil {
		return nil, Spec{}, err
	}
	made, err := s3store.Make(ctx, store, s3store.OptionsOf(o))
	if err != nil {
		return nil, Spec{}, err
	}
	return made, Spec{Torrent: &metainfo.Torrent{Info: made.Info}, Objects: true, store: from}, nil
}

// WebSeedsAt returns what adds a location to the web seeds of the torrents that MakeObjects makes of it.
func (n *Node) WebSeedsAt(location string, warn func(error)) (*s3store.WebSeeds, error) {
	store, _, err := n.objectsAt(location)
	if err != nil {
		return nil, err
	}
	return s3store.NewWebSeeds(store, warn), nil
}

// FingerprintObjects returns the fingerprint of the objects that MakeObjects would include. It lists them, and does not read them.
func (n *Node) FingerprintObjects(ctx context.Context, location string, o ShareOptions) (create.Fingerprint, error) {
	store, _, err := n.objectsAt(location)
	if err != nil {
		return create.Fingerprint{}, err
	}
	return s3store.FingerprintOf(ctx, store, s3store.OptionsOf(o))
}
