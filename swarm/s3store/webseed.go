package s3store

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// errNoWebSeed says that no URL stands for the objects.
var errNoWebSeed = errors.New("the bucket is in the host of the URLs, so that no folder in them has the name of the torrent")

// WebSeeds adds a store to the web seeds (BEP 19) of torrents, if everybody can read their objects there. Whatever adds a torrent of
// objects follows the same rules:
//
//   - A private torrent gets none, and neither does one whose objects cannot be read without credentials.
//   - If the objects can be read, but others may not reach the store, the torrent gets none, and Warn is told why: its host has a
//     private address, or a name that only a proxy can look up.
//   - If the store does not answer, the torrent gets none. The store is then not asked for a minute, so that of many torrents only one
//     waits for it.
//
// The methods are safe for concurrent use.
type WebSeeds struct {
	store *objectstore.Store
	warn  func(error)

	mu     sync.Mutex
	warned string    // the last warning, which is not repeated
	failed time.Time // when the store last gave no answer
}

// webSeedPause is how long a store that has given no answer is not asked.
const webSeedPause = time.Minute

// NewWebSeeds returns the WebSeeds of a store. warn may be called concurrently.
func NewWebSeeds(store *objectstore.Store, warn func(error)) *WebSeeds {
	return &WebSeeds{store: store, warn: warn}
}

// Add adds the store to the web seeds of a torrent whose objects are where Open looks for them. It returns the URL, or "" if it adds none.
func (w *WebSeeds) Add(ctx context.Context, t *metainfo.Torrent) (url string) {
	return w.add(ctx, t, locate)
}

// AddMade is Add for a torrent that Make has made of the location of the store.
func (w *WebSeeds) AddMade(ctx context.Context, t *metainfo.Torrent) (url string) {
	return w.add(ctx, t, func(_ context.Context, store *objectstore.Store, _ *metainfo.Info) (place, error) {
		p, _ := placeOf(store)
		return p, nil
	})
}

func (w *WebSeeds) add(ctx context.Context, t *metainfo.Torrent, where func(context.Context, *objectstore.Store, *metainfo.Info) (place, error)) string {
	w.mu.Lock()
	mustWait := !w.failed.IsZero() && time.Since(w.failed) < webSeedPause
	w.mu.Unlock()
	if t.Info.Private || mustWait { // BEP 27: the tracker of a private torrent decides who gets the data
		return ""
	}
	p, err := where(ctx, w.store, t.Info)
	url := ""
	if err == nil {
		url, err = p.webSeed(ctx, t.Info)
	}
	if err != nil {
		w.note(ctx, err)
		return ""
	}
	if url != "" && !slices.Contains(t.WebSeeds, url) {
		t.WebSeeds = append(slices.Clip(t.WebSeeds), url)
	}
	return url
}

// note remembers that the store has given no answer, or warns about another error, unless it has just done so.
func (w *WebSeeds) note(ctx context.Context, err error) {
	if errors.Is(ctx.Err(), context.Canceled) { // that is not the fault of the store
		return
	}
	w.mu.Lock()
	if objectstore.KindOf(err) == objectstore.Unavailable || ctx.Err() != nil {
		w.failed = time.Now()
		w.mu.Unlock()
		return
	}
	err = fmt.Errorf("%s is not added as a web seed: %w", w.store.Location(), err)
	isNew := w.warned != err.Error()
	w.warned = err.Error()
	w.mu.Unlock()
	if isNew {
		w.warn(err)
	}
}

// webSeed returns the URL that the store is for a torrent, or "" if others cannot read the first object that has content. The error is as in
// objectstore.IsPublic, or errNoWebSeed.
func (p place) webSeed(ctx context.Context, info *metainfo.Info) (string, error) {
	for i := range info.Files {
		if f := &info.Files[i]; f.Length == 0 || !f.IsRegular() {
			continue
		}
		object := p.objectOf(info, i)
		if public, err := p.store.IsPublic(ctx, object); err != nil || !public {
			return "", err
		}
		url := p.store.PublicURL(object)
		if !info.IsMulti() {
			return url, nil
		}
		if p.isBucket && !p.store.HasPathStyle() {
			return "", errNoWebSeed
		}
		for range strings.Count(info.PathOf(i), "/") + 1 {
			url = strings.TrimSuffix(url, "/"+path.Base(url))
		}
		return url + "/", nil
	}
	return "", nil
}
