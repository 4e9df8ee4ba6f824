//go:build linux

package integration

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// pages returns a folder of many small files.
func pages(t *testing.T, n int) (dir string, page func(i int) string) {
	dir = filepath.Join(t.TempDir(), "pages")
	page = func(i int) string { return filepath.Join(dir, fmt.Sprint("shelf ", i%10), fmt.Sprint("page ", i)) }
	for i := range n {
		must(t, os.MkdirAll(filepath.Dir(page(i)), 0o755))
		must(t, os.WriteFile(page(i), fmt.Appendf(nil, "%04d%s", i, strings.Repeat("x", 2000+i)), 0o644))
	}
	return dir, page
}

// digestOf returns a hash of the paths and contents of all files below dir.
func digestOf(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%s\x00%d\x00", rel, len(b))
		h.Write(b)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

func version(n int64) func(event) bool { return func(e event) bool { return e.Seq == n } }

// One node publishes and three follow, in a DHT of nodes of three kinds. When one file of
// a thousand changes, all three have the change within a minute after the put, and download
// less than twice the size of that file. A reader that resolves current once always sees a
// single version. After the publisher has ended, the followers still serve everything.
func TestPublications(t *testing.T) {
	need(t, libtorrent{}, webtorrent{})
	t.Parallel()
	ctx := timeLimit(t)
	private4.join(t)
	entries := private4.entries(t)
	webtorrent{}.join(ctx, t, "10.8.1.9", entries)
	dir, page := pages(t, 1000)
	before, err := digestOf(dir)
	must(t, err)
	p := run(t, "10.8.1.1", entered(entries, "publish", dir, "--key", "pages", "--watch", "--watch-every", "300ms")...)
	first := p.wait(ctx, "published", version(1))
	if first.Kept == 0 || !strings.HasPrefix(first.Link, "magnet:?xs=urn:btpk:") {
		t.Errorf("%+v", first)
	}
	var followers []*ours
	var dirs []string
	for i := range 3 {
		to := t.TempDir()
		dirs = append(dirs, to)
		args := entered(entries, "follow", first.Link, "-d", to, "--poll", "5s")
		if i == 0 {
			args = append(args, "--keep-alive")
		}
		followers = append(followers, run(t, fmt.Sprint("10.8.1.", 2+i), args...))
	}
	for _, f := range followers {
		f.wait(ctx, "current", version(1))
	}
	readers, stop := context.WithCancel(ctx)
	defer stop()
	var reads, mixtures atomic.Int64
	seen := make(chan map[string]int, len(dirs))
	for _, to := range dirs {
		go func() {
			had := map[string]int{}
			for readers.Err() == nil {
				at, err := os.Readlink(filepath.Join(to, "current"))
				if err == nil {
					var d string
					if d, err = digestOf(filepath.Join(to, at, "pages")); err == nil {
						had[d]++
						reads.Add(1)
					}
				}
				if err != nil {
					mixtures.Add(1) // one version is kept besides the current one, so nothing disappears while it is read
				}
				time.Sleep(20 * time.Millisecond)
			}
			seen <- had
		}()
	}
	changed := []byte(strings.Repeat("new ", 700))
	must(t, os.WriteFile(page(500), changed, 0o644))
	after, err := digestOf(dir)
	must(t, err)
	put := p.wait(ctx, "published", version(2))
	for i, f := range followers {
		e := f.wait(ctx, "current", version(2))
		if took := e.at().Sub(put.at()); took > time.Minute {
			t.Errorf("follower %d had the version %v after the put", i, took)
		}
		t.Logf("follower %d: %v after the put, %d bytes downloaded for a change of %d", i, e.at().Sub(put.at()), e.Fetched, len(changed))
		if limit := 2 * int64(len(changed)); e.Fetched > limit {
			t.Errorf("follower %d downloaded %d bytes for a change of %d", i, e.Fetched, len(changed))
		}
	}
	time.Sleep(300 * time.Millisecond)
	stop()
	for range dirs {
		for d, n := range <-seen {
			if d != before && d != after {
				t.Errorf("a reader saw a mixture of versions %d times", n)
			}
		}
	}
	if reads.Load() < 10 || mixtures.Load() > 0 {
		t.Errorf("%d reads, %d failed", reads.Load(), mixtures.Load())
	}
	// The publisher ends; a new follower still gets everything.
	p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.ended
	got := t.TempDir()
	run(t, "10.8.1.6", entered(entries, "get", first.Link, "-d", got)...).ends(ctx, 0)
	if d, err := digestOf(filepath.Join(got, "pages")); err != nil || d != after {
		t.Error("what the followers serve is not the newest version: ", err)
	}
	var shown struct {
		Found             bool
		Seq               int64
		Signature         string
		Current           string `json:"current_infohash"`
		Holders           []struct{ State string }
		PublicKey, Target string
	}
	object(t, &shown, entered(entries, "show", first.Link, "--listen", "10.8.1.7:0", "--state", t.TempDir())...)
	if !shown.Found || shown.Seq != 2 || shown.Signature != "valid" || shown.Current != put.Infohash || len(shown.Holders) == 0 {
		t.Errorf("%+v", shown)
	}
	// No file and no output contains the secret.
	key, err := os.ReadFile(filepath.Join(stateOf(p), "keys", "pages"))
	must(t, err)
	if fi, err := os.Stat(filepath.Join(stateOf(p), "keys", "pages")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Error("the key's file: ", fi, err)
	}
	for _, o := range append(followers, p) {
		o.mu.Lock()
		if strings.Contains(o.log.String(), strings.TrimSpace(string(key))) {
			t.Error("the secret was printed")
		}
		o.mu.Unlock()
	}
}

// resolved returns the folder to which current points.
func resolved(t testing.TB, dir string) string {
	t.Helper()
	path, err := filepath.EvalSymlinks(filepath.Join(dir, "current"))
	must(t, err)
	return path
}

// stateOf returns the state directory that a seedbed was given.
func stateOf(o *ours) string {
	for i, a := range o.cmd.Args {
		if a == "--state" {
			return o.cmd.Args[i+1]
		}
	}
	return ""
}

// A follower finds an item of seedbed that only libtorrent nodes store, after the publisher
// has ended, and one that bittorrent-dht has put.
func TestItemsOfOthersAreFollowed(t *testing.T) {
	need(t, libtorrent{}, webtorrent{})
	t.Run("held by libtorrent alone", func(t *testing.T) {
		t.Parallel()
		ctx := timeLimit(t)
		var nodes []string
		for i := range 9 {
			nodes = append(nodes, endpoint(fmt.Sprint("10.8.2.", 10+i)))
		}
		l := libtorrent{}.start(t, "", nodes[:3]).(*libtorrentDaemon)
		l.settings["listen"] = nodes
		l.run()
		l.event(ctx, "ready")
		p := single(t, "held by others", 2<<20)
		o := run(t, "10.8.2.1", entered(nodes[:2], "publish", filepath.Join(p.parent, p.name), "--key", "k", "--v1", "--piece-length", fmt.Sprint(p.piece))...)
		e := o.wait(ctx, "published", func(e event) bool { return e.Kept > 0 })
		if e.Infohash != p.infohash {
			t.Errorf("the torrent is %s, made without seedbed it is %s", e.Infohash, p.infohash)
		}
		o.cmd.Process.Signal(syscall.SIGKILL)
		<-o.ended
		run(t, "10.8.2.2", offline("seed", p.torrent, "-d", p.parent)...).wait(ctx, "ready")
		dir := t.TempDir()
		run(t, "10.8.2.3", entered(nodes[3:5], "follow", e.Link, "-d", dir, "--poll", "5s", "--peer", "10.8.2.2:6881")...).wait(ctx, "current")
		p.same(t, resolved(t, dir), true)
	})
	t.Run("put by bittorrent-dht", func(t *testing.T) {
		t.Parallel()
		ctx := timeLimit(t)
		private4.join(t)
		entries := private4.entries(t)
		p := tree(t, "named by another", 3<<20)
		run(t, "10.8.3.1", entered(entries, "seed", p.torrent, "-d", p.parent)...).wait(ctx, "ready")
		js := webtorrent{}.join(ctx, t, "10.8.3.2", entries)
		seed := randomHex(t, 32)
		raw, _ := hex.DecodeString(seed)
		public := hex.EncodeToString(ed25519.NewKeyFromSeed(raw).Public().(ed25519.PublicKey))
		ih, _ := hex.DecodeString(p.infohash)
		js.retry(ctx, map[string]any{"do": "put", "value": hex.EncodeToString(bencode(nil, map[string]any{"ih": string(ih)})), "seed": seed, "salt": inHex("a salt"), "seq": 7}, isStored)
		dir := t.TempDir()
		o := run(t, "10.8.3.3", entered(entries, "follow", "magnet:?xs=urn:btpk:"+public+"&s="+inHex("a salt"), "-d", dir, "--poll", "5s")...)
		if e := o.wait(ctx, "current"); e.Seq != 7 {
			t.Errorf("%+v", e)
		}
		p.same(t, resolved(t, dir), true)
	})
}
