package s3store

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
)

// fileOfSeed returns the URL of a file at a web seed (BEP 19).
func fileOfSeed(seed string, info *metainfo.Info, file int) string {
	if !strings.HasSuffix(seed, "/") {
		return seed
	}
	u := seed + url.PathEscape(info.Name)
	for _, name := range info.Files[file].Path {
		if info.IsMulti() {
			u += "/" + url.PathEscape(name)
		}
	}
	return u
}

// A store is the web seed of what everybody can read there. The URL leads to the objects.
func TestWebSeed(t *testing.T) {
	for _, c := range []struct {
		at, name string
		files    int
		objects  string // format of their names
		want     string
	}{
		{"s3://bucket/data", "film", 2, "data/film/%03d", "http://store.test/bucket/data/"},
		{"s3://bucket/data/film", "film", 2, "data/film/%03d", "http://store.test/bucket/data/"},
		{"s3://bucket", "film", 2, "film/%03d", "http://store.test/bucket/"},
		{"s3://bucket", "bucket", 2, "%03d", "http://store.test/"},
		{"s3://bucket/data", "film a", 1, "data/film a", "http://store.test/bucket/data/film%20a"},
		{"s3://bucket/data", "film", 1, "other", ""}, // it is not there
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, metainfo.V1)
			l.put(c.name, c.objects, 100_000, c.files)
			store := l.server.OpenAt(c.at)
			torrent := metainfo.Torrent{Info: l.info, WebSeeds: []string{"http://example.org/"}}
			for range 2 {
				if url, err := AddWebSeed(t.Context(), store, &torrent); err != nil || url != c.want {
					t.Errorf("%+v: %q, %v", c, url, err)
				}
			}
			if c.want == "" {
				if len(torrent.WebSeeds) != 1 {
					t.Errorf("%+v: %q", c, torrent.WebSeeds)
				}
				return
			}
			if len(torrent.WebSeeds) != 2 || torrent.WebSeeds[1] != c.want {
				t.Errorf("%+v: %q", c, torrent.WebSeeds)
			}
			client := http.Client{Transport: &http.Transport{DialContext: l.server.Dial}}
			defer client.CloseIdleConnections()
			for i := range l.info.Files {
				r, err := client.Get(fileOfSeed(c.want, l.info, i))
				if err != nil || r.StatusCode != http.StatusOK || r.ContentLength != l.info.Files[i].Length {
					t.Errorf("%+v: %v %v", c, r, err)
				}
				r.Body.Close()
			}
			l.server.SetFault(func(r *http.Request) (f s3test.Fault) { return s3test.Fault{Status: http.StatusForbidden} })
			if url, _ := MadeWebSeed(t.Context(), l.server.OpenAt("s3://bucket/data/film"), l.info); url != "" {
				t.Errorf("%+v: not public: %q", c, url)
			}
		})
	}
}

// What others cannot reach, or must not get, is no web seed.
func TestPrivateStoresAreNoWebSeeds(t *testing.T) {
	addresses := map[string][]netip.Addr{}
	for name, list := range map[string][]string{"one.test": {"8.8.8.8", "2001:4860:4860::8888"}, "mixed.test": {"8.8.8.8", "10.0.0.1"}, "home.test": {"192.168.1.2"},
		"six.test": {"fd00::1"}, "here.test": {"127.0.0.1"}, "link.test": {"fe80::1"}, "none.test": {}} {
		for _, ip := range list {
			addresses[name] = append(addresses[name], netip.MustParseAddr(ip))
		}
	}
	l := newLab(t, metainfo.V1)
	l.put("film", "data/film", 1000, 1)
	for host, isPublic := range map[string]bool{"8.8.8.8": true, "[2001:4860:4860::8888]:9000": true, "one.test": true, "one.test:9000": true,
		"127.0.0.1:9000": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.0.1": false, "169.254.1.1": false, "[::1]:9000": false, "[fd12::1]": false, "[fe80::1]": false,
		"[::ffff:10.0.0.1]": false, "mixed.test": false, "home.test": false, "six.test": false, "here.test": false, "link.test": false, "none.test": false, "unknown.test": false} {
		store, err := objectstore.Open(objectstore.Config{At: objectstore.Location{Bucket: s3test.Bucket, Prefix: "data/"}, Endpoint: "http://" + host, Region: "us-east-1", Style: objectstore.PathStyle,
			Anonymous: true, Dial: l.server.Dial, Lookup: func(_ context.Context, host string) ([]netip.Addr, error) {
				if list, ok := addresses[host]; ok {
					return list, nil
				}
				return nil, errors.New("no such host")
			}})
		if err != nil {
			t.Fatal(err)
		}
		url, err := WebSeed(t.Context(), store, l.info)
		if want := "http://" + host + "/bucket/data/film"; isPublic && (url != want || err != nil) || !isPublic && (url != "" || err == nil) {
			t.Errorf("%s: %q, %v", host, url, err)
		}
		store.Close()
	}
	secret := *l.info
	secret.Private = true
	if url, err := WebSeed(t.Context(), l.server.Open("data"), &secret); url != "" || err != nil {
		t.Errorf("a private torrent: %q, %v", url, err)
	}
}
