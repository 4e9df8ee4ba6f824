package rss

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seedbed/node/daemon/fetch"
)

const all = `<?xml version="1.0"?><rss version="2.0" xmlns:torrent="http://xmlns.ezrss.it/0.1/"><channel><title>t</title><ttl>90</ttl>
<item><title>enclosure</title><guid>1</guid><link>https://e.example/page</link><enclosure url="https://e.example/1.torrent?a=b" type="application/x-bittorrent" length="1"/></item>
<item><title>magnet enclosure</title><enclosure url="magnet:?xt=urn:btih:aa" type="x"/></item>
<item><title>namespace</title><guid>3</guid><torrent:infoHash>abab</torrent:infoHash></item>
<item><title>namespace magnet</title><guid>4</guid><torrent:infoHash>abab</torrent:infoHash><torrent:magnetURI><![CDATA[magnet:?xt=urn:btih:bb]]></torrent:magnetURI></item>
<item><title>link</title><guid>5</guid><link>https://e.example/x/5.TORRENT</link></item>
<item><title>magnet link</title><link>magnet:?xt=urn:btih:cc</link></item>
<item><title>page</title><guid>7</guid><link>https://e.example/7</link></item>
<item><title>file</title><guid>8</guid><enclosure url="file:///etc/passwd.torrent" type="x"/></item>
</channel></rss>`

func TestSourcesOfItems(t *testing.T) {
	items, ttl, err := Parse([]byte(all))
	want := []Item{
		{"1", "enclosure", "https://e.example/1.torrent?a=b"},
		{"magnet:?xt=urn:btih:aa", "magnet enclosure", "magnet:?xt=urn:btih:aa"},
		{"3", "namespace", "abab"},
		{"4", "namespace magnet", "magnet:?xt=urn:btih:bb"},
		{"5", "link", "https://e.example/x/5.TORRENT"},
		{"magnet:?xt=urn:btih:cc", "magnet link", "magnet:?xt=urn:btih:cc"},
		{"7", "page", ""},
		{"8", "file", ""},
	}
	if diff := cmp.Diff(want, items); diff != "" || ttl != 90*time.Minute || err != nil {
		t.Errorf("%s %v %v", diff, ttl, err)
	}
	atom := `<feed xmlns="http://www.w3.org/2005/Atom"><title>t</title><entry><id>a</id><title>x</title><link rel="enclosure" type="application/x-bittorrent" href="https://e.example/a"/></entry></feed>`
	if items, _, err := Parse([]byte(atom)); err != nil || len(items) != 1 || items[0].Source != "https://e.example/a" {
		t.Errorf("%v %v", items, err)
	}
	for _, bad := range []string{"", "<html><body>log in</body></html>", "d4:infodee", "<rss", "\x00"} {
		if items, _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, items)
		}
	}
}

func TestFeedsAreLimited(t *testing.T) {
	many := `<rss version="2.0"><channel><ttl>99999999</ttl>` + strings.Repeat(`<item><title>x</title></item>`, 5000) + `</channel></rss>`
	items, ttl, err := Parse([]byte(many))
	if err != nil || len(items) != maxItems || ttl != maxEvery {
		t.Errorf("%d items, %v, %v", len(items), ttl, err)
	}
}

