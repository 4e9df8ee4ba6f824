package catalogue

import (
	"context"
	"errors"

	"seedbed/internal/id"
	"seedbed/node"
)

// removeAll removes entries and their torrents. After an error it goes on with the others, and returns the first one.
func (c *Catalogue) removeAll(ctx context.Context, keys []id.ID) (first error) {
	for _, key := range keys {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		err := c.removeTorrent(ctx, key, id.ID{})
		if err == nil {
			err = c.forget(key)
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// removeTorrent removes the torrent of an entry from the node, unless it is next or another object has it too. Only after that may the
// caller remove or replace the entry in memory and on the disk: a torrent without an entry would count as one of the user for ever.
func (c *Catalogue) removeTorrent(ctx context.Context, key, next id.ID) error {
	c.mu.Lock()
	e := c.entries[key]
	isLast := e.kind == ours && e.infohash != next && c.ours[e.infohash] == 1
	c.mu.Unlock()
	if !isLast {
		return nil
	}
	if err := c.node.Remove(ctx, e.infohash, false); err != nil && !errors.Is(err, node.ErrUnknown) {
		return err
	}
	return nil
}

// forget removes an entry. The node keeps the torrent.
func (c *Catalogue) forget(key id.ID) error {
	c.mu.Lock()
	c.unset(key)
	c.mu.Unlock()
	return c.kept.Delete(key)
}
