package webseed

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"seedbed/internal/addrs"
	"seedbed/internal/netx"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var direct = netx.Outbound{}.DialHost

// mirror returns a torrent whose files are in a folder, and its concatenated bytes.
func mirror(t testing.TB, files map[string]int, order ...string) (dir string, info *metainfo.Info, all []byte) {
	dir = t.TempDir()
	plan := metainfo.Plan{Name: "a thing", PieceLength: 64 << 10}
	for _, name := range order {
		b := make([]byte, files[name])
		rand.NewChaCha8([32]byte{byte(len(all))}).Read(b)
		path := filepath.Join(dir, plan.Name, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
		plan.Files = append(plan.Files, metainfo.PlanFile{Path: strings.Split(name, "/"), Length: int64(len(b))})
	}
	var sums []byte
	for k := 0; k < len(all); k += 64 << 10 {
		sum := sha1.Sum(all[k:min(k+64<<10, len(all))])
		sums = append(sums, sum[:]...)
	}
	info, err := metainfo.Build(plan, sums)
	if err != nil {
		t.Fatal(err)
	}
	return dir, info, all
}

var specialNames = map[string]int{"a.bin": 100_001, "empty": 0, "sub dir/ü #1?.bin": 300_000, "z": 7}
var specialOrder = []string{"a.bin", "empty", "sub dir/ü #1?.bin", "z"}

// session plays the engine for Serve.
type session struct {
	t   testing.TB
	nc  net.Conn
	end chan error
}

func serve(t testing.TB, url string, info *metainfo.Info, client *http.Client) *session {
	return join(t, New(Config{URL: url, Info: info, Client: client}), client)
}

func join(t testing.TB, m *Mirror, client *http.Client) *session {
	ours, theirs := net.Pipe()
	s := &session{t: t, nc: ours, end: make(chan error, 1)}
	go func() { s.end <- m.Serve(t.Context(), theirs) }()
	t.Cleanup(func() { ours.Close(); client.CloseIdleConnections() })
	return s
}

func (s *session) message() (wire.Msg, error) {
	var prefix [4]byte
	if _, err := io.ReadFull(s.nc, prefix[:]); err != nil {
		return wire.Msg{}, err
	}
	n, err := wire.Length(prefix[:])
	if err != nil {
		return wire.Msg{}, err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(s.nc, b); err != nil {
		return wire.Msg{}, err
	}
	return wire.Parse(b)
}

// fetch joins, requests complete pieces all at once, and checks the data.
func (s *session) fetch(info *metainfo.Info, all []byte, pieces ...int) error {
	for _, want := range []wire.Type{wire.HaveAll, wire.Unchoke} {
		if m, err := s.message(); err != nil || m.Type != want {
			return fmt.Errorf("%v instead of %v: %w", m.Type, want, err)
		}
	}
	return s.take(info, all, pieces...)
}

// take requests complete pieces all at once, and checks the data.
func (s *session) take(info *metainfo.Info, all []byte, pieces ...int) error {
	for range s.ask(info, pieces...) {
		m, err := s.message()
		if err != nil {
			return err
		}
		off := int(m.Index)*int(info.PieceLength) + int(m.Begin)
		if m.Type != wire.Piece || !bytes.Equal(m.Payload, all[off:off+len(m.Payload)]) {
			return fmt.Errorf("piece %d at %d is wrong", m.Index, m.Begin)
		}
	}
	return nil
}

// ask requests complete pieces all at once, and returns the number of blocks.
func (s *session) ask(info *metainfo.Info, pieces ...int) int {
	want := 0
	var asks []byte
	for _, p := range pieces {
		for b := range info.NumBlocks(p) {
			begin := b * metainfo.BlockSize
			asks = wire.Append(asks, wire.Msg{Type: wire.Request, Index: uint32(p), Begin: uint32(begin), Length: uint32(min(metainfo.BlockSize, int(info.DataSize(p))-begin))})
			want++
		}
	}
	go s.nc.Write(asks)
	return want
}

// BEP 19: ranges over several files, with names that must be escaped. Consecutive
// requests use one HTTP request.
func TestBEP19RangesOverSeveralFiles(t *testing.T) {
	dir, info, all := mirror(t, specialNames, specialOrder...)
	var gets atomic.Int64
	files := http.FileServer(http.Dir(dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gets.Add(1)
		files.ServeHTTP(w, r)
	}))
	defer srv.Close()
	var pieces []int
	for p := range info.NumPieces() {
		pieces = append(pieces, p)
	}
	s := serve(t, srv.URL+"/", info, NewClient(direct, true, nil))
	if err := s.fetch(info, all, pieces...); err != nil {
		t.Fatal(err)
	}
	if n := gets.Load(); n > 6 {
		t.Errorf("%d requests for %d pieces in a row over 3 files", n, len(pieces))
	}
	s.nc.Close()
	if err := <-s.end; err != nil {
		t.Error(err)
	}
	// Out of order, and without the slash of a folder.
	if err := serve(t, srv.URL, info, NewClient(direct, true, nil)).fetch(info, all, 5, 2, 0, 5); err != nil {
		t.Error(err)
	}
}

// BEP 19: a single file is at the URL itself or below a folder.
func TestBEP19URLs(t *testing.T) {
	names := maps.Clone(specialNames)
	names["x&y=+%"] = 1
	_, multi, _ := mirror(t, names, append(slices.Clone(specialOrder), "x&y=+%")...)
	single, err := metainfo.Build(metainfo.Plan{Name: "x y", PieceLength: 16 << 10, Files: []metainfo.PlanFile{{Length: 1}}}, make([]byte, 20))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		base string
		info *metainfo.Info
		file int
		want string
	}{
		{"http://h/f.iso", single, 0, "http://h/f.iso"},
		{"http://h/d/", single, 0, "http://h/d/x%20y"},
		{"http://h/d/", multi, 2, "http://h/d/a%20thing/sub%20dir/%C3%BC%20%231%3F.bin"},
		{"http://h/d", multi, 0, "http://h/d/a%20thing/a.bin"},
		// Unencoded parts of the given URL are encoded too, in the query as in the path.
		{"http://h/dl.php?id=5&n=a b", single, 0, "http://h/dl.php?id=5&n=a%20b"},
		{"HTTP://h/ü #1 100%.iso", single, 0, "http://h/%C3%BC%20%231%20100%25.iso"},
		{" http://h/a%20b%zz[x]|\"<>\n\x80 ", single, 0, "http://h/a%20b%25zz%5Bx%5D%7C%22%3C%3E%0A%80"},
		{"http://u:p@[::1]:80/a b", single, 0, "http://u:p@[::1]:80/a%20b"},
		{"http://h?f=/", multi, 2, "http://h?f=/a%20thing/sub%20dir/%C3%BC%20%231%3F.bin"},
		{"http://h/get?f=", multi, 4, "http://h/get?f=/a%20thing/x%26y%3D%2B%25"},
		{"http://h/d/", multi, 4, "http://h/d/a%20thing/x&y=+%25"},
	} {
		got := FileURL(c.base, c.info, c.file)
		if got != c.want {
			t.Errorf("%s, not %s", got, c.want)
		}
		req, err := http.NewRequest(http.MethodGet, got, nil)
		if err != nil || strings.ContainsAny(req.URL.RequestURI(), " \n#") {
			t.Errorf("%s: %v", got, err)
		}
		if err := CheckURL(c.base); err != nil {
			t.Error(err)
		}
	}
}

