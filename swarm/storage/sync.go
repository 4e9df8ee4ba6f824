package storage

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
)

// syncTogether is how many files or directories are synced by one call, where the system
// has one for a whole file system. Each separate sync costs the disk a commit; a hundred
// thousand of them take minutes.
var syncTogether = 128 // smaller in tests

// syncAtOnce is how many files are otherwise synced concurrently: file systems combine
// concurrent syncs into one commit.
const syncAtOnce = 8

// syncer makes everything durable that was written to one file system since the syncer
// was opened. It reports write errors even if another process synced in between.
type syncer interface {
	Sync() error
	// Covers reports whether a file is on the file system.
	Covers(fi fs.FileInfo) bool
	Close() error
}

// groupDisk is a Disk that may have syncers. openSyncer returns nil if the system or the
// file system does not support them reliably.
type groupDisk interface{ openSyncer() syncer }

// watchSync opens the syncer before the first write that it must cover. Only torrents
// with many files have one.
func (s *Storage) watchSync() {
	if len(s.info.Files) < syncTogether || s.syncing.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.syncing.Load() {
		return
	}
	s.syncing.Store(true)
	if d, ok := s.disk.(groupDisk); ok {
		s.syncer = d.openSyncer()
	}
}

// unwatchSync closes the syncer if it has nothing left to do. The caller holds flushing.
func (s *Storage) unwatchSync() {
	s.mu.Lock()
	old := s.syncer
	if len(s.dirty) > 0 || len(s.dirs) > 0 {
		old = nil
	} else {
		s.syncer = nil
		s.syncing.Store(false)
	}
	s.mu.Unlock()
	if old != nil {
		_ = old.Close() // it was only used for reading
	}
}

// groupSyncer returns the syncer for n files or directories, or nil if they are to be
// synced one by one.
func (s *Storage) groupSyncer(n int) syncer {
	if n < syncTogether {
		return nil
	}
	s.watchSync()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.syncer
}

// syncFiles syncs the files with unsynced writes. Those that fail stay dirty.
func (s *Storage) syncFiles() error {
	s.mu.Lock()
	dirty := s.dirty
	s.dirty = nil
	s.mu.Unlock()
	for _, i := range dirty {
		s.files[i].dirty.Store(false)
	}
	var first error
	if g := s.groupSyncer(len(dirty)); g != nil {
		dirty, first = s.syncGroup(g, dirty)
	}
	return firstOf(first, eachOf(dirty, func(i int) error {
		err := s.syncFile(i)
		if err != nil {
			s.markDirty(i)
		}
		s.stepped()
		return err
	}))
}

// syncGroup syncs files by one call. It returns those that must be synced one by one.
func (s *Storage) syncGroup(g syncer, dirty []int) (rest []int, first error) {
	var group []int
	for _, i := range dirty {
		s.places.RLock()
		there := s.files[i].place != absent
		var fi fs.FileInfo
		var err error
		if there { // syncing a deleted file would succeed too
			fi, err = s.identify(i)
		}
		s.places.RUnlock()
		switch {
		case !there:
		case err != nil:
			s.markDirty(i)
			first = firstOf(first, err)
		case i == s.parts() && s.state != s.disk, !g.Covers(fi):
			rest = append(rest, i)
		default:
			group = append(group, i)
		}
		s.stepped()
	}
	if len(group) == 0 {
		return rest, first
	}
	err := g.Sync()
	s.stepped()
	if err == nil {
		for _, i := range group {
			s.places.RLock()
			s.settleTime(i)
			s.places.RUnlock()
		}
		return rest, first
	}
	for _, i := range group {
		s.markDirty(i)
		s.suspectFile(i)
	}
	return rest, firstOf(first, wrap("sync", s.dir, err))
}

// syncDirs syncs the directories in which names changed.
func (s *Storage) syncDirs() error {
	s.mu.Lock()
	dirs := slices.Sorted(maps.Keys(s.dirs))
	clear(s.dirs)
	renames := s.renames
	s.mu.Unlock()
	var first error
	rest := dirs
	if g := s.groupSyncer(len(dirs)); g != nil {
		rest = slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool {
			fi, err := s.disk.Stat(dir)
			s.stepped()
			return err == nil && g.Covers(fi)
		})
		if err := g.Sync(); err != nil {
			rest, first = nil, wrap("sync", s.dir, err)
		}
	}
	err := firstOf(first, eachOf(rest, func(dir string) error {
		defer s.stepped()
		err := s.disk.SyncDir(dir)
		if err != nil && !(kindOf(err) == Vanished && s.hasRenamedSince(renames)) {
			return wrap("sync", filepath.Join(s.dir, dir), err)
		}
		return nil
	}))
	if err != nil {
		s.mu.Lock()
		for _, d := range dirs {
			s.dirs[d] = struct{}{}
		}
		s.mu.Unlock()
	}
	return err
}

// eachOf calls do for every element of list, concurrently if the list is long, and
// returns the first error.
func eachOf[T any](list []T, do func(T) error) (first error) {
	if len(list) < 2*syncAtOnce {
		for _, e := range list {
			first = firstOf(first, do(e))
		}
		return first
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var next atomic.Int64
	for range syncAtOnce {
		wg.Go(func() {
			for k := next.Add(1) - 1; k < int64(len(list)); k = next.Add(1) - 1 {
				if err := do(list[k]); err != nil {
					mu.Lock()
					first = firstOf(first, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}

// stepped counts a step of saving; see Options.Steps.
func (s *Storage) stepped() {
	if s.o.Steps != nil {
		s.o.Steps.Add(1)
	}
}
