// Package watch detects .torrent files that appear in a folder.
package watch

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleAfter is how long a file must stay unchanged to count as complete.
const settleAfter = time.Second

// IsTorrent reports whether a path names a .torrent file.
func IsTorrent(path string) bool { return strings.EqualFold(filepath.Ext(path), ".torrent") }

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
		return nil, fmt.Errorf("new files in %s are not noticed: %w", dir, err)
	}
	out := make(chan string)
	go func() {
		defer w.Close()
		keepSettled(ctx, w.Events, w.Errors, out)
	}()
	return out, nil
}

// keepSettled implements Torrents for the events of a watcher.
func keepSettled(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error, out chan<- string) {
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
			case !IsTorrent(e.Name):
			case e.Has(fsnotify.Create), e.Has(fsnotify.Write):
				forget(e.Name)
				changed = append(changed, change{e.Name, time.Now()})
			case e.Has(fsnotify.Remove), e.Has(fsnotify.Rename):
				forget(e.Name)
			}
		case <-errs: // events were lost; the file's next change is noticed
		case <-timer.C:
			if len(changed) == 0 || time.Since(changed[0].at) < settleAfter {
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

// change is a changed file that has not settled, with the time of its last change.
type change struct {
	path string
	at   time.Time
}
