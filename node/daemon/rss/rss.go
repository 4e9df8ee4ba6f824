// Package rss adds the torrents that feeds (RSS, Atom, JSON Feed) name.
//
// A Reader reads one feed at intervals of at least five minutes, which the feed may lengthen (ttl),
// with a jitter of a tenth. After failures the intervals grow up to a day. It asks the server only
// for changes. What it has added is remembered in a Memory, so that nothing is added twice, not even
// after it was removed.
//
// Nothing in a feed is trusted: sizes and counts are limited, and the torrents that it names are
// downloaded only from public addresses or from the host of the feed.
package rss

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/mmcdole/gofeed"
	"github.com/mmcdole/gofeed/rss"

	"seedbed/node/daemon/fetch"
)

const (
	// Every is the default interval, and MinEvery the shortest.
	Every    = 30 * time.Minute
	MinEvery = 5 * time.Minute

	maxEvery    = 24 * time.Hour
	maxFeed     = 8 << 20 // bytes
	maxItems    = 1000    // items of a feed; the others are ignored
	maxAttempts = 5       // to add an item
)

// A Feed says which feed to read and which of its items to add.
type Feed struct {
	URL   string
	Match *regexp.Regexp // the title must match; nil: every title does
	Not   *regexp.Regexp // the title must not match; nil: none does
	Every time.Duration  // the interval between two reads, at least MinEvery
}

// wants reports whether an item with a title is wanted.
func (f *Feed) wants(title string) bool {
	return (f.Match == nil || f.Match.MatchString(title)) && (f.Not == nil || !f.Not.MatchString(title))
}

// A Reader reads a feed.
type Reader struct {
	Feed   Feed
	Memory *Memory
	// Trusted downloads the feed and what its own host has, and Public everything else.
	Trusted, Public *fetch.Fetcher
	// Add adds a torrent, unless its infohash is known: the content of a .torrent file, or a link.
	// It returns the infohash.
	Add  func(ctx context.Context, torrent []byte, link string, isKnown func(infohash string) bool) (infohash string, err error)
	Warn func(error)

	version  fetch.Version
	attempts map[string]int // of items that could not be added, by key
	isBroken bool           // the last attempt to read the feed failed
}