// A server error ends Serve, and determines for how long.
func TestFailingMirrors(t *testing.T) {
	dir, info, all := mirror(t, map[string]int{"a": 200_000}, "a")
	file := all
	_ = dir
	for _, c := range []struct {
		name  string
		serve http.HandlerFunc
		want  string
		file  int           // file that is paused; -1 means none
		rest  time.Duration // duration of the pause
		wait  time.Duration // what the mirror asks for
	}{
		{"no ranges", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "200000")
			_, _ = w.Write(file)
		}, "does not support ranges", 0, time.Hour, 0},
		{"another size", func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "a", time.Time{}, bytes.NewReader(append(file, 0)))
		}, `has "a" with another size`, 0, time.Hour, 0},
		{"another range", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-9/200000")
			w.WriteHeader(http.StatusPartialContent)
		}, "another size", 0, time.Hour, 0},
		{"not there", http.NotFound, "answered 404", 0, time.Hour, 0},
		{"busy", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "17")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, "is busy", -1, 0, 17 * time.Second},
		{"broken", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "answered 502", 0, time.Minute, 0},
		{"encoded", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(file[:1000])
		}, "another size", 0, time.Hour, 0},
		{"wrong data", func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "a", time.Time{}, bytes.NewReader(make([]byte, len(file))))
		}, `sent wrong data in "a"`, 0, time.Hour, 0},
		{"breaks off before any data", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes "+strings.TrimPrefix(r.Header.Get("Range"), "bytes=")+"/200000")
			w.Header().Set("Content-Length", "65536")
			w.WriteHeader(http.StatusPartialContent)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "broke off", 0, time.Minute, 0},
		{"redirects forever", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) }, "too many redirects", -1, 0, 0},
		{"to another scheme", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, `scheme "file"`, -1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(c.serve)
			defer srv.Close()
			client := NewClient(direct, true, nil)
			defer client.CloseIdleConnections()
			m := New(Config{URL: srv.URL + "/", Info: info, Client: client})
			s := join(t, m, client)
			_ = s.fetch(info, all, 1)
			go io.Copy(io.Discard, s.nc)
			err := <-s.end
			var bad *Error
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || bad.File != c.file || bad.Wait != c.wait || bad.Final {
				t.Errorf("%v %+v", err, bad)
			}
			if rest := m.PausedFor(time.Now()); rest > c.rest || rest < c.rest-10*time.Second {
				t.Errorf("paused for %v", rest)
			}
		})
	}
}

