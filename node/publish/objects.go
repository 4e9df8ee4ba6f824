package publish

import (
	"context"
	"path/filepath"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
)

// What is published can be in the object store of the node instead of on its disk. The record then has the location in place
// of a path, and nothing else differs: a version is made of the objects, of which only those that have changed are read, and the
// node seeds it from the store.

// absolute returns the form in which a path or a location is recorded.
func absolute(path string) (string, error) {
	if !objectstore.IsLocation(path) {
		return filepath.Abs(path)
	}
	at, err := objectstore.ParseLocation(path)
	return at.String(), err
}

// makeOfObjects is make for a location. It waits until the store answers, and until no object is replaced meanwhile.
func (p *Publication) makeOfObjects(ctx context.Context, location string, o node.ShareOptions) (made *create.Made, spec node.Spec, err error) {
	n := p.publisher.node
	if err := n.CheckLocation(location); err != nil { // without a store, there is no fence either
		return nil, node.Spec{}, err
	}
	err = p.publisher.fence.patiently(ctx, p.waitForStore, func() error {
		made, err = n.MakeObjects(ctx, location, o)
		return err
	})
	if err != nil {
		return nil, node.Spec{}, err
	}
	p.facts = factsOf(made.Info)
	return made, node.Spec{Torrent: &metainfo.Torrent{Info: made.Info}, Objects: true}, nil
}

// fingerprintOf returns the fingerprint of the files or objects that are published.
func (p *Publisher) fingerprintOf(ctx context.Context, path string, o node.ShareOptions) (create.Fingerprint, error) {
	if objectstore.IsLocation(path) {
		return p.node.FingerprintObjects(ctx, path, o)
	}
	return create.FingerprintOf(path, o)
}
