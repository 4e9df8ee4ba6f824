package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
	"seedbed/internal/freespace"
	"seedbed/internal/objectstore"
	"seedbed/internal/statefile"
	"seedbed/node"
	"seedbed/swarm/s3store"
	"seedbed/swarm/storage"
)

// AddStore adds the flags of commands whose torrents may be in an object store. Call it after AddNetwork or
// AddService.
func (f *Flags) AddStore(fs *pflag.FlagSet) { f.Add(fs, settings.StoreNames...) }

// AddStoreAccess adds the flags of commands that take places in an object store as arguments. Call it after AddOutbound.
func (f *Flags) AddStoreAccess(fs *pflag.FlagSet) { f.Add(fs, settings.StoreAccess...) }

// HasStore reports whether --store names an object store.
func (f *Flags) HasStore() bool { return f.Store.Location.Bucket != "" }

// IsInStore reports whether the data of torrents is in the object store, and not in --dir: the one that was given
// with the higher precedence is meant.
func (f *Flags) IsInStore(fs *pflag.FlagSet) (bool, error) {
	store, dir := settings.SourceOf(fs.Lookup("store")), settings.SourceOf(fs.Lookup("dir"))
	if store == settings.FromFlag && dir == settings.FromFlag {
		return false, exit.Misuse(errors.New("--store and --dir both say where the data is: give one of them"))
	}
	return f.HasStore() && store >= dir, f.CheckCache(fs, settings.FromFlag)
}

// CheckCache returns an error if a setting of the cache of an object store, given in a source of this precedence or a higher one, has
// no effect because there is no store.
func (f *Flags) CheckCache(fs *pflag.FlagSet, least settings.Source) error {
	if f.HasStore() {
		return nil
	}
	for _, name := range []string{"cache", "cache-size"} {
		if settings.SourceOf(fs.Lookup(name)) >= least {
			return exit.Misuse(fmt.Errorf("--%s is for what is read from an object store, and there is none: give it with --store s3://BUCKET/PREFIX, or leave out --%[1]s", name))
		}
	}
	return nil
}

// ObjectStore opens the object store at a place, and checks that it can be used. If the store merely does not
// answer, away says so, and the store may be used later.
func (f *Flags) ObjectStore(ctx context.Context, at objectstore.Location) (s *objectstore.Store, away, err error) {
	c, err := f.Values.ObjectStore(at)
	if err == nil {
		s, err = objectstore.Open(c)
	}
	if err != nil {
		return nil, nil, exit.Misuse(err)
	}
	err = checkStore(ctx, s)
	if objectstore.KindOf(err) == objectstore.Unavailable {
		return s, fmt.Errorf("the object store %s does not answer: %w", at, err), nil
	}
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return s, nil, nil
}

// checkStore asks for the first object of a store.
func checkStore(ctx context.Context, s *objectstore.Store) error {
	if err := s.CheckCredentials(); err != nil {
		return exit.Fail(exit.Open, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; --store-anonymous is for a public store", err)
	}
	var err error
	for _, e := range s.List(ctx, "") {
		err = e
		break
	}
	at := s.Location()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return exit.Fail(exit.Unfinished, "", errors.New("stopped before the object store answered"))
	case objectstore.KindOf(err) == objectstore.NotFound:
		return exit.Fail(exit.NotFound, "check the name and --store-endpoint", fmt.Errorf("there is no bucket %s in the object store: %w", at.Bucket, err))
	case objectstore.KindOf(err) == objectstore.Denied:
		hint := cmp.Or(objectstore.AccessHint(err), "check the credentials; they must allow to list and to read (s3:ListBucket, s3:GetObject)")
		return exit.Fail(exit.Open, hint, fmt.Errorf("the object store refuses to list %s: %w", at, err))
	case objectstore.KindOf(err) == objectstore.Unsupported:
		return exit.Fail(exit.Usage, "check --store-endpoint", fmt.Errorf("what answers for %s is not an object store that can be used: %w", at, err))
	}
	return err
}

// OpenStore opens the object store of --store with its cache, and sets Objects of the configuration of a node. The
// caller calls end when the node is closed. Without --store, it does nothing.
func (a *App) OpenStore(ctx context.Context, f *Flags, cfg *node.Config) (end func(), err error) {
	if !f.HasStore() {
		return func() {}, nil
	}
	store, away, err := f.ObjectStore(ctx, f.Store.Location)
	if err != nil {
		return nil, err
	}
	if away != nil {
		a.Warn(fmt.Errorf("%w; it is asked again when data is wanted", away))
	}
	cache, err := a.openCache(f)
	if err != nil {
		store.Close()
		return nil, err
	}
	cfg.Objects = &node.Objects{Store: store, Shared: s3store.NewShared(cache)}
	return func() {
		if err := cache.Close(); err != nil {
			a.Warn(err)
		}
		store.Close()
	}, nil
}

// openCache opens the folder of --cache.
func (a *App) openCache(f *Flags) (*s3store.Cache, error) {
	dir, size := f.Store.CacheDir(), f.Store.CacheSize
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, exit.Fail(exit.CodeOf(err), "give another folder with --cache", fmt.Errorf("cannot create the cache: %w", err))
	}
	if size == 0 {
		size = defaultCacheSize(dir)
	}
	cache, err := s3store.OpenCache(dir, size, storage.NewHandles(0))
	if errors.Is(err, statefile.ErrLocked) {
		return nil, exit.Fail(exit.SameHash, "give this one another folder with --cache", fmt.Errorf("another process uses the cache %s", dir))
	}
	if err != nil {
		return nil, exit.Fail(exit.CodeOf(err), "", err)
	}
	a.Say("files: %s, read through a cache of at most %s in %s", f.Store.Location, report.Size(size), report.Exact(dir))
	return cache, nil
}

// minDefaultCache is the minimum of the default size of a cache in bytes.
const minDefaultCache = 1 << 30

// defaultCacheSize returns a tenth of the space that is free in the file system of dir, or taken by the cache itself.
func defaultCacheSize(dir string) int64 {
	free, _, err := freespace.Of(dir)
	if err != nil {
		return minDefaultCache
	}
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // it is only an estimate
		}
		if fi, err := e.Info(); err == nil {
			free += fi.Size()
		}
		return nil
	})
	return max(free/10, minDefaultCache)
}