// A link cannot cause requests in the local network: not by an address, a name or a
// redirect.
func TestLocalAddressesAreNotContacted(t *testing.T) {
	_, info, all := mirror(t, map[string]int{"a": 20_000}, "a")
	asked := false
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked = true }))
	defer inner.Close()
	for _, url := range []string{inner.URL, strings.Replace(inner.URL, "127.0.0.1", "localhost", 1)} {
		s := serve(t, url+"/", info, NewClient(direct, false, nil))
		_ = s.fetch(info, all, 0)
		var bad *Error
		if err := <-s.end; !errors.As(err, &bad) || !bad.Final || !strings.Contains(err.Error(), "not a public address") {
			t.Error(err)
		}
	}
	// A permitted address redirects to a forbidden one.
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("no second loopback address: ", err)
	}
	outer := httptest.NewUnstartedServer(http.RedirectHandler(inner.URL, http.StatusFound))
	outer.Listener.Close()
	outer.Listener = l
	outer.Start()
	defer outer.Close()
	s := serve(t, outer.URL+"/", info, NewClient(direct, true, func(ip netip.Addr) bool { return ip == netip.MustParseAddr("127.0.0.2") }))
	_ = s.fetch(info, all, 0)
	if err := <-s.end; err == nil || !strings.Contains(err.Error(), "127.0.0.1 is blocked") {
		t.Error(err)
	}
	if asked {
		t.Error("it was contacted")
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	_, info, all := mirror(t, map[string]int{"a": 20_000}, "a")
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	defer srv.Close()
	s := serve(t, srv.URL+"/", info, NewClient(direct, true, nil))
	_ = s.fetch(info, all, 0)
	if err := <-s.end; err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
}

func TestPublic(t *testing.T) {
	for _, s := range []string{"8.8.8.8", "2606:4700::1111"} {
		if !addrs.IsPublic(netip.MustParseAddr(s)) {
			t.Error(s)
		}
	}
	for _, s := range []string{"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "255.255.255.255",
		"224.0.0.1", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "100::1", "64:ff9b::7f00:1", "2002:7f00:1::"} {
		if addrs.IsPublic(netip.MustParseAddr(s)) {
			t.Error(s)
		}
	}
}

// A file that is missing, or has another length or content, affects only its own pieces:
// the mirror continues with the others at once, and offers the file again after an hour.
func TestOneBadFileAffectsOnlyThatFile(t *testing.T) {
	files := map[string]int{"a.bin": 4 * 64 << 10, "meta.xml": 64 << 10, "z.bin": 4*64<<10 - 5}
	for name, change := range map[string]func(path string) error{
		"gone":    os.Remove,
		"shorter": func(path string) error { return os.Truncate(path, 100) },
		"changed": func(path string) error { return os.WriteFile(path, make([]byte, 64<<10), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, info, all := mirror(t, files, "a.bin", "meta.xml", "z.bin")
			if err := change(filepath.Join(dir, info.Name, "meta.xml")); err != nil {
				t.Fatal(err)
			}
			srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
			defer srv.Close()
			client := NewClient(direct, true, nil)
			m := New(Config{URL: srv.URL + "/", Info: info, Client: client})
			s := join(t, m, client)
			if err := s.fetch(info, all, 0, 1, 2, 3); err != nil {
				t.Fatal(err)
			}
			_ = s.take(info, all, 4)
			go io.Copy(io.Discard, s.nc)
			var bad *Error
			if err := <-s.end; !errors.As(err, &bad) || bad.File != 1 || !strings.Contains(err.Error(), "meta.xml") {
				t.Fatalf("%v", err)
			}
			if rest := m.PausedFor(time.Now()); rest != 0 {
				t.Errorf("the whole mirror is paused for %v", rest)
			}
			s = join(t, m, client)
			have, err := s.message()
			if err != nil || have.Type != wire.Bitfield || !bytes.Equal(have.Payload, []byte{0b11110111, 0b10000000}) {
				t.Fatalf("%v, %b, %v", have.Type, have.Payload, err)
			}
			if m, err := s.message(); err != nil || m.Type != wire.Unchoke {
				t.Fatalf("%v, %v", m.Type, err)
			}
			if err := s.take(info, all, 5, 6, 7, 8); err != nil {
				t.Error(err)
			}
			if set := m.offered(time.Now().Add(time.Hour)); !set.Full() {
				t.Error("the file is not offered again after an hour")
			}
		})
	}
}