// Run reads the feed until ctx ends.
func (r *Reader) Run(ctx context.Context) {
	r.attempts = map[string]int{}
	failures := 0
	for {
		ttl, err := r.read(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := max(r.Feed.Every, ttl, MinEvery)
		if err != nil {
			failures = min(failures+1, 10)
			wait <<= failures
			if !r.isBroken {
				r.Warn(fmt.Errorf("the feed is tried again: %w", err))
			}
		} else {
			failures = 0
		}
		r.isBroken = err != nil
		wait = min(wait, maxEvery)
		select {
		case <-time.After(wait + rand.N(wait/10)):
		case <-ctx.Done():
			return
		}
	}
}

// read reads the feed once. ttl is the interval that it asks for, or 0.
func (r *Reader) read(ctx context.Context) (ttl time.Duration, err error) {
	b, version, err := r.Trusted.GetChanged(ctx, r.Feed.URL, maxFeed, r.version)
	if err != nil || b == nil {
		return 0, err
	}
	items, ttl, err := Parse(b)
	if err != nil {
		return 0, fmt.Errorf("%s is not a feed: %w", hostOf(r.Feed.URL), err)
	}
	complete := true
	for _, item := range items {
		if !r.Feed.wants(item.Title) || item.Source == "" {
			continue
		}
		complete = r.take(ctx, &item) && complete
	}
	if complete { // otherwise the next attempt needs the whole feed again
		r.version = version
	}
	return ttl, r.Memory.save()
}

// take adds an item unless it was added before, and reports whether the item needs no other attempt.
func (r *Reader) take(ctx context.Context, item *Item) bool {
	key := "item " + r.Feed.URL + " " + item.ID
	if r.Memory.has(key) {
		return true
	}
	hash, err := r.add(ctx, item)
	if err != nil {
		if ctx.Err() != nil {
			return false
		}
		r.attempts[key]++
		if r.attempts[key] == 1 {
			r.Warn(fmt.Errorf("%q of a feed was not added: %w", item.Title, err))
		}
		if r.attempts[key] < maxAttempts {
			return false
		}
	}
	delete(r.attempts, key)
	r.Memory.add(key)
	if hash != "" {
		r.Memory.add("torrent " + hash)
	}
	return true
}

func (r *Reader) add(ctx context.Context, item *Item) (infohash string, err error) {
	link, torrent := item.Source, []byte(nil)
	if fetch.IsURL(link) {
		from := r.Public
		if hostOf(link) == hostOf(r.Feed.URL) {
			from = r.Trusted
		}
		if torrent, link, err = from.Torrent(ctx, link, ""); err != nil {
			return "", err
		}
	}
	return r.Add(ctx, torrent, link, func(infohash string) bool { return r.Memory.has("torrent " + infohash) })
}

// hostOf returns the scheme and the host of a URL.
func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// An Item is a torrent that a feed names.
type Item struct {
	ID     string // the guid, or else the source
	Title  string
	Source string // a magnet link, an infohash, or the URL of a .torrent file; "" if it has none
}

// Parse returns the first 1,000 items of a feed, and the interval that it asks for, or 0.
func Parse(b []byte) (items []Item, ttl time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil { // in the parser
			items, ttl, err = nil, 0, fmt.Errorf("it cannot be parsed: %v", p)
		}
	}()
	if err := checkSize(b); err != nil {
		return nil, 0, err
	}
	feed, err := gofeed.NewParser().Parse(bytes.NewReader(b))
	if err != nil {
		return nil, 0, err
	}
	if feed == nil {
		return nil, 0, errors.New("it is empty")
	}
	if feed.FeedType == "rss" {
		ttl = ttlOf(b)
	}
	for _, i := range feed.Items[:min(len(feed.Items), maxItems)] {
		if i == nil {
			continue
		}
		item := Item{ID: i.GUID, Title: i.Title, Source: sourceOf(i)}
		if item.ID == "" {
			item.ID = item.Source
		}
		items = append(items, item)
	}
	return items, ttl, nil
}

// ttlOf returns the minutes that an RSS feed asks its readers to wait, up to a day.
func ttlOf(b []byte) time.Duration {
	feed, err := new(rss.Parser).Parse(bytes.NewReader(b))
	if err != nil || feed == nil {
		return 0
	}
	d, err := time.ParseDuration(strings.TrimSpace(feed.TTL) + "m")
	if err != nil {
		return 0
	}
	return min(max(d, 0), maxEvery)
}

// sourceOf returns the source of the torrent of an item: an enclosure, an element of the torrent
// namespace, or the item's link.
func sourceOf(i *gofeed.Item) string {
	for _, e := range i.Enclosures {
		if e != nil && (e.Type == "application/x-bittorrent" || isTorrent(e.URL)) {
			return e.URL
		}
	}
	namespace := i.Extensions["torrent"]
	for _, name := range []string{"magnetURI", "infoHash"} {
		for _, x := range namespace[name] {
			if v := strings.TrimSpace(x.Value); v != "" {
				return v
			}
		}
	}
	for _, link := range append([]string{i.Link, i.GUID}, i.Links...) {
		if isTorrent(link) {
			return link
		}
	}
	return ""
}

// isTorrent reports whether a link looks like one to a torrent: a magnet link or a .torrent URL.
func isTorrent(link string) bool {
	u, err := url.Parse(strings.TrimSpace(link))
	return err == nil && (strings.EqualFold(u.Scheme, "magnet") || fetch.IsURL(link) && strings.EqualFold(path.Ext(u.Path), ".torrent"))
}
