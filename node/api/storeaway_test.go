package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/api/guard"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/swarm/s3store"
)

// awayRig is a daemon in fake time that shares a film of an object store: 20 MiB in three blocks.
type awayRig struct {
	t      *testing.T
	d      *daemon.Daemon
	store  *s3test.Store
	film   []byte
	id     string
	token  string
	client http.Client
	before int // reads of the store until the torrent was added
}

// pipes is a listener of connections in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func newAwayRig(t *testing.T) *awayRig {
	r := &awayRig{t: t, store: s3test.New(t), film: filetest.RandomBytes("film", 20<<20)}
	r.store.Put("films/film.mkv", r.film)
	made, err := s3store.Make(t.Context(), r.store.Open("films/film.mkv"), s3store.MakeOptions{Format: metainfo.V1, PieceLength: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := node.Config{NoDHT: true, State: filepath.Join(dir, "state"), Objects: nodetest.Objects(t, r.store.Open("films"), t.TempDir())}
	if cfg.Network, err = simnet.New(1, simnet.Link{}).Host(nodetest.Addr(1)).Open(node.DefaultPort); err != nil {
		t.Fatal(err)
	}
	settings := daemon.DefaultSettings()
	settings.Dir = filepath.Join(dir, "data")
	if r.d, err = daemon.Open(t.Context(), daemon.Config{Node: cfg, Settings: settings}); err != nil {
		t.Fatal(err)
	}
	g := guard.New(guard.Config{Tokens: r.d.Tokens(), Open: api.IsOpen})
	conns := make(pipes)
	server := http.Server{Handler: g.Remote(api.New(api.Config{Daemon: r.d, Guard: g, Version: "1", Hint: func(error) string { return "do this" }}))}
	go server.Serve(conns)
	transport := &http.Transport{DisableCompression: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		conns <- theirs
		return ours, nil
	}}
	r.client.Transport = transport
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		close(conns)
		server.Close()
		r.d.Close(context.Background())
	})
	if r.token, _, err = r.d.Tokens().New("", token.Admin); err != nil {
		t.Fatal(err)
	}
	r.id = made.Info.Hash.String()
	torrent := &metainfo.Torrent{Info: made.Info}
	body, err := json.Marshal(api.AddBody{Torrent: torrent.Append(nil), Store: true})
	if err != nil {
		t.Fatal(err)
	}
	if resp := r.do(t.Context(), http.MethodPost, "", bytes.NewReader(body)); resp.StatusCode/100 != 2 {
		t.Fatal(resp.Status)
	}
	time.Sleep(time.Second) // it is seeding
	r.before = r.reads()
	return r
}

// do sends a request about torrents, with headers given as pairs.
func (r *awayRig) do(ctx context.Context, method, path string, body io.Reader, headers ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost/v1/torrents"+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// get reads the film, and returns the answer and its whole body.
func (r *awayRig) get(headers ...string) (*http.Response, []byte) {
	r.t.Helper()
	resp := r.do(r.t.Context(), http.MethodGet, "/"+r.id+"/files/1/content", nil, headers...)
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, b
}

// open begins to read the film, and returns the answer after the first MiB.
func (r *awayRig) open() *http.Response {
	r.t.Helper()
	resp := r.do(r.t.Context(), http.MethodGet, "/"+r.id+"/files/1/content", nil)
	b := make([]byte, 1<<20)
	if _, err := io.ReadFull(resp.Body, b); err != nil || !bytes.Equal(b, r.film[:1<<20]) {
		r.t.Fatalf("%s, %v", resp.Status, err)
	}
	return resp
}

// checkCut reads the rest of what open has returned. It must be cut, before the end and without a wrong byte.
func (r *awayRig) checkCut(resp *http.Response) {
	r.t.Helper()
	b, err := io.ReadAll(resp.Body)
	rest := r.film[1<<20:]
	if err == nil || len(b) >= len(rest) || !bytes.Equal(b, rest[:len(b)]) {
		r.t.Errorf("%d bytes of %d, right %v, then %v", len(b), len(rest), bytes.Equal(b, rest[:min(len(b), len(rest))]), err)
	}
}

// checkAway reads the film while the store does not answer.
func (r *awayRig) checkAway() {
	r.t.Helper()
	resp, b := r.get()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !bytes.Contains(b, []byte("s3://bucket/films does not answer")) || !bytes.Contains(b, []byte(`"kind":"network"`)) {
		r.t.Errorf("%s %v %s", resp.Status, resp.Header, b)
	}
}

// reads returns how many requests have read a part of an object since the torrent was added.
func (r *awayRig) reads() (n int) {
	for _, q := range r.store.Requests() {
		if strings.Contains(q, "bytes=") {
			n++
		}
	}
	return n - r.before
}

// pause pauses the torrent.
func (r *awayRig) pause() {
	r.t.Helper()
	if resp := r.do(r.t.Context(), http.MethodPost, "/"+r.id+"/pause?wait=10", nil); resp.StatusCode/100 != 2 {
		r.t.Fatal(resp.Status)
	}
}

// Ranges of an object are served as those of a file, and each block of it is read once, even if the store is slow. HEAD asks the
// store for nothing.
func TestRangesOfAnObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newAwayRig(t)
		r.store.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Delay: time.Second} })
		before := len(r.store.Requests())
		head := r.do(t.Context(), http.MethodHead, "/"+r.id+"/files/1/content", nil)
		if head.StatusCode != 200 || head.ContentLength != int64(len(r.film)) || head.Header.Get("ETag") == "" || len(r.store.Requests()) != before {
			t.Errorf("HEAD: %s %v, %d requests", head.Status, head.Header, len(r.store.Requests())-before)
		}
		for _, c := range []struct {
			of          string
			first, last int
			reads       int // in all, without reading ahead
		}{
			{"bytes=10-19", 10, 19, 1},
			{"bytes=4000000-4999999", 4_000_000, 4_999_999, 1},
			{"bytes=-1000", 20<<20 - 1000, 20<<20 - 1, 2},
			{"bytes=8388600-8388700", 8_388_600, 8_388_700, 3},
			{"bytes=0-", 0, 20<<20 - 1, 3},
		} {
			began := time.Now()
			resp, b := r.get("Range", c.of)
			want := fmt.Sprintf("bytes %d-%d/%d", c.first, c.last, len(r.film))
			if resp.StatusCode != http.StatusPartialContent || resp.Header.Get("Content-Range") != want || !bytes.Equal(b, r.film[c.first:c.last+1]) {
				t.Errorf("%s: %s %v, %d bytes", c.of, resp.Status, resp.Header, len(b))
			}
			if n, took := r.reads(), time.Since(began); n != c.reads || took > 1500*time.Millisecond {
				t.Errorf("%s: %d reads of the store, after %v", c.of, n, took)
			}
		}
	})
}

