package gateway

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
	"seedbed/node"
	"seedbed/node/delegate"
	"seedbed/node/publish"
)

// publisher publishes folders on a simulated network.
type publisher struct {
	*publish.Publisher
	t    *testing.T
	node *node.Node
}

func newPublisher(t *testing.T, n *simnet.Net, num int) *publisher {
	at := nodetest.Start(t, n, num, nodetest.Boot(100)).Node
	p, err := publish.New(at)
	if err != nil {
		t.Fatal(err)
	}
	return &publisher{p, t, at}
}

// publish publishes a folder with files of these sizes and random content.
func (p *publisher) publish(key byte, files map[string]int) (pub *publish.Publication, a Address, dir string) {
	dir = filepath.Join(p.t.TempDir(), "site")
	for name, size := range files {
		filetest.Write(p.t, filepath.Join(dir, name), filetest.RandomBytes(name+string('a'+rune(key)), size))
	}
	secret := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{key}, ed25519.SeedSize))
	pub, err := p.Publish(p.t.Context(), publish.Config{Key: secret, KeyName: "k", Path: dir, Options: &node.ShareOptions{Format: metainfo.Hybrid, PieceLength: 64 << 10}})
	if err != nil {
		p.t.Fatal(err)
	}
	return pub, Address{Key: id.ID32(secret.Public().(ed25519.PublicKey))}, dir
}

// read reads a file of the newest version.
func read(t *testing.T, l *Library, a Address, path string) ([]byte, *Version, error) {
	t.Helper()
	v, done, err := l.Newest(t.Context(), a, client)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(t.Context(), stallAfter)
	defer cancel()
	f, err := v.Tree.Open(ctx, path)
	if err != nil {
		return nil, v, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	return b, v, err
}

func openLibrary(t *testing.T, cfg Config) *Library {
	t.Helper()
	l, err := OpenLibrary(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A publication that was never asked for is found, and only the file that is read is fetched. A newer
// version is served soon after it was published. What nobody has published is a failure that says so,
// and is not looked for again at once.
func TestTheLibraryFindsTheNewestVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(81, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		pub, a, dir := newPublisher(t, n, 1).publish(1, map[string]int{"index.html": 3000, "film.mkv": 20 << 20})
		reader := nodetest.Start(t, n, 2, nodetest.Boot(100))
		time.Sleep(10 * time.Second)
		l := openLibrary(t, Config{Node: reader.Node, Dir: t.TempDir()})

		got, v, err := read(t, l, a, "index.html")
		if err != nil || v.Seq != 1 || !bytes.Equal(got, filetest.RandomBytes("index.htmlb", 3000)) {
			t.Fatalf("%d bytes, %+v, %v", len(got), v, err)
		}
		time.Sleep(20 * time.Second)
		if have := reader.Torrent(v.InfoHash).Snapshot().Have; have > 1<<20 {
			t.Errorf("%d bytes were fetched for a small file", have)
		}

		filetest.Write(t, filepath.Join(dir, "index.html"), []byte("second"))
		if _, err := pub.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(freshFor)
		if _, _, err := read(t, l, a, "index.html"); err != nil { // it starts the lookup
			t.Error(err)
		}
		time.Sleep(20 * time.Second)
		if got, v, err := read(t, l, a, "index.html"); err != nil || v.Seq != 2 || string(got) != "second" {
			t.Errorf("%.20q, %+v, %v", got, v, err)
		}

		nobody := Address{Key: id.ID32{9}}
		began := time.Now()
		_, _, err = read(t, l, nobody, "x")
		var f *Failure
		if !errors.As(err, &f) || f.Code != 504 || f.Retry == 0 || time.Since(began) > waitFor {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		began = time.Now()
		if _, _, again := read(t, l, nobody, "x"); again != err || time.Since(began) > 0 {
			t.Errorf("%v after %v", again, time.Since(began))
		}
		l.cfg.Allow = AllowList{}.Allows
		if _, _, err := read(t, l, a, "index.html"); !errors.As(err, &f) || f.Code != 403 {
			t.Error(err)
		}
	})
}

// A version that a named key has published is served under the key in the link. After that key is revoked,
// the version of the owner is, although its number is lower.
func TestTheLibraryKnowsWhoPublishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(83, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		owner := newPublisher(t, n, 1)
		pub, a, _ := owner.publish(1, map[string]int{"index.html": 3000})
		master, work := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
		first := pub.Outcome()
		sign := func(seq int64, keys ...id.ID32) *delegate.Statement {
			s, err := delegate.Sign(master, nil, seq, first.InfoHash, mutable.Delegation{Expiry: time.Now().Add(24 * time.Hour).Truncate(time.Second), Number: first.Seq, Keys: keys})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		worker := newPublisher(t, n, 2)
		dir := filepath.Join(t.TempDir(), "site")
		filetest.Write(t, filepath.Join(dir, "index.html"), []byte("of the other key"))
		if _, err := worker.Publish(t.Context(), publish.Config{Key: work, KeyName: "work", Path: dir, Delegation: sign(2, id.ID32(work.Public().(ed25519.PublicKey)))}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // the statement is put
		l := openLibrary(t, Config{Node: nodetest.Start(t, n, 3, nodetest.Boot(100)).Node, Dir: t.TempDir()})
		if got, v, err := read(t, l, a, "index.html"); err != nil || v.Seq != 2 || string(got) != "of the other key" {
			t.Fatalf("%.20q, %+v, %v", got, v, err)
		}

		items, err := owner.node.Items()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := items.Put(t.Context(), sign(3).Item, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(freshFor)
		if _, _, err := read(t, l, a, "index.html"); err != nil { // it starts the lookup
			t.Error(err)
		}
		time.Sleep(20 * time.Second)
		if got, v, err := read(t, l, a, "index.html"); err != nil || v.Seq != 1 || len(got) != 3000 {
			t.Errorf("after the revocation: %.20q, %+v, %v", got, v, err)
		}
	})
}

// The DHT is asked although peers push one item after another, so that a key which its owner has revoked cannot
// hide the revocation.
func TestPushesDoNotHideARevocation(t *testing.T) {
	for _, c := range []struct {
		name         string
		delay, pause time.Duration
		within       time.Duration // of the revocation
	}{
		{"between lookups", 20 * ms, 20 * time.Second, 3 * freshFor},
		{"during lookups", 1200 * ms, 2 * time.Second, staleAfter + lookFor},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(85, simnet.Link{Delay: c.delay, Rate: 4 << 20})
				nodetest.Ring(t, n, 12)
				owner := newPublisher(t, n, 1)
				pub, a, _ := owner.publish(1, map[string]int{"index.html": 3000})
				master, work := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
				first := pub.Outcome()
				items, err := owner.node.Items()
				if err != nil {
					t.Fatal(err)
				}
				state := func(seq int64, keys ...id.ID32) {
					s, err := delegate.Sign(master, nil, seq, first.InfoHash, mutable.Delegation{Expiry: time.Now().Add(24 * time.Hour).Truncate(time.Second), Number: first.Seq, Keys: keys})
					if err != nil {
						t.Fatal(err)
					}
					if _, err := items.Put(t.Context(), s.Item, nil); err != nil {
						t.Fatal(err)
					}
				}
				state(2, id.ID32(work.Public().(ed25519.PublicKey)))
				l := openLibrary(t, Config{Node: nodetest.Start(t, n, 3, nodetest.Boot(100)).Node, Dir: t.TempDir()})
				if _, v, err := read(t, l, a, "index.html"); err != nil || v.Seq != 1 {
					t.Fatalf("%+v, %v", v, err)
				}
				l.mu.Lock()
				s := l.site(a)
				l.mu.Unlock()
				state(3)
				pushed := false
				for seq, began := int64(2), time.Now(); time.Since(began) < c.within+c.pause; seq++ {
					item, err := dht.SignItem(work, nil, seq, (&mutable.Version{InfoHash: first.InfoHash}).Value())
					if err != nil {
						t.Fatal(err)
					}
					s.queue.Put(item)
					time.Sleep(c.pause / 2)
					v, done, err := l.Newest(t.Context(), a, client)
					if err != nil {
						t.Fatal(err)
					}
					done()
					if pushed = pushed || v.Seq > 1; pushed && v.Seq == 1 {
						return
					}
					time.Sleep(c.pause / 2)
				}
				t.Error("the version of the revoked key is still served")
			})
		})
	}
}