// The parser calls itself for each level, and a stack has no more than a gigabyte.
func TestDeepAndCrowdedFeedsAreRefused(t *testing.T) {
	for _, head := range []string{`<rss version="2.0"><channel><item xmlns="x">`, `<feed xmlns="http://www.w3.org/2005/Atom"><entry>`, "<rss\x01><channel><i\x02tem>"} {
		for tag, want := range map[string]string{"<a:b>": "deep", "<b>": "deep", "<a:b\x00>": "deep", "<a:b/>": "elements"} {
			_, _, err := Parse([]byte(head + strings.Repeat(tag, (maxFeed-100)/len(tag))))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s%s…: %v", head, tag, err)
			}
		}
	}
	latin := `<?xml version="1.0" encoding="ISO-8859-1"?><rss version="2.0"><channel><item><title>caf` + "\xe9" + `</title></item></channel></rss>`
	if items, _, err := Parse([]byte(latin)); err != nil || len(items) != 1 || items[0].Title != "café" {
		t.Errorf("%v %v", items, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(all))
	f.Add([]byte(`{"version":"https://jsonfeed.org/version/1.1","title":"t","items":[{"id":"1","attachments":[{"url":"https://e.example/1.torrent","mime_type":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		items, ttl, err := Parse(b)
		if err == nil && (len(items) > maxItems || ttl < 0 || ttl > maxEvery) {
			t.Errorf("%d items, %v", len(items), ttl)
		}
	})
}

// rig is a reader of a server's feed.
type rig struct {
	*Reader
	handler  http.HandlerFunc
	added    []string
	failing  error
	warnings []error
	requests []string
}

func newRig(t *testing.T, body string) *rig {
	r := new(rig)
	var mu sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		r.requests = append(r.requests, req.URL.Path)
		if r.handler != nil {
			r.handler(w, req)
			return
		}
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	m, err := OpenMemory(filepath.Join(t.TempDir(), "feeds.json"))
	if err != nil {
		t.Fatal(err)
	}
	trusted, public := fetch.New(fetch.Config{Private: true}), fetch.New(fetch.Config{})
	t.Cleanup(trusted.Close)
	t.Cleanup(public.Close)
	r.Reader = &Reader{Feed: Feed{URL: s.URL + "/feed"}, Memory: m, Trusted: trusted, Public: public, attempts: map[string]int{},
		Warn: func(err error) { r.warnings = append(r.warnings, err) },
		Add: func(_ context.Context, torrent []byte, link string, isKnown func(string) bool) (string, error) {
			hash := link + string(torrent)
			if r.failing != nil {
				return "", r.failing
			}
			if !isKnown(hash) {
				r.added = append(r.added, hash)
			}
			return hash, nil
		}}
	return r
}

func (r *rig) reads(t *testing.T, want ...string) {
	t.Helper()
	r.added = nil
	if _, err := r.read(t.Context()); err != nil {
		t.Error(err)
	}
	if !slices.Equal(r.added, want) {
		t.Errorf("added %q, not %q", r.added, want)
	}
}

func item(title, guid, link string) string {
	return "<item><title>" + title + "</title><guid>" + guid + "</guid><link>" + link + "</link></item>"
}

func feedOf(items ...string) string {
	return `<rss version="2.0"><channel>` + strings.Join(items, "") + `</channel></rss>`
}

// Each torrent is added once, also if it comes back under another title, or after a restart.
func TestTorrentsAreAddedOnce(t *testing.T) {
	r := newRig(t, feedOf(item("Show 1", "1", "magnet:a"), item("Show 1 repack", "2", "magnet:a"), item("Other", "3", "magnet:b"), item("show 2 beta", "4", "magnet:c")))
	r.Feed.Match, r.Feed.Not = regexp.MustCompile("(?i)show"), regexp.MustCompile("beta")
	r.reads(t, "magnet:a")
	r.reads(t)
	again, err := OpenMemory(r.Memory.path)
	if err != nil {
		t.Fatal(err)
	}
	r.Memory = again
	r.reads(t)
	r.Feed.Match, r.Feed.Not = nil, nil
	r.reads(t, "magnet:b", "magnet:c")
}

// The server is asked for changes only, unless something is left to do.
func TestTheServerIsAskedForChanges(t *testing.T) {
	r := newRig(t, "")
	var seen []string
	r.handler = func(w http.ResponseWriter, req *http.Request) {
		seen = append(seen, req.Header.Get("If-None-Match")+" "+req.Header.Get("If-Modified-Since"))
		if req.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Last-Modified", "yesterday")
		fmt.Fprint(w, feedOf(item("a", "1", "magnet:a")))
	}
	r.failing = errors.New("the disk is full")
	r.reads(t)
	r.failing = nil
	r.reads(t, "magnet:a")
	r.reads(t)
	if want := []string{" ", " ", `"1" yesterday`}; !slices.Equal(seen, want) {
		t.Errorf("%q", seen)
	}
	if len(r.warnings) != 1 {
		t.Error(r.warnings)
	}
}

// The feed's own host may be private; other hosts that it names may not.
func TestTorrentsComeFromTheFeedsHostOrPublicAddresses(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a private host was contacted") }))
	defer inside.Close()
	r := newRig(t, "")
	r.handler = func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/feed":
			fmt.Fprint(w, feedOf(item("a", "1", "http://"+req.Host+"/a.torrent"), item("b", "2", inside.URL+"/b.torrent"), item("c", "3", "http://"+req.Host+"/none.torrent")))
		case "/a.torrent":
			fmt.Fprint(w, "torrent")
		default:
			http.NotFound(w, req)
		}
	}
	r.reads(t, "torrent")
	for range 10 {
		r.reads(t)
	}
	if n := len(slices.DeleteFunc(r.requests, func(p string) bool { return p != "/none.torrent" })); n != maxAttempts {
		t.Errorf("an item that fails was tried %d times", n)
	}
	if len(r.warnings) != 2 {
		t.Error(r.warnings)
	}
}

// A server that lies about its size, sends without end or redirects for ever costs an error.
func TestHostileServers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"huge": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		},
		"redirecting": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) },
		"lying": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "<rss")
		},
		"a page": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>log in</html>") },
		"broken": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
	} {
		r := newRig(t, "")
		r.handler = h
		if _, err := r.read(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAMemoryIsBounded(t *testing.T) {
	m, err := OpenMemory(filepath.Join(t.TempDir(), "feeds.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxRemembered + 10 {
		m.add(fmt.Sprint(i))
	}
	if len(m.keys) != maxRemembered || len(m.isKnown) != maxRemembered || m.has("9") || !m.has("10") {
		t.Errorf("%d keys", len(m.keys))
	}
	if err := m.save(); err != nil {
		t.Fatal(err)
	}
	if again, err := OpenMemory(m.path); err != nil || !again.has("10") {
		t.Error(err)
	}
}
