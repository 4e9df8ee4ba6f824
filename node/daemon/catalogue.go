package daemon

import (
	"context"
	"errors"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/catalogue"
)

// openCatalogue starts to share the catalogue of the object store, if the node has one.
func (d *Daemon) openCatalogue() error {
	if d.node.Objects() == nil {
		return nil
	}
	c, err := catalogue.Open(catalogue.Config{Node: d.node, Warn: func(err error) { d.warn("catalogue", err) }})
	if err != nil {
		return err
	}
	d.catalogue.Store(c)
	return nil
}

// isCatalogueLoaded reports whether the node has the torrents of the catalogue. Any goroutine may call it.
func (d *Daemon) isCatalogueLoaded() bool {
	c := d.catalogue.Load()
	return c != nil && c.IsLoaded()
}

// ErrNoCatalogue is returned by the operations on the catalogue if the node has no object store.
var ErrNoCatalogue = node.NewFault(node.FaultUsage, errors.New("this daemon has no object store, and so no catalogue"), "start it with --store")

// Catalogue returns what the catalogue of the object store is doing.
func (d *Daemon) Catalogue() (catalogue.Status, error) {
	c := d.catalogue.Load()
	if c == nil {
		return catalogue.Status{}, ErrNoCatalogue
	}
	return c.Status(), nil
}

// AddToCatalogue writes a torrent into the catalogue of the object store, from which all nodes of the store share it.
// It refuses one whose objects are not there, unless force is set.
func (d *Daemon) AddToCatalogue(ctx context.Context, t *metainfo.Torrent, force bool) error {
	c := d.catalogue.Load()
	if c == nil {
		return ErrNoCatalogue
	}
	store := d.node.Objects().Store
	if !force {
		if err := catalogue.Check(ctx, store, t); err != nil {
			return err
		}
	}
	if err := catalogue.Put(ctx, store, t, d.webSeeds); err != nil {
		return err
	}
	c.Refresh()
	return nil
}

// RemoveFromCatalogue removes a torrent from the catalogue. All nodes of the store stop sharing it a few minutes later.
func (d *Daemon) RemoveFromCatalogue(ctx context.Context, infohash id.ID) error {
	if d.catalogue.Load() == nil {
		return ErrNoCatalogue
	}
	return catalogue.Remove(ctx, d.node.Objects().Store, infohash)
}