// Copies that were not read for the longest time are deleted when all together exceed the limit, also
// those of an earlier run.
func TestCopiesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(82, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		p := newPublisher(t, n, 1)
		const size = 600 << 10
		var all []Address
		for k := range byte(3) {
			_, a, _ := p.publish(k, map[string]int{"file": size})
			all = append(all, a)
		}
		reader := nodetest.Start(t, n, 2, nodetest.Boot(100))
		time.Sleep(10 * time.Second)
		cfg := Config{Node: reader.Node, Dir: t.TempDir(), CacheSize: 3 * size / 2}
		l := openLibrary(t, cfg)
		folders := func() string {
			entries, err := os.ReadDir(cfg.Dir)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				if _, err := id.ParseHex(e.Name()); err == nil {
					names = append(names, e.Name())
				}
			}
			return strings.Join(names, " ")
		}
		var last string
		for _, a := range all[:2] {
			_, v, err := read(t, l, a, "file")
			if err != nil {
				t.Fatal(err)
			}
			last = v.InfoHash.String()
			time.Sleep(3 * sweepEvery)
		}
		if got := folders(); got != last {
			t.Errorf("copies of %q, want %q", got, last)
		}
		l.Close()

		l = openLibrary(t, cfg)
		_, v, err := read(t, l, all[2], "file")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * sweepEvery)
		if got := folders(); got != v.InfoHash.String() {
			t.Errorf("copies of %q, want %q", got, v.InfoHash)
		}
		if _, _, err := read(t, l, all[0], "file"); err != nil { // it is fetched again
			t.Error(err)
		}
	})
}

// A copy that is not read stops serving peers after a while, and is read again without being fetched.
func TestIdleCopiesPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(83, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		_, a, _ := newPublisher(t, n, 1).publish(1, map[string]int{"file": 300_000})
		reader := nodetest.Start(t, n, 2, nodetest.Boot(100))
		time.Sleep(10 * time.Second)
		l := openLibrary(t, Config{Node: reader.Node, Dir: t.TempDir()})
		_, v, err := read(t, l, a, "file")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(pauseAfter + 2*sweepEvery)
		if active := len(reader.Active()); active != 0 {
			t.Errorf("%d torrents run", active)
		}
		before := reader.Torrent(v.InfoHash).Snapshot().Downloaded
		if got, _, err := read(t, l, a, "file"); err != nil || len(got) != 300_000 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if after := reader.Torrent(v.InfoHash).Snapshot().Downloaded; after > before {
			t.Errorf("%d bytes were fetched again", after-before)
		}
	})
}

const ms = time.Millisecond

var client = netip.MustParsePrefix("127.0.0.1/32")
