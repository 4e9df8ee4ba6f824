package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"seedbed/internal/option"
	"seedbed/node/daemon/fetch"
	"seedbed/node/daemon/rss"
)

// feed is a feed and how to add the torrents that it names.
type feed struct {
	rss.Feed
	addition
}

// parseFeed parses a URL and words such as match=REGEX, in the form of a command line:
// "https://example.org/feed match='(?i)debian.*netinst' not=beta category=linux every=1h".
func parseFeed(text string) (f feed, err error) {
	words, err := option.SplitWords(text)
	if err != nil {
		return f, err
	}
	if len(words) == 0 || !fetch.IsURL(words[0]) {
		return f, errors.New("a feed begins with an HTTP or HTTPS URL")
	}
	f.URL, f.Every = words[0], rss.Every
	var rest []string
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "match":
			f.Match, err = regexp.Compile(value)
		case "not":
			f.Not, err = regexp.Compile(value)
		case "every":
			if err = (option.Span{To: &f.Every}).Set(value); err == nil && f.Every < rss.MinEvery {
				err = fmt.Errorf("every=%s is shorter than %v", value, rss.MinEvery)
			}
		default:
			rest = append(rest, word)
		}
		if err != nil {
			return f, err
		}
	}
	f.addition, err = parseAddition(rest, ", match=REGEX, not=REGEX, every=TIME")
	return f, err
}

func checkFeed(text string) error {
	_, err := parseFeed(text)
	return err
}

// runFeeds reads the feeds of the settings until the node ends. It starts again when the list
// changes.
func (d *Daemon) runFeeds() {
	agent := fetch.Config{Agent: d.version, Outbound: d.node.Outbound()}
	public := fetch.New(agent)
	defer public.Close()
	agent.Private = true // the owner of the machine has named the feed
	trusted := fetch.New(agent)
	defer trusted.Close()
	memory, err := rss.OpenMemory(filepath.Join(d.node.StateDir(), "feeds.json"))
	if err != nil {
		d.warn("no feed is read", err)
		return
	}
	for d.node.Context().Err() == nil {
		s, changed := d.settingsChanged()
		ctx, stop := context.WithCancel(d.node.Context())
		var reading sync.WaitGroup
		for _, text := range s.Feeds {
			f, err := parseFeed(text)
			if err != nil { // checked when it was set
				continue
			}
			r := &rss.Reader{Feed: f.Feed, Memory: memory, Trusted: trusted, Public: public, Warn: func(err error) { d.warn("feed", err) },
				Add: func(_ context.Context, torrent []byte, link string, isKnown func(string) bool) (string, error) {
					return d.addFromFeed(&f, torrent, link, isKnown)
				}}
			reading.Go(func() { r.Run(ctx) })
		}
		d.untilChanged(changed, func(now *Settings) bool { return !slices.Equal(now.Feeds, s.Feeds) })
		stop()
		reading.Wait()
	}
}

// untilChanged waits until differ returns true for the settings, or the node ends.
func (d *Daemon) untilChanged(changed <-chan struct{}, differ func(*Settings) bool) {
	for {
		select {
		case <-changed:
		case <-d.node.Context().Done():
			return
		}
		var now Settings
		if now, changed = d.settingsChanged(); differ(&now) {
			return
		}
	}
}

// addWithin limits how long adding a torrent of a feed waits for the disk.
const addWithin = time.Minute

// addFromFeed adds a torrent of a feed. A change of the feeds does not interrupt it: a torrent that
// is added but not remembered would be added again after its removal.
func (d *Daemon) addFromFeed(f *feed, torrent []byte, link string, isKnown func(string) bool) (string, error) {
	ctx, cancel := context.WithTimeout(d.node.Context(), addWithin)
	defer cancel()
	r := f.request(torrent, link)
	spec, err := d.spec(&r)
	if err != nil {
		return "", err
	}
	hash := spec.InfoHash().String()
	if isKnown(hash) {
		return hash, nil
	}
	_, _, err = d.Add(ctx, r)
	return hash, err
}
