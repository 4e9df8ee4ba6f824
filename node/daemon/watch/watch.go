// Package watch detects the files that appear in a folder. Torrents is for commands. Folder is for
// the daemon: it also adds the files and renames them.
package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleAfter is how long a file must stay unchanged to count as complete.
const settleAfter = time.Second

// HasSuffix reports whether a path ends in .torrent, in any case.
func HasSuffix(path string) bool { return strings.EqualFold(filepath.Ext(path), ".torrent") }

// IsTorrent reports whether a path is a regular file that ends in .torrent. Other files,
// such as pipes, are left out because reading them could block.
func IsTorrent(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && HasSuffix(path)
}

// Torrents sends the paths of the .torrent files that appear or change in dir, until ctx
// ends. It sends a path after the file has stayed unchanged for settleAfter.
func Torrents(ctx context.Context, dir string) (<-chan string, error) {
	w, err := fsnotify.NewWatcher()
	if err == nil {
		if err = w.Add(dir); err != nil {
			w.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot watch %s for new files: %w", dir, err)
	}
	out := make(chan string)
	go func() {
		defer w.Close()
		reportSettled(ctx, w.Events, w.Errors, out)
	}()
	return out, nil
}

// reportSettled implements Torrents for the events of a watcher.
func reportSettled(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error, out chan<- string) {
	var changed []change // oldest first
	forget := func(path string) {
		changed = slices.DeleteFunc(changed, func(c change) bool { return c.path == path })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if len(changed) > 0 {
			timer.Reset(settleAfter - time.Since(changed[0].at))
		}
		select {
		case e, ok := <-events:
			switch {
			case !ok:
				return
			case !HasSuffix(e.Name):
			case e.Has(fsnotify.Create), e.Has(fsnotify.Write):
				forget(e.Name)
				changed = append(changed, change{e.Name, time.Now()})
			case e.Has(fsnotify.Remove), e.Has(fsnotify.Rename):
				forget(e.Name)
			}
		case <-errs: // events were lost; the next change of a file is reported
		case <-timer.C:
			if len(changed) == 0 || time.Since(changed[0].at) < settleAfter {
				continue
			}
			if !IsTorrent(changed[0].path) {
				changed = changed[1:]
				continue
			}
			select {
			case out <- changed[0].path:
				changed = changed[1:]
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// A change is a file that has changed and not settled yet, with the time of its last
// change.
type change struct {
	path string
	at   time.Time
}
