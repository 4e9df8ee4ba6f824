package watch

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"seedbed/internal/userfile"
)

const (
	// lookEvery is the interval at which a folder is read even if the system reports no changes.
	// It does not report the changes that other machines make on a network file system.
	lookEvery = 10 * time.Second
	// soonAfter is the delay between a reported change and the next look, and between two looks
	// at a file that has changed.
	soonAfter = time.Second
	// maxTorrent and maxMagnets limit the size of a file, in bytes.
	maxTorrent = 80 << 20
	maxMagnets = 1 << 20
)

// A Folder is a folder into which users and programs put files for the daemon.
type Folder struct {
	Dir string
	// Add adds a torrent: torrent is the content of a .torrent file, or link is a line of a
	// .magnet file. An *InvalidError means that it can never be added; any other error is
	// temporary.
	Add func(ctx context.Context, torrent []byte, link string) error
	// Delete says to delete the files that were added instead of renaming them.
	Delete bool
	// Warn is called for problems, once each.
	Warn func(error)
}

// An InvalidError says that a file can never be added.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }
func (e *InvalidError) Unwrap() error { return e.Err }

// state is the state of a file at a look.
type state struct {
	size int64
	time time.Time
}

// seen is a file of the folder.
type seen struct {
	state
	since time.Time // when it was first seen in this state
	isBad bool      // a problem in this state was reported
	stays bool      // it was added or is invalid, and could not be renamed
}

// Watch adds the .torrent and .magnet files that are in the folder, and those that appear, until
// ctx ends. A file is read when its size and its time have not changed between two looks. A file
// that was added gets the suffix .added, and one that cannot be added the suffix .invalid. The
// folder need not exist: Watch keeps looking for it.
func (f *Folder) Watch(ctx context.Context) {
	w, err := fsnotify.NewWatcher()
	if err != nil { // then the folder is read at intervals only
		f.watch(ctx, nil, nil, func() {})
		return
	}
	defer w.Close()
	f.watch(ctx, w.Events, w.Errors, func() {
		_ = w.Add(f.Dir) // the folder may have been replaced, or not exist
	})
}

// watch implements Watch for the events of a watcher. watchDir is called before each look.
func (f *Folder) watch(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error, watchDir func()) {
	files := map[string]seen{}
	isGone := false
	timer := time.NewTimer(0)
	defer timer.Stop()
	due := time.Now()
	within := func(d time.Duration) {
		due = time.Now().Add(d)
		timer.Reset(d)
	}
	for {
		select {
		case <-timer.C:
		case _, open := <-events:
			if !open {
				events = nil
			} else if time.Until(due) > soonAfter {
				within(soonAfter)
			}
			continue
		case <-errs: // events were lost
			continue
		case <-ctx.Done():
			return
		}
		watchDir()
		entries, err := os.ReadDir(f.Dir)
		if err != nil && !isGone {
			f.Warn(fmt.Errorf("the watched folder %s cannot be read, and is tried again: %w", f.Dir, userfile.Reason(err)))
		}
		isGone = err != nil
		if f.look(ctx, entries, files) {
			within(soonAfter)
		} else {
			within(lookEvery)
		}
	}
}

// look examines the files of the folder, and reports whether one has changed since the last look.
func (f *Folder) look(ctx context.Context, entries []fs.DirEntry, files map[string]seen) (changed bool) {
	present := make(map[string]bool, len(entries))
	for _, e := range entries {
		if ctx.Err() != nil {
			return false
		}
		name := e.Name()
		if !isAddable(name) {
			continue
		}
		info, err := os.Stat(filepath.Join(f.Dir, name)) // a link to a file counts as one
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		present[name] = true
		now, was := state{info.Size(), info.ModTime()}, files[name]
		if was.state != now || was.since.IsZero() {
			files[name] = seen{state: now, since: time.Now()}
			changed = true
			continue
		}
		if now.size == 0 || was.stays || time.Since(was.since) < soonAfter {
			changed = changed || now.size != 0 && !was.stays
			continue
		}
		f.take(ctx, name, &was)
		files[name] = was
	}
	for name := range files {
		if !present[name] {
			delete(files, name)
		}
	}
	return changed
}

// isAddable reports whether the name of a file is that of a .torrent or .magnet file.
func isAddable(name string) bool { return HasSuffix(name) || isMagnet(name) }

func isMagnet(name string) bool { return strings.EqualFold(filepath.Ext(name), ".magnet") }

// take adds the torrents of a file, and renames it.
func (f *Folder) take(ctx context.Context, name string, s *seen) {
	path := filepath.Join(f.Dir, name)
	err := f.add(ctx, path)
	var invalid *InvalidError
	switch {
	case err != nil && ctx.Err() != nil:
		return
	case errors.As(err, &invalid):
		f.Warn(fmt.Errorf("%s: %w", path, err))
		err = rename(path, ".invalid")
	case err != nil: // the next look tries again
		if !s.isBad {
			f.Warn(fmt.Errorf("%s is tried again: %w", path, err))
		}
		s.isBad = true
		return
	case f.Delete:
		err = os.Remove(path)
	default:
		err = rename(path, ".added")
	}
	if err != nil {
		s.stays = true
		f.Warn(fmt.Errorf("%s cannot be renamed: %w", path, userfile.Reason(err)))
	}
}

func (f *Folder) add(ctx context.Context, path string) error {
	limit := int64(maxTorrent)
	if isMagnet(path) {
		limit = maxMagnets
	}
	b, err := userfile.Read(ctx, path, userfile.RefusePipes, limit)
	if err != nil {
		var kind *userfile.KindError
		if errors.Is(err, userfile.ErrTooLarge) || errors.As(err, &kind) {
			return &InvalidError{err}
		}
		return err
	}
	if !isMagnet(path) {
		return f.Add(ctx, b, "")
	}
	links, failed := 0, error(nil)
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		line := strings.TrimSpace(strings.TrimPrefix(lines.Text(), "\ufeff"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		links++
		err := f.Add(ctx, nil, line)
		var invalid *InvalidError
		if err != nil && !errors.As(err, &invalid) {
			return err // the next attempt finds the links before it added already
		}
		if err != nil {
			failed = &InvalidError{fmt.Errorf("link %d: %w", links, err)}
		}
	}
	if links == 0 {
		failed = &InvalidError{errors.New("it has no line of up to 64 KiB with a link")}
	}
	return failed
}

// rename adds a suffix to the name of a file, and a number if there is such a file.
func rename(path, suffix string) error {
	to := path + suffix
	for n := 2; ; n++ {
		if _, err := os.Lstat(to); err != nil {
			return os.Rename(path, to)
		}
		to = path + suffix + "." + strconv.Itoa(n)
	}
}
