package follow

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// firstRetry is the wait after the first failed attempt to adopt a version. It doubles with
// each attempt, up to Config.Poll.
const firstRetry = 5 * time.Second

// adopt makes the complete version the current one. If that fails for a local reason, such
// as another file named "current", adopt is called again later.
func (f *Follower) adopt() {
	fe := f.fetching
	if f.keys != nil && !fe.reading.isComplete && fe.reading.done == nil {
		f.beginReading(fe)
		return
	}
	err := fe.reading.end()
	if err == nil {
		err = f.install(fe)
	}
	if err != nil {
		f.warn(fmt.Errorf("version %d is complete but cannot be made current yet: %w", fe.seq, err))
		fe.stopRetrying()
		fe.retry = time.NewTimer(fe.pause)
		fe.pause = min(2*fe.pause, max(f.cfg.Poll, firstRetry))
		return
	}
	f.setFetching(nil)
	if fe.retry != nil {
		fe.stopRetrying()
		f.warned = ""
		f.node.Emit(node.Event{Kind: node.Recovered}.About(fe.torrent))
	}
	if old := f.active.Swap(fe.torrent); old != nil && old != fe.torrent {
		f.drop(old)
	}
	f.setTorrents()
	f.prune()
	f.count(func(s *Stats) { s.Switched++ })
	f.keep()
	f.report(node.SwitchedVersion, fe)
}

func (fe *fetch) stopRetrying() {
	if fe.retry != nil {
		fe.retry.Stop()
	}
}

// install syncs a version and makes it read-only, makes current point to it, and records
// it.
func (f *Follower) install(fe *fetch) error {
	info := fe.torrent.Info()
	if info == nil {
		return node.ErrNoMetadata
	}
	if err := f.store.seal(fe.name, info); err != nil {
		return err
	}
	if tree := fe.reading.tree; tree != nil {
		if err := f.dirs.seal(fe.name, tree.Info); err != nil {
			return err
		}
	}
	torrent := metainfo.Torrent{Info: info}
	if err := statefile.WriteSync(f.folder.torrentPath(fe.name), torrent.Append(nil)); err != nil {
		return err
	}
	if err := f.dirs.switchTo(fe.name); err != nil {
		return err
	}
	r := f.folder.file
	r.current = currentOf(f.cfg.Link, fe)
	if err := f.folder.save(&r); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.folder.file = r
	return nil
}

// abandon stops the download of the pending version, if any, and deletes its files.
func (f *Follower) abandon() {
	fe := f.fetching
	if fe == nil {
		return
	}
	f.setFetching(nil)
	f.setTorrents()
	fe.stopRetrying()
	fe.reading.stop()
	if fe.torrent == f.active.Load() {
		return
	}
	f.drop(fe.torrent)
	_ = f.store.root.RemoveAll(fe.name)
	_ = f.dirs.root.RemoveAll(fe.name)
}

// drop removes the torrent of a version from the node and the state directory, and waits
// until that is done.
func (f *Follower) drop(t *node.Torrent) {
	err := f.node.Remove(f.ctx, t.InfoHash(), false)
	if err == nil {
		err = t.Settled(f.ctx)
	}
	var fault *node.Fault
	if errors.As(err, &fault) && fault.Kind == node.FaultVanished {
		return // its files have changed; they are no longer needed
	}
	if err != nil && !errors.Is(err, node.ErrUnknown) && !errors.Is(err, context.Canceled) {
		f.warn(fmt.Errorf("cannot remove the torrent of another version: %w", err))
	}
}

// prune deletes all versions but the newest one and Config.Keep earlier ones. Only versions
// that were current count as earlier versions; unfinished downloads are always deleted, and so
// are versions with higher numbers, whose key was revoked.
func (f *Follower) prune() {
	newest := f.folder.file.Folder
	number := versionSeq(path.Base(newest))
	kept, keep := []string{newest}, max(f.cfg.Keep, 0)
	for _, name := range f.dirs.list() {
		if name != newest && len(kept) <= keep && versionSeq(path.Base(name)) <= number && f.folder.torrent(name) != nil {
			kept = append(kept, name)
		}
	}
	err := f.endArchives(kept)
	if err = errors.Join(err, f.dirs.deleteExcept(kept), f.store.deleteExcept(kept)); err != nil {
		f.warn(fmt.Errorf("cannot delete an earlier version: %w", err))
	}
	f.folder.forget(kept)
	f.shareEarlier()
}