// A bad piece that spans two files is not attributed to either.
func TestBadPieceOfSeveralFilesAffectsOnlyThatPiece(t *testing.T) {
	dir, info, _ := mirror(t, map[string]int{"a": 100_000, "b": 100_000}, "a", "b")
	if err := os.WriteFile(filepath.Join(dir, info.Name, "b"), make([]byte, 100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer srv.Close()
	client := NewClient(direct, true, nil)
	m := New(Config{URL: srv.URL + "/", Info: info, Client: client})
	for _, c := range []struct{ ask, left int }{{1, 3}, {2, 1}} { // piece 1 spans both files, piece 2 only b
		s := join(t, m, client)
		go io.Copy(io.Discard, s.nc)
		_ = s.ask(info, c.ask)
		if err := <-s.end; err == nil {
			t.Fatal("wrong data was not found")
		}
		if n := m.offered(time.Now()).Count(); n != c.left {
			t.Errorf("%d pieces are offered, not %d", n, c.left)
		}
	}
}

// A mirror without any usable file is paused completely before each of its files has been
// tried.
func TestMirrorWithoutAnyFileIsPaused(t *testing.T) {
	files := map[string]int{}
	var order []string
	for i := range 20 {
		name := fmt.Sprintf("%02d", i)
		files[name], order = 64<<10, append(order, name)
	}
	_, info, _ := mirror(t, files, order...)
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); http.NotFound(w, r) }))
	defer srv.Close()
	client := NewClient(direct, true, nil)
	m := New(Config{URL: srv.URL + "/", Info: info, Client: client})
	for p := 0; m.PausedFor(time.Now()) == 0; p++ {
		s := join(t, m, client)
		go io.Copy(io.Discard, s.nc)
		_ = s.ask(info, p)
		<-s.end
	}
	if n := asked.Load(); n != maxFailures {
		t.Errorf("%d requests", n)
	}
	if rest := m.PausedFor(time.Now()); rest < 59*time.Minute {
		t.Errorf("paused for %v", rest)
	}
}

// A response that breaks off after some data is resumed at once.
func TestInterruptedBodyIsResumed(t *testing.T) {
	dir, info, all := mirror(t, map[string]int{"a": 1_000_000}, "a")
	var gets atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gets.Add(1)
		http.ServeFile(&breaking{w, 100_000}, r, filepath.Join(dir, info.Name, "a"))
	}))
	defer srv.Close()
	var pieces []int
	for p := range info.NumPieces() {
		pieces = append(pieces, p)
	}
	if err := serve(t, srv.URL+"/", info, NewClient(direct, true, nil)).fetch(info, all, pieces...); err != nil {
		t.Error(err)
	}
	if n := gets.Load(); n < 10 || n > 20 {
		t.Errorf("%d requests", n)
	}
}

// breaking drops the connection after a number of bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) > b.left {
		_, _ = b.ResponseWriter.Write(p[:b.left])
		b.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

// A server that reports "x-gzip" for a .tgz sends the file unchanged: the hash decides.
func TestContentEncodingIsLeftToTheHash(t *testing.T) {
	dir, info, all := mirror(t, map[string]int{"a.tgz": 200_000}, "a.tgz")
	files := http.FileServer(http.Dir(dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "x-gzip")
		files.ServeHTTP(w, r)
	}))
	defer srv.Close()
	if err := serve(t, srv.URL+"/", info, NewClient(direct, true, nil)).fetch(info, all, 0, 1, 2, 3); err != nil {
		t.Error(err)
	}
}
