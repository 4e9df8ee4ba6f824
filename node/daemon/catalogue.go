package daemon

import "seedbed/node/catalogue"

// openCatalogue starts to share the catalogue of the object store, if the node has one.
func (d *Daemon) openCatalogue() (err error) {
	if d.node.Objects() == nil {
		return nil
	}
	d.catalogue, err = catalogue.Open(catalogue.Config{Node: d.node, Warn: func(err error) { d.warn("catalogue", err) }})
	return err
}
