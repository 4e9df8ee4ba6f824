// Package watch notices .torrent files that appear in a folder.
package watch

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleAfter is how long a file must stay unchanged before it is taken to be complete.
const settleAfter = time.Second

// IsTorrent reports whether a path names a .torrent file.
func IsTorrent(path string) bool { return strings.EqualFold(filepath.Ext(path), ".torrent") }

// Torrents sends the paths of the .torrent files that appear or change in dir, once
// each has stayed unchanged for settleAfter, until ctx ends.
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

// keepSettled passes on the events of a watcher; see Torrents.
func keepSettled(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error, out chan<- string) {
	changed := map[string]time.Time{} // files that have not settled
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return
			}
			switch {
			case !IsTorrent(e.Name):
			case e.Has(fsnotify.Create), e.Has(fsnotify.Write):
				changed[e.Name] = time.Now()
				tick.Reset(settleAfter)
			case e.Has(fsnotify.Remove), e.Has(fsnotify.Rename):
				delete(changed, e.Name)
			}
		case <-errs: // events were lost; the next change of the file is noticed
		case <-tick.C:
			for path, at := range changed {
				if wait := settleAfter - time.Since(at); wait > 0 {
					tick.Reset(wait)
					continue
				}
				delete(changed, path)
				select {
				case out <- path:
				case <-ctx.Done():
					return
				}
			}
		case <-ctx.Done():
			return
		}
	}
}
