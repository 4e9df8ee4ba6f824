package fetch_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"seedbed/node"
	"seedbed/node/daemon/fetch"
)

// serve returns the URL of a server.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// Addresses that only this machine may reach are refused however they are written, and the
// server sees no request.
func TestOnlyPublicAddressesAreContacted(t *testing.T) {
	asked := false
	at := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
	port := at[strings.LastIndex(at, ":"):]
	f := fetch.New(fetch.Config{})
	defer f.Close()
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "127.1", "2130706433", "0x7f.1", "10.0.0.1", "172.16.0.1",
		"192.168.1.1", "100.64.0.1", "169.254.169.254", "[fe80::1%25lo]", "[fd00::1]", "[64:ff9b::7f00:1]", "[::ffff:169.254.169.254]", "224.0.0.1",
	} {
		_, _, err := f.Torrent(t.Context(), "http://"+host+port+"/x", "")
		var forbidden *fetch.AddressError
		var fault *node.Fault
		if !errors.As(err, &fault) || !errors.As(err, &forbidden) && !strings.Contains(err.Error(), "no such host") && !strings.Contains(err.Error(), "lookup") {
			t.Errorf("%s: %v", host, err)
		}
	}
	if asked {
		t.Error("the server was asked")
	}
}

// A public server must not lead to a private one.
func TestRedirectsAreCheckedToo(t *testing.T) {
	inner := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the private server was asked") })
	outer := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, inner, http.StatusFound) })
	first := netip.MustParseAddrPort(strings.TrimPrefix(outer, "http://"))
	calls := 0
	f := fetch.New(fetch.Config{Private: true, Allowed: func(ip netip.Addr) bool { // the first dial stands for a public address
		calls++
		return calls == 1 && ip == first.Addr()
	}})
	defer f.Close()
	_, _, err := f.Torrent(t.Context(), outer, "")
	var forbidden *fetch.AddressError
	if !errors.As(err, &forbidden) || calls != 2 {
		t.Errorf("%v after %d dials", err, calls)
	}
}

func TestTorrents(t *testing.T) {
	var at string
	at = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			w.Write([]byte("d4:infodee" + r.Header.Get("Cookie")))
		case "/magnet":
			w.Header().Set("Location", "magnet:?xt=urn:btih:"+strings.Repeat("ab", 20))
			w.WriteHeader(http.StatusMovedPermanently)
		case "/ftp":
			http.Redirect(w, r, "ftp://example.org/x", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/page":
			w.Write([]byte("<html>log in</html>"))
		case "/elsewhere":
			http.Redirect(w, r, strings.Replace(at, "127.0.0.1", "localhost", 1)+"/file", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	})
	f := fetch.New(fetch.Config{Private: true})
	defer f.Close()
	for path, want := range map[string]struct{ body, link, err string }{
		"/file":            {body: "d4:infodeeuid=7"},
		"/elsewhere":       {body: "d4:infodee"}, // the cookie is for the first host
		"/magnet":          {link: "magnet:?xt=urn:btih:" + strings.Repeat("ab", 20)},
		"/ftp":             {err: `scheme "ftp"`},
		"/loop?passkey=se": {err: "more than 10 times"},
		"/page":            {err: "web page"},
		"/none":            {err: "404 Not Found"},
		"/none?passkey=se": {err: "/none was answered"},
	} {
		body, link, err := f.Torrent(t.Context(), at+path, "uid=7")
		if want.err != "" {
			if err == nil || !strings.Contains(err.Error(), want.err) || strings.Contains(err.Error(), "passkey") {
				t.Errorf("%s: %v", path, err)
			}
			continue
		}
		if err != nil || string(body) != want.body || link != want.link {
			t.Errorf("%s: %q %q %v", path, body, link, err)
		}
	}
	for _, bad := range []string{"", "file:///etc/passwd", "ftp://example.org/", "http://", "http:///x", "gopher://x", "http://a b/", "http://127.0.0.1/" + strings.Repeat("x", fetch.MaxURL)} {
		var fault *node.Fault
		if _, _, err := f.Torrent(t.Context(), bad, ""); !errors.As(err, &fault) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

// A server that sends without end costs no more than the limit.
func TestDownloadsAreLimited(t *testing.T) {
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	f := fetch.New(fetch.Config{Private: true})
	defer f.Close()
	if _, err := f.Get(t.Context(), at, 1<<20); err == nil || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
		t.Error(err)
	}
}

// A client may name a thousand URLs of large files, and each is held in memory.
func TestFewDownloadsRunAtATime(t *testing.T) {
	var running, most atomic.Int32
	arrived, open := make(chan struct{}, 100), make(chan struct{})
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		now := running.Add(1)
		defer running.Add(-1)
		for was := most.Load(); now > was && !most.CompareAndSwap(was, now); was = most.Load() {
		}
		arrived <- struct{}{}
		<-open
	})
	f := fetch.New(fetch.Config{Private: true})
	defer f.Close()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if _, err := f.Get(t.Context(), at, 10); err != nil {
				t.Error(err)
			}
		})
	}
	for range 16 {
		<-arrived
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Get(ended, at, 10); err == nil {
		t.Error("a download without its context")
	}
	close(open)
	all.Wait()
	if n := most.Load(); n != 16 {
		t.Errorf("%d at a time", n)
	}
}
