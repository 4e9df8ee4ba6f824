package s3store

import (
	"context"
	"hash/maphash"
	"iter"
	"strings"

	"golang.org/x/sync/errgroup"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// A place says which objects are the files of a torrent.
type place struct {
	store *objectstore.Store
	// isBucket means that the whole bucket is the torrent's folder, so that the names of objects begin after its name.
	isBucket bool
}

// placeOf returns the place of the torrent that has the name of a location: the folder or the object that is there.
func placeOf(store *objectstore.Store) (p place, name string) {
	if parent, name, ok := store.Parent(); ok {
		return place{store: parent}, name
	}
	return place{store, true}, store.Location().Bucket
}

// object returns the name in the store for a path in the torrent, which begins with the torrent's name.
func (p place) object(path string) string {
	if p.isBucket {
		_, path, _ = strings.Cut(path, "/")
	}
	return path
}

// objectOf returns the name of the object of a file.
func (p place) objectOf(info *metainfo.Info, file int) string { return p.object(info.PathOf(file)) }

// location returns the location of a path in the torrent, for messages.
func (p place) location(path string) string { return p.store.Location().Name(p.object(path)) }

// locate finds the objects of a torrent in a store: NAME or NAME/ below its location. If there is none, and the location itself has the
// name of the torrent, they are at the location itself. If both exist, as with site/site/, it chooses the one that has more of the
// torrent's files.
func locate(ctx context.Context, store *objectstore.Store, info *metainfo.Info) (place, error) {
	below := place{store: store}
	itself, name := placeOf(store)
	if name != info.Name || itself.isBucket && !info.IsMulti() {
		return below, nil
	}
	found, err := below.exists(ctx, info)
	switch {
	case err != nil:
		return below, err
	case !found:
		return itself, nil
	}
	inBelow, err := below.likeness(ctx, info)
	if err != nil {
		return below, err
	}
	inItself, err := itself.likeness(ctx, info)
	if err == nil && inItself > inBelow {
		return itself, nil
	}
	return below, err
}

// likeness returns how much a place looks like that of a torrent: 1 for each object that has the name of a file, and 1 more if it has its
// size too.
func (p place) likeness(ctx context.Context, info *metainfo.Info) (n int, err error) {
	seed, sizes := maphash.MakeSeed(), map[uint64]int64{} // by hashes of names, because there can be many
	for i := range info.Files {
		if f := &info.Files[i]; f.IsRegular() {
			sizes[maphash.String(seed, p.objectOf(info, i))] = f.Length
		}
	}
	for o, err := range p.existing(ctx, info) {
		if err != nil {
			return 0, err
		}
		name := maphash.String(seed, o.Name)
		size, ok := sizes[name]
		if !ok {
			continue
		}
		delete(sizes, name) // it may come again
		if n++; size == o.Size {
			n++
		}
	}
	return n, nil
}

// exists reports whether a place has an object of a torrent.
func (p place) exists(ctx context.Context, info *metainfo.Info) (bool, error) {
	for _, err := range p.existing(ctx, info) {
		return err == nil, err
	}
	return false, nil
}

const (
	// maxListed is how many objects that are not in the torrent its folder may have for each that is. With more, the store is
	// asked for each file, so that what others have put there costs nothing.
	maxListed = 16
	// statsAtOnce is how many files the store is asked for at a time.
	statsAtOnce = 16
	// statBatch is how many answers about files are kept before they are looked at.
	statBatch = 1024
)

// existing yields the objects that may be files of a torrent: those in its folder, or the one that has its name. It may yield an
// object twice. It ends after the first error.
func (p place) existing(ctx context.Context, info *metainfo.Info) iter.Seq2[objectstore.Object, error] {
	return func(yield func(objectstore.Object, error) bool) {
		if !info.IsMulti() {
			if o, err := p.store.Stat(ctx, info.Name); objectstore.KindOf(err) != objectstore.NotFound {
				yield(o, err)
			}
			return
		}
		listed, most := 0, maxListed*(len(info.Files)+1)
		for o, err := range p.store.List(ctx, p.object(info.Name+"/")) {
			if listed++; err == nil && listed > most {
				p.stats(ctx, info, yield)
				return
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// stats asks for the object of each file, and yields those that exist. It ends after the first error.
func (p place) stats(ctx context.Context, info *metainfo.Info, yield func(objectstore.Object, error) bool) {
	var found [statBatch]objectstore.Object // one without a name was not found
	for first := 0; first < len(info.Files); first += statBatch {
		batch := found[:min(statBatch, len(info.Files)-first)]
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(statsAtOnce)
		for i := range batch {
			batch[i] = objectstore.Object{}
			if !info.Files[first+i].IsRegular() {
				continue
			}
			group.Go(func() error {
				o, err := p.store.Stat(ctx, p.objectOf(info, first+i))
				if objectstore.KindOf(err) == objectstore.NotFound {
					return nil
				}
				batch[i] = o
				return err
			})
		}
		if err := group.Wait(); err != nil {
			yield(objectstore.Object{}, err)
			return
		}
		for _, o := range batch {
			if o.Name != "" && !yield(o, nil) {
				return
			}
		}
	}
}
