package stream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a server for the torrent of a folder. The torrent is complete, or nothing of it
// is known.
type site struct {
	*Server
	t    *testing.T
	addr string
	http.Client
}

func newSite(t *testing.T, files map[string]string) *site {
	n, err := node.Open(node.Config{State: t.TempDir(), Listen: "127.0.0.1:0", NoDHT: true, Bootstrap: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	spec := node.Spec{Link: &magnet.Link{InfoHash: id.ID{1}, HasInfoHash: true}, Dir: t.TempDir()}
	if files != nil {
		dir := filepath.Join(t.TempDir(), "things")
		for name, data := range files {
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if spec, err = node.Share(t.Context(), dir, node.ShareOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	spec.ReadAhead = 1 << 20
	x, err := n.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	if files != nil {
		<-x.Named()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Server: New(OfTorrent(x), "films.example"), t: t, addr: l.Addr().String()}
	h := &http.Server{Handler: s.Server}
	go h.Serve(l)
	t.Cleanup(func() {
		s.CloseIdleConnections()
		h.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// do requests path with headers given as pairs.
func (s *site) do(method, path string, headers ...string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, "http://"+s.addr+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(b)
}

var things = map[string]string{
	"a film.MKV":      strings.Repeat("0123456789", 100_000),
	"sub/ü & <b>.mp3": "sound",
	"page.html":       "<script>alert(1)</script>",
	"empty":           "",
	"data.xyz":        "?",
}

// Files are served with their types and sizes, whole or in part, and HEAD works
// (RFC 9110).
func TestFiles(t *testing.T) {
	s := newSite(t, things)
	number := map[string]string{}
	info := s.torrent().Info()
	for i, f := range info.Files {
		number[strings.Join(f.Path, "/")] = Path(info.FileNumber(i), strings.Join(f.Path, "/"))
	}
	film := things["a film.MKV"]
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
		want         map[string]string
		body         string
	}{
		{"GET", "a film.MKV", nil, 200, map[string]string{"Content-Type": "video/x-matroska", "Content-Length": "1000000", "Accept-Ranges": "bytes"}, film},
		{"HEAD", "a film.MKV", nil, 200, map[string]string{"Content-Type": "video/x-matroska", "Content-Length": "1000000"}, ""},
		{"GET", "a film.MKV", []string{"Range", "bytes=15-24"}, 206, map[string]string{"Content-Range": "bytes 15-24/1000000"}, film[15:25]},
		{"GET", "a film.MKV", []string{"Range", "bytes=-3"}, 206, map[string]string{"Content-Range": "bytes 999997-999999/1000000"}, "789"},
		{"GET", "a film.MKV", []string{"Range", "bytes=999990-"}, 206, nil, "0123456789"},
		{"HEAD", "a film.MKV", []string{"Range", "bytes=0-0"}, 206, map[string]string{"Content-Length": "1"}, ""},
		{"GET", "a film.MKV", []string{"Range", "bytes=1000000-"}, 416, map[string]string{"Content-Range": "bytes */1000000"}, "invalid range: failed to overlap\n"},
		{"GET", "a film.MKV", []string{"Range", "bytes=5-6", "If-Range", `"another"`}, 200, nil, film},
		{"POST", "a film.MKV", nil, 405, nil, "Method Not Allowed\n"},
		{"GET", "sub/ü & <b>.mp3", nil, 200, map[string]string{"Content-Type": "audio/mpeg"}, "sound"},
		{"GET", "empty", nil, 200, map[string]string{"Content-Type": "application/octet-stream", "Content-Length": "0"}, ""},
		{"GET", "data.xyz", nil, 200, map[string]string{"Content-Type": "application/octet-stream"}, "?"},
		// An HTML file of a torrent is not served as HTML.
		{"GET", "page.html", nil, 200, map[string]string{"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}, things["page.html"]},
	} {
		resp, body := s.do(c.method, number[c.path], c.header...)
		if resp.StatusCode != c.status || body != c.body {
			t.Errorf("%s %s %v: %s, %d bytes", c.method, c.path, c.header, resp.Status, len(body))
		}
		for k, v := range c.want {
			if got := resp.Header.Get(k); got != v {
				t.Errorf("%s %s %v: %s is %q, want %q", c.method, c.path, c.header, k, got, v)
			}
		}
		if !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s %s may run scripts", c.method, c.path)
		}
	}
	etag := func() string { r, _ := s.do("HEAD", number["empty"]); return r.Header.Get("ETag") }()
	if resp, _ := s.do("GET", number["empty"], "If-None-Match", etag); resp.StatusCode != http.StatusNotModified {
		t.Errorf("with its own ETag: %s", resp.Status)
	}
	for _, path := range []string{"/0", "/6/x", "/99999999999999999999", "/-1", "/x", "/1x"} {
		if resp, _ := s.do("GET", path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

func (s *site) torrent() *node.Torrent { return s.source.(torrentSource).Torrent }

// The listings name every file, and the playlist names the playable ones in a form
// that players understand.
func TestLists(t *testing.T) {
	s := newSite(t, things)
	resp, body := s.do("GET", "/")
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || strings.Contains(body, "<b>") || strings.Count(body, "<tr>") != len(things) {
		t.Errorf("the index is\n%s", body)
	}
	_, list := s.do("GET", "/playlist.m3u")
	var urls []string
	for line := range strings.Lines(list) {
		if strings.HasPrefix(line, "http://") {
			urls = append(urls, strings.TrimSpace(line))
		}
	}
	if len(urls) != 2 {
		t.Fatalf("the playlist is\n%s", list)
	}
	for i, want := range []string{things["a film.MKV"], "sound"} {
		resp, err := s.Get(urls[i])
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !bytes.Equal(got, []byte(want)) {
			t.Errorf("%s has %d bytes", urls[i], len(got))
		}
	}
}

// Only requests with one of our host names are answered: a foreign page whose name
// resolves to our address sends its own name.
func TestHostHeader(t *testing.T) {
	s := newSite(t, things)
	_, port, _ := net.SplitHostPort(s.addr)
	for host, ours := range map[string]bool{
		s.addr: true, "localhost:" + port: true, "LOCALHOST.:" + port: true, "films.example:" + port: true,
		"rebound.example:" + port: false, "127.0.0.2:" + port: false, "[::1]:" + port: false, "127.0.0.1": false,
		"127.0.0.1:1": false, "localhost": false, "films.example.evil:" + port: false, "0x7f.1:" + port: false, "2130706433:" + port: false,
	} {
		for _, path := range []string{"/", "/1", "/playlist.m3u"} {
			resp, _ := s.do("GET", path, "Host", host)
			if got := resp.StatusCode == http.StatusOK; got != ours || (!ours && resp.StatusCode != http.StatusMisdirectedRequest) {
				t.Errorf("%s of %s: %s", path, host, resp.Status)
			}
		}
	}
}

// Before the metadata is known, the response asks the player to retry later.
func TestBeforeTheMetadata(t *testing.T) {
	s := newSite(t, nil)
	for _, path := range []string{"/", "/1", "/playlist.m3u"} {
		if resp, _ := s.do("GET", path); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

// The response to a request beyond the limit of its client asks to retry later. Open requests and
// other clients are not affected.
func TestTooManyRequests(t *testing.T) {
	s := newSite(t, map[string]string{"big.mkv": strings.Repeat("x", 32<<20)})
	var open []net.Conn
	for range maxRequests / 2 {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.(*net.TCPConn).SetReadBuffer(4096)
		fmt.Fprintf(c, "GET /1 HTTP/1.1\r\nHost: %s\r\n\r\n", s.addr)
		open = append(open, c)
	}
	for _, c := range open { // each has started
		if _, err := io.ReadFull(c, make([]byte, 12)); err != nil {
			t.Fatal(err)
		}
	}
	if resp, _ := s.do("GET", "/1"); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("one more gets %s", resp.Status)
	}
	other := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s.addr)))), "GET", "http://"+s.addr+"/1", nil)
	other.Header.Set("Range", "bytes=0-0")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, other); w.Code != http.StatusPartialContent {
		t.Errorf("another client gets %d", w.Code)
	}
	for _, c := range open {
		c.Close()
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, n := s.Requests(); n == 0 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%d requests are still open after the clients disconnected", n)
		}
	}
	if resp, _ := s.do("GET", "/1", "Range", "bytes=0-0"); resp.StatusCode != http.StatusPartialContent {
		t.Errorf("after the clients disconnected: %s", resp.Status)
	}
}
