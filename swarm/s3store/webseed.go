package s3store

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// ErrNoWebSeed is returned by WebSeed if no URL stands for the objects.
var ErrNoWebSeed = errors.New("the bucket is in the host of the URLs, so that no folder in them has the name of the torrent")

// WebSeed returns the URL of the HTTP mirror (BEP 19) that the store is for a torrent, if everybody can read its objects. It is "" if they
// cannot, or the torrent is private. The objects are where Open looks for them. The error is as in objectstore.IsPublic, or ErrNoWebSeed.
func WebSeed(ctx context.Context, store *objectstore.Store, info *metainfo.Info) (string, error) {
	p, err := locate(ctx, store, info)
	if err != nil {
		return "", err
	}
	return p.webSeed(ctx, info)
}

// MadeWebSeed is WebSeed for a torrent that Make has made of a location.
func MadeWebSeed(ctx context.Context, store *objectstore.Store, info *metainfo.Info) (string, error) {
	p, _ := placeOf(store)
	return p.webSeed(ctx, info)
}

// AddWebSeed adds what WebSeed returns to the web seeds of a torrent.
func AddWebSeed(ctx context.Context, store *objectstore.Store, t *metainfo.Torrent) (url string, err error) {
	url, err = WebSeed(ctx, store, t.Info)
	if url != "" && !slices.Contains(t.WebSeeds, url) {
		t.WebSeeds = append(slices.Clip(t.WebSeeds), url)
	}
	return url, err
}

// webSeed asks for the first object that has content.
func (p place) webSeed(ctx context.Context, info *metainfo.Info) (string, error) {
	if info.Private { // BEP 27: its tracker decides who gets the data
		return "", nil
	}
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
			return "", ErrNoWebSeed
		}
		for range strings.Count(info.PathOf(i), "/") + 1 {
			url = strings.TrimSuffix(url, "/"+path.Base(url))
		}
		return url + "/", nil
	}
	return "", nil
}
