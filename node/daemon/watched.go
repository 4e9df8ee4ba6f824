package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"seedbed/internal/option"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/daemon/watch"
)

// addition says how to add the torrents of a watched folder or a feed.
type addition struct {
	Into     string // the folder for the data; "": that of the category, or of the daemon
	Category string
	Labels   []string
	Paused   bool
}

// parseAddition parses words such as category=film. others lists the further words that the caller
// accepts, for the error.
func parseAddition(words []string, others string) (a addition, err error) {
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		switch {
		case word == "paused":
			a.Paused = true
		case name == "category" && checkCategory(value) == nil:
			a.Category = value
		case name == "label" && value != "":
			a.Labels = append(a.Labels, value)
		case name == "dir" && value != "":
			a.Into, err = filepath.Abs(value)
		default:
			err = fmt.Errorf("%q is not one of category=NAME, label=NAME, dir=DIR, paused%s", word, others)
		}
		if err != nil {
			return a, err
		}
	}
	_, err = cleanLabels(a.Labels)
	return a, err
}

func (a *addition) request(torrent []byte, link string) AddRequest {
	return AddRequest{Link: link, Torrent: torrent, Dir: a.Into, Category: a.Category, Labels: a.Labels, Paused: a.Paused}
}

// parseWatched parses a folder and words that say how to add what is put there, in the form of a
// command line: "/srv/watch category=film label=new dir=/srv/films paused".
func parseWatched(text string) (dir string, a addition, err error) {
	words, err := option.SplitWords(text)
	if err == nil && len(words) == 0 {
		err = errors.New("the name of the folder is empty")
	}
	if err == nil {
		dir, err = filepath.Abs(words[0])
	}
	if err == nil {
		a, err = parseAddition(words[1:], "")
	}
	return dir, a, err
}

func checkWatched(text string) error {
	_, _, err := parseWatched(text)
	return err
}

// watchFolder is a variable for tests.
var watchFolder = (*watch.Folder).Watch

// runWatches watches the folders of the settings until the node ends. It starts again when the list
// changes. A folder is watched anew when its earlier watches have ended, which may take until its disk
// is back. The others do not wait for that.
func (d *Daemon) runWatches() {
	watching := map[string]*sync.WaitGroup{} // the last watches of each folder
	for d.node.Context().Err() == nil {
		s, changed := d.settingsChanged()
		ctx, stop := context.WithCancel(d.node.Context())
		next := map[string]*sync.WaitGroup{}
		for _, text := range s.Watch {
			dir, how, err := parseWatched(text)
			if err != nil { // checked when it was set
				continue
			}
			f := &watch.Folder{Dir: dir, Delete: s.WatchDelete, Warn: func(err error) { d.warn("watched folder", err) },
				Add: func(ctx context.Context, torrent []byte, link string) error {
					return d.addWatched(ctx, how, torrent, link)
				}}
			if next[dir] == nil {
				next[dir] = new(sync.WaitGroup)
			}
			before := watching[dir]
			next[dir].Go(func() {
				if before != nil {
					before.Wait()
				}
				if ctx.Err() == nil {
					watchFolder(f, ctx)
				}
			})
		}
		maps.Copy(watching, next)
		d.untilChanged(changed, func(now *Settings) bool { return !slices.Equal(now.Watch, s.Watch) || now.WatchDelete != s.WatchDelete })
		stop()
	}
}

func (d *Daemon) addWatched(ctx context.Context, how addition, torrent []byte, link string) error {
	_, _, err := d.Add(ctx, how.request(torrent, link))
	var fault *node.Fault
	var wrong *magnet.Error
	if errors.As(err, &fault) && fault.Kind == node.FaultUsage || errors.As(err, &wrong) {
		return &watch.InvalidError{Err: err}
	}
	return err
}
