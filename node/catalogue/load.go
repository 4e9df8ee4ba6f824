package catalogue

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// loader loads the new objects of one round.
type loader struct {
	c     *Catalogue
	round uint32
	bytes *semaphore.Weighted

	mu       sync.Mutex
	kept     int // entries
	warnings int
	denied   int // in a row
}

// load loads objects, several at the same time. It ends with the first error of the store or of the state directory.
func (l *loader) load(ctx context.Context, list []objectstore.Object) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxLoading)
	for i := range list {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return l.loadOne(ctx, &list[i]) })
	}
	return g.Wait()
}

// loadOne loads one object and adds its torrent. The error is that of the store, or of the state directory.
func (l *loader) loadOne(ctx context.Context, o *objectstore.Object) error {
	e := entry{version: versionOf(o), round: l.round, kind: refused}
	torrent, err := l.read(ctx, o)
	kind := objectstore.KindOf(err)
	switch {
	case err == nil:
		l.mu.Lock()
		l.denied = 0
		l.mu.Unlock()
		return l.add(ctx, o, torrent, e)
	case ctx.Err() != nil:
		return ctx.Err()
	case kind == 0:
		l.refuse(o, err)
		return l.keep(ctx, o, e)
	case kind == objectstore.Denied, kind == objectstore.Unsupported:
		return l.deny(o, err)
	}
	l.c.postpone(o, l.round)
	if kind == objectstore.Unavailable {
		return err
	}
	return nil // the next listing says what it is now
}

// deny postpones an object that the store does not give, as one that is archived, encrypted, or of another owner. The error is not nil if
// there are so many that it is one of the store.
func (l *loader) deny(o *objectstore.Object, err error) error {
	if l.c.postpone(o, l.round) {
		l.refuse(o, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.denied++; l.denied < maxDenied {
		return nil
	}
	return err
}

// read reads a torrent file.
func (l *loader) read(ctx context.Context, o *objectstore.Object) (*metainfo.Torrent, error) {
	if o.Size > maxFile {
		return nil, fmt.Errorf("it has %d bytes, and a torrent file of a catalogue at most %d", o.Size, maxFile)
	}
	if err := l.bytes.Acquire(ctx, o.Size); err != nil {
		return nil, err
	}
	defer l.bytes.Release(o.Size)
	b, err := l.c.store.ReadAll(ctx, *o) // what is read wrong once would be believed until the object changes
	if err != nil {
		return nil, err
	}
	return metainfo.ParseTorrent(b)
}

// add adds a torrent to the node. The entry is kept before, so that a torrent that was added is known after a kill.
func (l *loader) add(ctx context.Context, o *objectstore.Object, torrent *metainfo.Torrent, e entry) error {
	c := l.c
	e.infohash, e.kind = torrent.Info.Hash, ours
	c.mu.Lock()
	isOurs := c.ours[e.infohash] > 0
	c.mu.Unlock()
	if has := c.node.Torrent(e.infohash) != nil; has && !isOurs {
		e.kind = others
	}
	if err := l.keep(ctx, o, e); err != nil || e.kind == others {
		return err
	}
	_, err := c.node.Add(node.Spec{Torrent: torrent, Objects: true, Shared: true, Persistent: true})
	switch {
	case err == nil, errors.Is(err, node.ErrClosed):
		return nil
	case !errors.Is(err, node.ErrDuplicate): // the state directory does not take it now
		c.postpone(o, l.round)
		return errors.Join(err, c.forget(keyOf(o.Name)))
	}
	c.mu.Lock()
	isOurs = isOurs || c.ours[e.infohash] > 1
	c.mu.Unlock()
	if isOurs {
		return nil // another object has it too
	}
	e.kind = others
	return errors.Join(c.forget(keyOf(o.Name)), c.keep(ctx, o.Name, e))
}

// keep is Catalogue.keep, and counts what is done.
func (l *loader) keep(ctx context.Context, o *objectstore.Object, e entry) error {
	l.mu.Lock()
	l.kept++
	l.mu.Unlock()
	return l.c.keep(ctx, o.Name, e)
}

// keep sets an entry, in the state directory too. If an object has another torrent than before, the earlier one is removed.
func (c *Catalogue) keep(ctx context.Context, name string, e entry) error {
	key := keyOf(name)
	if err := c.removeTorrent(ctx, key, e.infohash); err != nil {
		return err
	}
	if err := c.kept.Put(key, e.encode()); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set(key, e)
	delete(c.failures, key)
	return nil
}

// refuse warns about an object that is left out.
func (l *loader) refuse(o *objectstore.Object, err error) {
	l.mu.Lock()
	l.warnings++
	isOne := l.warnings <= maxWarnings
	l.mu.Unlock()
	if isOne {
		l.c.warn(fmt.Errorf("%s is left out: %w", l.c.store.Location().Name(o.Name), err))
	}
}

// warnRest warns about the objects about which refuse did not.
func (l *loader) warnRest() {
	if more := l.warnings - maxWarnings; more > 0 {
		l.c.warn(fmt.Errorf("%d more objects of the catalogue are left out", more))
	}
}
