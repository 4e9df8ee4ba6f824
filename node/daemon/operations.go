package daemon

import (
	"context"

	"seedbed/node"
)

// Move moves the files of a torrent to another allowed folder; see node.Torrent.Move.
func (d *Daemon) Move(ctx context.Context, t *node.Torrent, dir string) error {
	dir, err := d.checkFolder(ctx, dir)
	if err != nil {
		return err
	}
	return t.Move(ctx, dir)
}

// SetFolder makes a torrent use the files that another program has moved to an allowed folder; see
// node.Torrent.SetFolder.
func (d *Daemon) SetFolder(ctx context.Context, t *node.Torrent, dir string) error {
	dir, err := d.checkFolder(ctx, dir)
	if err != nil {
		return err
	}
	return t.SetFolder(ctx, dir)
}

// SetLabels replaces the labels of a torrent.
func (d *Daemon) SetLabels(ctx context.Context, t *node.Torrent, labels []string) error {
	labels, err := cleanLabels(labels)
	if err != nil {
		return err
	}
	return t.SetLabels(ctx, labels)
}

// Remove removes a torrent from the session, with or without its data; see node.Node.Remove.
func (d *Daemon) Remove(ctx context.Context, t *node.Torrent, deleteData bool) error {
	return d.node.Remove(ctx, t.InfoHash(), deleteData)
}
