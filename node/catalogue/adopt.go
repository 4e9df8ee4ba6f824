package catalogue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
)

// What is kept belongs to one store. Another one, such as a copy of the first, may have objects of the same names and versions. The
// session would look for the files of their torrents in the first store, which this node no longer has.

// locationKey is the key of the location of the store in the journal. It is that of no object, because names are not empty.
var locationKey = keyOf("")

// adopt removes what is kept of another store with its torrents, so that they are loaded from this one. It does nothing before this
// store can be listed.
func (c *Catalogue) adopt(ctx context.Context) error {
	here := strconv.Quote(c.store.Location().String())
	kept, err := c.kept.Get(locationKey)
	if err == nil && string(kept) == here {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.mu.Lock()
	keys := slices.Collect(maps.Keys(c.entries))
	c.mu.Unlock()
	if len(keys) > 0 {
		for _, err := range c.store.List(ctx, folder) {
			if err != nil {
				return err
			}
			break
		}
	}
	if err := c.removeAll(ctx, keys); err != nil {
		return fmt.Errorf("torrents of the store that the node had before cannot be removed: %w", err)
	}
	return c.kept.Put(locationKey, []byte(here))
}
