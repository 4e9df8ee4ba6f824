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
		made, spec, err = n.MakeObjects(ctx, location, o)
		return err
	})
	if err != nil {
		return nil, node.Spec{}, err
	}
	p.facts = factsOf(made.Info)
	p.addStoreSeed(ctx, location, spec.Torrent)
	return made, spec, nil
}

// addStoreSeed makes the store a web seed of a torrent of objects, if everybody can read them. The link has it too, because peers do not pass
// on the web seeds of a torrent file.
func (p *Publication) addStoreSeed(ctx context.Context, location string, torrent *metainfo.Torrent) {
	if p.folder.file.NoStoreSeed {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, objectstore.Patience)
	defer cancel()
	if p.storeSeeds == nil {
		seeds, err := p.publisher.node.WebSeedsAt(location, p.warn)
		if err != nil {
			return // MakeObjects has found the place
		}
		p.storeSeeds = seeds
	}
	url := p.storeSeeds.AddMade(ctx, torrent)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.folder.file.StoreSeed = url
}

// fingerprintOf returns the fingerprint of the files or objects that are published.
func (p *Publisher) fingerprintOf(ctx context.Context, path string, o node.ShareOptions) (create.Fingerprint, error) {
	if objectstore.IsLocation(path) {
		return p.node.FingerprintObjects(ctx, path, o)
	}
	return create.FingerprintOf(path, o)
}