// While the store does not answer, the answer says so and when to try again. When it is back, everything is served again.
func TestReadingFromAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newAwayRig(t)
		r.store.SetDown(true)
		began := time.Now()
		r.checkAway()
		if took := time.Since(began); took > 90*time.Second {
			t.Errorf("the answer took %v", took)
		}
		r.pause()
		r.checkAway()
		r.store.SetDown(false)
		if resp, b := r.get(); resp.StatusCode != 200 || !bytes.Equal(b, r.film) {
			t.Errorf("when it is back: %s, %d bytes", resp.Status, len(b))
		}
	})
}

// An answer that has begun is cut when the store goes away, or has another object.
func TestAnAnswerIsCut(t *testing.T) {
	for what, change := range map[string]func(*awayRig){
		"away":     func(r *awayRig) { r.store.SetDown(true) },
		"replaced": func(r *awayRig) { r.store.Put("films/film.mkv", bytes.Repeat([]byte("x"), len(r.film))) },
		"removed":  func(r *awayRig) { r.store.Remove("films/film.mkv") },
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newAwayRig(t)
				resp := r.open()
				change(r)
				r.checkCut(resp)
				if resp, b := r.get("Range", "bytes=-1000"); resp.StatusCode < 400 {
					t.Errorf("then %s %.100s", resp.Status, b)
				}
			})
		})
	}
}

// When a client goes away, nobody waits any more, and the store is soon asked for nothing.
func TestAClientThatLeavesAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newAwayRig(t)
		r.store.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Status: http.StatusServiceUnavailable} })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/v1/torrents/"+r.id+"/files/1/content", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.token)
		if _, err := r.client.Do(req); err == nil {
			t.Fatal("it has an answer")
		}
		synctest.Wait()
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for _, name := range []string{"swarm.waitRemote", "stream.serve("} {
			if bytes.Contains(stacks, []byte(name)) {
				t.Errorf("%s goes on", name)
			}
		}
		time.Sleep(5 * time.Second)
		before := r.reads()
		time.Sleep(2 * time.Minute)
		if after := r.reads(); after != before || before == 0 {
			t.Errorf("%d reads of the store, and %d later", before, after-before)
		}
	})
}

// A paused torrent in a store is read from there, like one in local files.
func TestReadingAPausedTorrentOfAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newAwayRig(t)
		half := r.open() // it goes on without the swarm
		r.pause()
		if b, err := io.ReadAll(half.Body); err != nil || !bytes.Equal(b, r.film[1<<20:]) {
			t.Errorf("%d more bytes while it is paused: %v", len(b), err)
		}
		synctest.Wait() // what was read is counted when the reader has ended
		x, err := r.d.Find(r.id)
		if err != nil {
			t.Fatal(err)
		}
		if got := x.StoreUsage().Read; got < int64(len(r.film)) {
			t.Errorf("%d bytes were read for it", got)
		}
		r.store.SetDown(true)
		if resp, b := r.get(); resp.StatusCode != 200 || !bytes.Equal(b, r.film) {
			t.Errorf("from the cache: %s, %d bytes", resp.Status, len(b))
		}
	})
}
