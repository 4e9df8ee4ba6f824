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
	"time"

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

// quiet returns the WebSeeds of a store that has nothing to warn about.
func quiet(t *testing.T, store *objectstore.Store) *WebSeeds {
	return NewWebSeeds(store, func(err error) { t.Error(err) })
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
				if url := quiet(t, store).Add(t.Context(), &torrent); url != c.want {
					t.Errorf("%+v: %q", c, url)
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
			if url := quiet(t, l.server.OpenAt("s3://bucket/data/film")).AddMade(t.Context(), &torrent); url != "" {
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
		warned := 0
		seeds := NewWebSeeds(store, func(error) { warned++ })
		url := ""
		for range 3 {
			url = seeds.Add(t.Context(), &metainfo.Torrent{Info: l.info})
		}
		if want := "http://" + host + "/bucket/data/film"; isPublic && (url != want || warned != 0) || !isPublic && (url != "" || warned != 1) {
			t.Errorf("%s: %q, %d warnings", host, url, warned)
		}
		store.Close()
	}
	secret := *l.info
	secret.Private = true
	if url := quiet(t, l.server.Open("data")).Add(t.Context(), &metainfo.Torrent{Info: &secret}); url != "" {
		t.Errorf("a private torrent: %q", url)
	}
}

// A store that gives no answer costs one torrent of many the time to wait for it, and is asked again after a while.
func TestManyTorrentsDoNotWaitForTheirWebSeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1)
		l.put("film", "data/film", 1000, 1)
		l.server.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Hang: true} })
		seeds := quiet(t, l.server.Open("data"))
		add := func() string {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			return seeds.Add(ctx, &metainfo.Torrent{Info: l.info})
		}
		began := time.Now()
		for range 10 {
			if url := add(); url != "" {
				t.Error(url)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("ten torrents took %v", took)
		}
		l.server.SetFault(nil)
		if url := add(); url != "" {
			t.Error("the store was asked at once")
		}
		time.Sleep(webSeedPause)
		if add() == "" {
			t.Error("the store was not asked again")
		}
	})
}
