package follow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// The earlier versions that are on disk (Config.Keep) are shared, so that others can look at them and download
// them.

// shareEarlier shares the versions that earlierToShare returns, and no others. A version that the node has as
// a torrent is left out.
func (f *Follower) shareEarlier() {
	wanted := f.earlierToShare()
	errs := []error{f.endArchives(wanted)}
	for _, name := range wanted {
		if one := f.archives[name]; one != nil && one.CanReturn() {
			errs = append(errs, f.endArchive(f.ctx, name))
		}
		if f.archives[name] == nil {
			errs = append(errs, f.share(name))
		}
	}
	if err := errors.Join(errs...); err != nil && f.ctx.Err() == nil {
		f.warn(fmt.Errorf("earlier versions cannot be shared: %w", err))
	}
}

// shareAgain shares earlier versions again after the torrents for which their Archives gave way have gone.
func (f *Follower) shareAgain() {
	for _, one := range f.archives {
		if one.CanReturn() {
			f.shareEarlier()
			return
		}
	}
}

// earlierToShare returns the folders of the versions to share, newest first: those on disk, within the limits,
// except the current version and the one that is being downloaded.
func (f *Follower) earlierToShare() (names []string) {
	bytes := int64(0)
	for _, name := range f.store.list() {
		fi, err := os.Stat(f.folder.torrentPath(name))
		if err != nil || name == f.folder.file.shown().Folder || f.fetching != nil && name == f.fetching.name {
			continue
		}
		if bytes += fi.Size(); len(names) == node.MaxEarlier || bytes > node.MaxEarlierBytes {
			break
		}
		names = append(names, name)
	}
	return names
}

func (f *Follower) share(name string) error {
	info := f.folder.torrent(name)
	if info == nil || info.LacksLayers() {
		return nil
	}
	one, err := f.node.AddArchive(&metainfo.Torrent{Info: info}, f.store.path(name), nil)
	switch {
	case errors.Is(err, node.ErrDuplicate), errors.Is(err, node.ErrLocked):
		return nil
	case err != nil:
		return err
	}
	if f.archives == nil {
		f.archives = map[string]*node.Archive{}
	}
	f.archives[name] = one
	return nil
}

// endArchives ends the sharing of all earlier versions but those in kept.
func (f *Follower) endArchives(kept []string) error {
	var errs []error
	for name := range f.archives {
		if !slices.Contains(kept, name) {
			errs = append(errs, f.endArchive(f.ctx, name))
		}
	}
	return errors.Join(errs...)
}

func (f *Follower) endArchive(ctx context.Context, name string) error {
	one := f.archives[name]
	delete(f.archives, name)
	return one.Remove(ctx)
}
