package webseed

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"seedbed/internal/addrs"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mirror is a torrent whose files lie in a folder, and its bytes end to end.
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

var odd = map[string]int{"a.bin": 100_001, "empty": 0, "sub dir/ü #1?.bin": 300_000, "z": 7}
var oddOrder = []string{"a.bin", "empty", "sub dir/ü #1?.bin", "z"}

// session is what an engine is to Serve.
type session struct {
	t   testing.TB
	nc  net.Conn
	end chan error
}

func serve(t testing.TB, url string, info *metainfo.Info, client *http.Client) *session {
	ours, theirs := net.Pipe()
	s := &session{t: t, nc: ours, end: make(chan error, 1)}
	go func() { s.end <- Serve(t.Context(), theirs, Config{URL: url, Info: info, Client: client}) }()
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

// fetch asks for whole pieces, all at once, and checks what comes.
func (s *session) fetch(info *metainfo.Info, all []byte, pieces ...int) error {
	for _, want := range []wire.Type{wire.HaveAll, wire.Unchoke} {
		if m, err := s.message(); err != nil || m.Type != want {
			return fmt.Errorf("%v instead of %v: %w", m.Type, want, err)
		}
	}
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
	for range want {
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

// BEP 19: ranges over several files, with names that have to be escaped; what is
// asked for in a row takes one request.
func TestBEP19RangesOverSeveralFiles(t *testing.T) {
	dir, info, all := mirror(t, odd, oddOrder...)
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
	s := serve(t, srv.URL+"/", info, NewClient(true, nil))
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
	// Out of order, and without the slash that a folder has.
	if err := serve(t, srv.URL, info, NewClient(true, nil)).fetch(info, all, 5, 2, 0, 5); err != nil {
		t.Error(err)
	}
}

// BEP 19: a single file is at the URL itself, or below a folder.
func TestBEP19URLs(t *testing.T) {
	_, multi, _ := mirror(t, odd, oddOrder...)
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
	} {
		if got := FileURL(c.base, c.info, c.file); got != c.want {
			t.Errorf("%s, not %s", got, c.want)
		}
	}
}

// What a server gets wrong ends it, and says for how long.
func TestMirrorsThatDoNotServe(t *testing.T) {
	dir, info, all := mirror(t, map[string]int{"a": 200_000}, "a")
	file := all
	_ = dir
	for _, c := range []struct {
		name  string
		serve http.HandlerFunc
		want  string
		final bool
		wait  time.Duration
	}{
		{"no ranges", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "200000")
			_, _ = w.Write(file)
		}, "does not give parts", true, 0},
		{"another size", func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "a", time.Time{}, bytes.NewReader(append(file, 0)))
		}, "has a file of another size", true, 0},
		{"another range", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-9/200000")
			w.WriteHeader(http.StatusPartialContent)
		}, "another size", true, 0},
		{"not there", http.NotFound, "answers 404", true, 0},
		{"busy", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "17")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, "is busy", false, 17 * time.Second},
		{"broken", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "answers 502", false, 0},
		{"encoded", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			http.ServeContent(w, r, "a", time.Time{}, bytes.NewReader(file))
		}, "encoded", true, 0},
		{"breaks off", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", r.Header.Get("Range")[6:])
			w.Header().Set("Content-Range", "bytes "+strings.TrimPrefix(r.Header.Get("Range"), "bytes=")+"/200000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(file[:100])
		}, "broke off", false, 0},
		{"for ever elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) }, "on and on", false, 0},
		{"to another scheme", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, "begins with \"file\"", false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(c.serve)
			defer srv.Close()
			client := NewClient(true, nil)
			defer client.CloseIdleConnections()
			s := serve(t, srv.URL+"/", info, client)
			_ = s.fetch(info, all, 1)
			err := <-s.end
			var bad *Error
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.want) || bad.Final != c.final || bad.Wait != c.wait {
				t.Errorf("%v %+v", err, bad)
			}
		})
	}
}

// A link does not make us ask in the local network: not by an address, not by a
// name, not by a redirect.
func TestLocalAddressesAreNotAsked(t *testing.T) {
	_, info, all := mirror(t, map[string]int{"a": 20_000}, "a")
	asked := false
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked = true }))
	defer inner.Close()
	for _, url := range []string{inner.URL, strings.Replace(inner.URL, "127.0.0.1", "localhost", 1)} {
		s := serve(t, url+"/", info, NewClient(false, nil))
		_ = s.fetch(info, all, 0)
		var bad *Error
		if err := <-s.end; !errors.As(err, &bad) || !bad.Final || !strings.Contains(err.Error(), "no public address") {
			t.Error(err)
		}
	}
	// One that may be asked sends on to one that may not.
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("no other loopback address: ", err)
	}
	outer := httptest.NewUnstartedServer(http.RedirectHandler(inner.URL, http.StatusFound))
	outer.Listener.Close()
	outer.Listener = l
	outer.Start()
	defer outer.Close()
	s := serve(t, outer.URL+"/", info, NewClient(true, func(ip netip.Addr) bool { return ip == netip.MustParseAddr("127.0.0.2") }))
	_ = s.fetch(info, all, 0)
	if err := <-s.end; err == nil || !strings.Contains(err.Error(), "no public address") {
		t.Error(err)
	}
	if asked {
		t.Error("it was asked")
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	_, info, all := mirror(t, map[string]int{"a": 20_000}, "a")
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	defer srv.Close()
	s := serve(t, srv.URL+"/", info, NewClient(true, nil))
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
