package gateway

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/magnet/mutable"
	"seedbed/node/tree"
)

// zeros is a file of zeros, as large as it says.
type zeros struct {
	*io.SectionReader
	read *int64
}

func (z zeros) Read(b []byte) (int, error) {
	n, err := z.SectionReader.Read(b)
	*z.read += int64(n)
	return n, err
}
func (z zeros) Close() error { return nil }

type endless struct{}

func (endless) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	return len(b), nil
}

// stopped is a client that disconnects after some bytes.
type stopped struct {
	*httptest.ResponseRecorder
	left int
}

func (s *stopped) Write(b []byte) (int, error) {
	if s.left -= len(b); s.left < 0 {
		return 0, errors.New("the client has disconnected")
	}
	return len(b), nil
}

// An index.html of 10 GiB costs what the client takes of it, and is not compressed.
func TestHugePages(t *testing.T) {
	const size = 10 << 30
	var read int64
	files, err := tree.New("huge", []tree.File{{Path: "index.html", Size: size, Identity: "a"}, {Path: "404.html", Size: size, Identity: "b"}},
		func(context.Context, int) (tree.Reader, error) {
			return zeros{io.NewSectionReader(endless{}, 0, size), &read}, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	s := &fakeSource{version: &Version{Seq: 1, Tree: files, Alone: testAddress}}
	if w := ask(t, s, "HEAD", "/", "Accept-Encoding", "gzip"); w.Code != 200 || w.Header().Get("Content-Length") != "10737418240" || w.Header().Get("Content-Encoding") != "" || read != 0 {
		t.Errorf("HEAD: %d, %v, %d bytes were read", w.Code, w.Header(), read)
	}
	if w := ask(t, s, "GET", "/", "Range", "bytes=-3"); w.Code != 206 || w.Body.Len() != 3 || read > 1<<20 {
		t.Errorf("the end: %d, %d bytes; %d were read", w.Code, w.Body.Len(), read)
	}
	for _, target := range []string{"/", "/nothing"} {
		read = 0
		w := &stopped{httptest.NewRecorder(), 1 << 20}
		r := httptest.NewRequest("GET", "http://"+testAddress.Host(LocalDomain)+target, nil)
		r.Header.Set("Accept-Encoding", "gzip")
		NewHandler(HandlerConfig{Source: s, Domain: LocalDomain}).ServeHTTP(w, r)
		if read > 2<<20 {
			t.Errorf("%s: %d bytes were read for a client that has taken 1 MiB", target, read)
		}
	}
}

// A file of nothing is a file. Files that run scripts are kept to their own origin by the policy, whichever
// part of them is asked for, and no name makes a file another type than its own.
func TestFilesThatRun(t *testing.T) {
	s := publication(t, map[string]string{"empty.html": "", "a.svg": "<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "b.html": "<script>1</script>",
		"c.js": "1", "d.html.txt": "<script>1</script>", "e.png": "<!doctype html><script>1</script>", "f.xml": "<x/>", "g.HTML": "<b>", "h.pdf": "%PDF"})
	for target, kind := range map[string]string{"/empty.html": "text/html", "/a.svg": "image/svg+xml", "/b.html": "text/html", "/c.js": "text/javascript", "/d.html.txt": "text/plain",
		"/e.png": "image/png", "/f.xml": "text/xml", "/g.HTML": "text/html", "/h.pdf": "application/pdf"} {
		for _, headers := range [][]string{nil, {"Range", "bytes=0-0"}, {"Range", "bytes=0-0,1-1"}, {"Range", "bytes=99-"}, {"If-None-Match", "*"}} {
			w := ask(t, s, "GET", target, headers...)
			h := w.Header()
			if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" {
				t.Errorf("%s, %v: %d, %v", target, headers, w.Code, h)
			}
			if got, _, _ := strings.Cut(h.Get("Content-Type"), ";"); w.Code == 200 && got != kind {
				t.Errorf("%s: %s, want %s", target, got, kind)
			}
		}
	}
}

// A version that no peer has is a failure that says so, and leaves nothing behind in the node.
func TestPublicationsWithoutPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(91, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		putter := nodetest.Start(t, n, 1, nodetest.Boot(100))
		reader := nodetest.Start(t, n, 2, nodetest.Boot(100))
		time.Sleep(10 * time.Second)
		items, err := putter.Items()
		if err != nil {
			t.Fatal(err)
		}
		key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
		v := mutable.Version{Seq: 1, InfoHash: id.ID{1, 2, 3}}
		item, err := dht.SignItem(key, nil, 1, v.Value())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := items.Put(t.Context(), item, nil); err != nil {
			t.Fatal(err)
		}
		l := openLibrary(t, Config{Node: reader.Node, Dir: t.TempDir()})
		began := time.Now()
		_, _, err = l.Newest(t.Context(), Address{Key: item.Key}, client)
		var f *Failure
		if !errors.As(err, &f) || f.Code != http.StatusGatewayTimeout || f.Retry == 0 || time.Since(began) > waitFor {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if reader.Torrent(v.InfoHash) == nil {
			t.Error("the search has not gone on")
		}
		time.Sleep(lookFor + searchFor + 3*sweepEvery)
		if reader.Torrent(v.InfoHash) != nil {
			t.Error("the torrent of a version that was never found is still there")
		}
	})
}

// A copy that is being read is not deleted, however large the others are; afterwards it is.
func TestCopiesThatAreReadStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(92, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		_, a, _ := newPublisher(t, n, 1).publish(1, map[string]int{"file": 300_000})
		reader := nodetest.Start(t, n, 2, nodetest.Boot(100))
		time.Sleep(10 * time.Second)
		l := openLibrary(t, Config{Node: reader.Node, Dir: t.TempDir(), CacheSize: 100_000})
		v, done, err := l.Newest(t.Context(), a, client)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(t, l, a, "file"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * sweepEvery)
		if reader.Torrent(v.InfoHash) == nil {
			t.Error("a copy was deleted while it was read")
		}
		done()
		time.Sleep(3 * sweepEvery)
		if reader.Torrent(v.InfoHash) != nil {
			t.Error("a copy stays that is larger than all may be")
		}
	})
}
