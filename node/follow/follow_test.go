package follow

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"seedbed/dht"
	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
	"seedbed/node"
	"seedbed/node/publish"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

// testKey returns key number num.
func testKey(num byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string('a'+rune(num)), ed25519.SeedSize)))
}

func keyLink(key ed25519.PrivateKey) *magnet.Link {
	return mutable.Link([ed25519.PublicKeySize]byte(key.Public().(ed25519.PublicKey)), nil, "")
}

func targetOf(l *magnet.Link) id.ID { return dht.ItemTarget(l.PublicKey, l.Salt) }

// rig is a node that publishes and follows.
type rig struct {
	*nodetest.Node
	t    testing.TB
	once sync.Once
	pub  *publish.Publisher
}

func start(t testing.TB, n *simnet.Net, num int, opts ...func(*node.Config)) *rig {
	t.Helper()
	return &rig{Node: nodetest.Start(t, n, num, opts...), t: t}
}

func (r *rig) publisher() *publish.Publisher {
	r.once.Do(func() {
		var err error
		if r.pub, err = publish.New(r.Node.Node); err != nil {
			r.t.Fatal(err)
		}
	})
	return r.pub
}

func (r *rig) publish(key ed25519.PrivateKey, path string) *publish.Publication {
	r.t.Helper()
	return r.publishAs(publish.Config{Key: key, KeyName: "k", Path: path, Options: &node.ShareOptions{Format: metainfo.Hybrid}})
}

func (r *rig) publishAs(cfg publish.Config) *publish.Publication {
	r.t.Helper()
	p, err := r.publisher().Publish(r.t.Context(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *rig) update(p *publish.Publication) {
	r.t.Helper()
	if changed, err := p.Update(r.t.Context()); err != nil || !changed {
		r.t.Fatal(changed, err)
	}
}

func (r *rig) follow(key ed25519.PrivateKey, dir string, opts ...func(*Config)) *Follower {
	r.t.Helper()
	cfg := Config{Link: keyLink(key), Dir: dir, Poll: time.Minute}
	for _, o := range opts {
		o(&cfg)
	}
	f, err := Start(r.Node.Node, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// reaches waits until a follower is at a version.
func reaches(t testing.TB, f *Follower, seq int64, limit time.Duration) {
	t.Helper()
	for end := time.Now().Add(limit); f.Seq() < seq; time.Sleep(100 * ms) {
		if time.Now().After(end) {
			t.Fatalf("not at version %d within %v, but at %d; %+v", seq, limit, f.Seq(), f.Stats())
		}
	}
}

// newest returns the newest version of a publication.
func newest(p *publish.Publication) publish.Version {
	v := p.Versions()
	return v[len(v)-1]
}

// A change reaches followers soon after it is put. They download only the changed data, and
// a reader that resolves current once reads one version.
func TestFollowersKeepUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 8)
		dir := nodetest.Site(t, 40)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		e := a.Await(node.PublishedItem, time.Minute)
		if e.Publication.Stored == 0 || e.Publication.Seq != 1 || e.Publication.Link != p.Link() {
			t.Errorf("%+v", e.Publication)
		}
		var fs []*Follower
		var dirs []string
		for i := range 3 {
			dirs = append(dirs, t.TempDir())
			fs = append(fs, start(t, n, 2+i, nodetest.Boot(101)).follow(testKey(0), dirs[i]))
		}
		for i, f := range fs {
			reaches(t, f, 1, 2*time.Minute)
			filetest.Same(t, dir, filepath.Join(dirs[i], "current", "site"))
		}
		one := filepath.Join(dir, "d1", "page 1")
		filetest.Write(t, one, filetest.RandomBytes("changed", 21_000))
		a.update(p)
		for i, f := range fs {
			reaches(t, f, 2, time.Minute)
			filetest.Same(t, dir, filepath.Join(dirs[i], "current", "site"))
			if got := f.Torrent().Snapshot().Downloaded; got > 2*21_000 {
				t.Errorf("%d bytes were downloaded for a change of 21,000", got)
			}
			// The earlier version still exists and shares the unchanged files.
			old, new := filepath.Join(dirs[i], "versions"), filepath.Join(dirs[i], "current", "site", "d0", "page 0")
			var infos []os.FileInfo
			entries, err := os.ReadDir(old)
			if err != nil || len(entries) != 2 {
				t.Fatal(entries, err)
			}
			for _, path := range []string{filepath.Join(old, entries[0].Name(), "site", "d0", "page 0"), new} {
				fi, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				infos = append(infos, fi)
			}
			if !os.SameFile(infos[0], infos[1]) || infos[1].Mode().Perm()&0o222 != 0 {
				t.Error("an unchanged file was not linked, or may be written to:", infos[1].Mode())
			}
		}
		// Of three versions, the newest and one earlier version are kept.
		filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		a.update(p)
		for i, f := range fs {
			reaches(t, f, 3, time.Minute)
			filetest.Same(t, dir, filepath.Join(dirs[i], "current", "site"))
			if entries, _ := os.ReadDir(filepath.Join(dirs[i], "versions")); len(entries) != 2 {
				t.Error(entries)
			}
		}
		// Without a change there is no new version.
		if changed, err := p.Update(t.Context()); changed || err != nil {
			t.Error(changed, err)
		}
	})
}

// Torrents without a v2 side have pieces that span several files. Files in unchanged pieces
// are linked, those next to a change are copied, and the old version does not change.
func TestFollowersReuseWithoutMerkleRoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(9, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir, to := nodetest.Site(t, 60), t.TempDir() // 20 KB each, in pieces of 32 KiB
		a := start(t, n, 1, nodetest.Boot(100))
		p, err := a.publisher().Publish(t.Context(), publish.Config{Key: testKey(0), KeyName: "k", Path: dir, Options: &node.ShareOptions{Format: metainfo.V1, PieceLength: 32 << 10}})
		if err != nil {
			t.Fatal(err)
		}
		f := start(t, n, 2, nodetest.Boot(101)).follow(testKey(0), to)
		reaches(t, f, 1, 2*time.Minute)
		old := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(old, os.DirFS(filepath.Join(to, "current", "site"))); err != nil {
			t.Fatal(err)
		}
		first := filepath.Join(to, "versions", versionName(1, newest(p).InfoHash)[len("versions/"):], "site")
		filetest.Write(t, filepath.Join(dir, "d1", "page 10"), filetest.RandomBytes("changed", 20_010)) // the same length
		filetest.Write(t, filepath.Join(dir, "d2", "page 20"), filetest.RandomBytes("longer", 27_000))  // everything after it moves
		a.update(p)
		reaches(t, f, 2, time.Minute)
		filetest.Same(t, dir, filepath.Join(to, "current", "site"))
		filetest.Same(t, old, first)
		// Two files, and the pieces that they share with others.
		if got := f.Torrent().Snapshot().Downloaded; got > 47_000+4*32<<10 {
			t.Errorf("%d bytes were downloaded", got)
		}
		one, _ := os.Stat(filepath.Join(first, "d0", "page 0"))
		two, _ := os.Stat(filepath.Join(to, "current", "site", "d0", "page 0"))
		if !os.SameFile(one, two) {
			t.Error("an unchanged file was not linked")
		}
	})
}

// Followers download only the changed pieces of a file with a v2 side that is edited, that
// grows and that shrinks. The old version does not change.
func TestFollowersReusePiecesOfAChangedFile(t *testing.T) {
	const piece = 32 << 10
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(9, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir, to := nodetest.Site(t, 3), t.TempDir()
		data := filetest.RandomBytes("big", 20*piece+5)
		big := filepath.Join(dir, "big")
		filetest.Write(t, big, data)
		a := start(t, n, 1, nodetest.Boot(100))
		p, err := a.publisher().Publish(t.Context(), publish.Config{Key: testKey(0), KeyName: "k", Path: dir, Options: &node.ShareOptions{Format: metainfo.Hybrid, PieceLength: piece}})
		if err != nil {
			t.Fatal(err)
		}
		f := start(t, n, 2, nodetest.Boot(101)).follow(testKey(0), to, func(c *Config) { c.Keep = 4 })
		reaches(t, f, 1, 2*time.Minute)
		for i, change := range []struct {
			what   string
			do     func(b []byte) []byte
			pieces int64 // that differ
		}{
			{"edited", func(b []byte) []byte { copy(b[7*piece+100:], "edited"); return b }, 1},
			{"longer", func(b []byte) []byte { return append(b, "longer"...) }, 1},
			{"shorter", func(b []byte) []byte { return b[:10*piece-9] }, 1},
		} {
			old, err := filepath.EvalSymlinks(filepath.Join(to, "current", "site", "big"))
			if err != nil {
				t.Fatal(err)
			}
			before := bytes.Clone(data)
			data = change.do(data)
			filetest.Write(t, big, data)
			a.update(p)
			reaches(t, f, int64(i+2), time.Minute)
			filetest.Same(t, dir, filepath.Join(to, "current", "site"))
			if now, err := os.ReadFile(old); err != nil || !bytes.Equal(now, before) {
				t.Errorf("%s: the old version has changed: %v", change.what, err)
			}
			if got := f.Torrent().Snapshot().Downloaded; got > change.pieces*piece {
				t.Errorf("%s: %d bytes were downloaded", change.what, got)
			}
		}
	})
}

// An earlier version is published again, even if only followers have its data.
func TestRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(10, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir, to, st := nodetest.Site(t, 6), t.TempDir(), t.TempDir()
		first := filepath.Join(t.TempDir(), "first")
		if err := os.CopyFS(first, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(st))
		p := a.publish(testKey(0), dir)
		f := start(t, n, 2, nodetest.Boot(101)).follow(testKey(0), to)
		reaches(t, f, 1, 2*time.Minute)
		filetest.Write(t, filepath.Join(dir, "d0", "page 0"), []byte("spoilt"))
		a.update(p)
		reaches(t, f, 2, time.Minute)
		a.Close()
		a = start(t, n, 3, nodetest.Boot(100), nodetest.State(st))
		var fault *node.Fault
		if _, err := a.publisher().Publish(t.Context(), publish.Config{Key: testKey(0), Rollback: 7}); !errors.As(err, &fault) || fault.Kind != node.FaultUsage {
			t.Error(err)
		}
		p, err := a.publisher().Publish(t.Context(), publish.Config{Key: testKey(0), Rollback: 1})
		if err != nil {
			t.Fatal(err)
		}
		if v := newest(p); v.Seq != 3 || v.InfoHash != p.Versions()[0].InfoHash {
			t.Errorf("%+v", v)
		}
		reaches(t, f, 3, time.Minute)
		filetest.Same(t, first, filepath.Join(to, "current", "site"))
		nodetest.Wait(t, p.Torrent().Done(), time.Minute, "the publisher has it again")
		if list, _ := publish.List(st); len(list) != 1 || len(list[0].Versions) != 3 {
			t.Errorf("%+v", list)
		}
		// After a restart nothing changes until the folder is published again.
		a.Close()
		a = start(t, n, 4, nodetest.Boot(100), nodetest.State(st))
		if p, err = a.publisher().Publish(t.Context(), publish.Config{Key: testKey(0)}); err != nil {
			t.Fatal(err)
		}
		if v := newest(p); v.Seq != 3 {
			t.Errorf("%+v", v)
		}
		nodetest.Wait(t, p.Torrent().Done(), time.Minute, "the publisher still has it")
		if got := p.Torrent().Snapshot().Downloaded; got != 0 {
			t.Errorf("%d bytes were downloaded again", got)
		}
		data := func() []string {
			return filetest.Entries(t, filepath.Join(st, "publications", targetOf(keyLink(testKey(0))).String(), "data"))
		}
		if got := data(); len(got) != 1 || got[0] != p.Torrent().InfoHash().String() {
			t.Error("downloaded data:", got)
		}
		a.Close()
		a = start(t, n, 5, nodetest.Boot(100), nodetest.State(st))
		a.publish(testKey(0), dir)
		reaches(t, f, 4, 2*time.Minute)
		if got := data(); len(got) != 0 {
			t.Error("data of a version that is not published any more:", got)
		}
		filetest.Same(t, dir, filepath.Join(to, "current", "site"))
	})
}

// A follower that was offline gets the newest version in the same folder, and seeds it after
// the publisher is gone.
func TestAFollowerThatWasOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(2, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir, to, st := nodetest.Site(t, 10), t.TempDir(), t.TempDir()
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		b := start(t, n, 2, nodetest.Boot(101), nodetest.State(st))
		reaches(t, b.follow(testKey(0), to), 1, 2*time.Minute)
		b.Close()
		for i := range 3 {
			filetest.Write(t, filepath.Join(dir, "d0", "page 0"), filetest.RandomBytes("x", 100+i))
			a.update(p)
		}
		b = start(t, n, 3, nodetest.Boot(101), nodetest.State(st))
		f := b.follow(testKey(0), to)
		reaches(t, f, 4, 2*time.Minute)
		filetest.Same(t, dir, filepath.Join(to, "current", "site"))
		a.Close()
		time.Sleep(time.Minute)
		c := start(t, n, 4, nodetest.Boot(102))
		late := t.TempDir()
		reaches(t, c.follow(testKey(0), late), 4, 2*time.Minute)
		filetest.Same(t, dir, filepath.Join(late, "current", "site"))
	})
}

// The publisher is permanently gone. Without a follower that keeps the item alive, the link
// stops working two hours later; with one, it keeps working.
func TestKeepAliveWithoutThePublisher(t *testing.T) {
	for _, alive := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(3, simnet.Link{Delay: 10 * ms})
			nodetest.Ring(t, n, 8)
			dir := nodetest.Site(t, 5)
			a := start(t, n, 1, nodetest.Boot(100))
			a.publish(testKey(0), dir)
			b := start(t, n, 2, nodetest.Boot(101))
			reaches(t, b.follow(testKey(0), t.TempDir(), func(c *Config) { c.KeepAlive = alive }), 1, 2*time.Minute)
			a.Close()
			time.Sleep(150*time.Minute + 150*time.Minute/scale) // longer than the two hours that an item lives
			c := start(t, n, 3, nodetest.Boot(102))
			time.Sleep(10 * time.Second)
			link, version, err := c.Resolve(t.Context(), keyLink(testKey(0)))
			if !alive {
				var f *node.Fault
				if !errors.As(err, &f) || f.Kind != node.FaultVanished {
					t.Errorf("an item that nobody republishes: %v %v", version, err)
				}
				return
			}
			if err != nil || version.Number != 1 {
				t.Fatal(err)
			}
			to := t.TempDir()
			added, err := c.Add(node.Spec{Link: link, Dir: to})
			if err != nil {
				t.Fatal(err)
			}
			nodetest.Wait(t, added.Done(), time.Minute, "the download")
			filetest.Same(t, dir, filepath.Join(to, "site"))
		})
	}
}

// A follower polls often just after a change, and then gradually less often down to the
// configured interval.
func TestPollingIsFrequentOnlyAfterAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(11, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir := nodetest.Site(t, 2)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		f := start(t, n, 2, nodetest.Boot(101)).follow(testKey(0), t.TempDir(), func(c *Config) { c.Poll = 10 * time.Minute })
		reaches(t, f, 1, 2*time.Minute)
		time.Sleep(time.Hour) // until the interval is the configured one
		const calm, often = 5 * time.Hour / scale, int64(30 / scale)
		polls := func(d time.Duration) int64 {
			before := f.Stats().Polls
			time.Sleep(d)
			return f.Stats().Polls - before
		}
		if n := polls(calm); n < often-1 || n > often+1 {
			t.Errorf("%d polls in %v without a change", n, calm)
		}
		filetest.Write(t, filepath.Join(dir, "x"), []byte("x"))
		a.update(p)
		reaches(t, f, 2, 11*time.Minute)
		if n := polls(10 * time.Minute); n < 3 || n > 6 {
			t.Errorf("%d polls in the 10 minutes after a change", n)
		}
		time.Sleep(time.Hour)
		if n := polls(calm); n < often-1 || n > often+1 {
			t.Errorf("%d polls in %v after the interval is the configured one again", n, calm)
		}
	})
}

// BEP 46: an item contains the v1 infohash of a v1 or hybrid torrent, else the truncated v2
// infohash. A follower knows nothing more before it has the metadata.
func TestBEP46PublicationsOfEachFormat(t *testing.T) {
	for _, format := range []metainfo.Format{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		t.Run(format.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(12, simnet.Link{Delay: 10 * ms})
				nodetest.Ring(t, n, 6)
				dir, to := nodetest.Site(t, 3), t.TempDir()
				filetest.Write(t, filepath.Join(dir, "of many pieces"), filetest.RandomBytes("x", 400_000))
				a := start(t, n, 1, nodetest.Boot(100))
				p, err := a.publisher().Publish(t.Context(), publish.Config{Key: testKey(0), Path: dir, Options: &node.ShareOptions{Format: format, PieceLength: 32 << 10}})
				if err != nil {
					t.Fatal(err)
				}
				info := p.Torrent().Info()
				want := info.Hash
				if format == metainfo.V2 {
					want = info.HashV2.Short()
				}
				if v, err := mutable.Read(&magnet.Link{}, newest(p).Value); err != nil || v.InfoHash != want {
					t.Errorf("the item contains %v, want %v", v.InfoHash, want)
				}
				b := start(t, n, 2, nodetest.Boot(101))
				f := b.follow(testKey(0), to)
				reaches(t, f, 1, 2*time.Minute)
				filetest.Same(t, dir, filepath.Join(to, "current", "site"))
				filetest.Write(t, filepath.Join(dir, "d0", "page 0"), filetest.RandomBytes("changed", 500))
				a.update(p)
				reaches(t, f, 2, 2*time.Minute)
				filetest.Same(t, dir, filepath.Join(to, "current", "site"))
			})
		})
	}
}

// If one of very many files changes, only that file is downloaded.
func TestBatteryManyFiles(t *testing.T) {
	files := 2000
	if os.Getenv("SEEDBED_SOAK") != "" {
		files = 100_000
	}
	dir := filepath.Join(t.TempDir(), "site")
	name := func(i int) string { return filepath.Join(dir, fmt.Sprint("d", i/1000), fmt.Sprint("page ", i)) }
	for i := range files {
		filetest.Write(t, name(i), fmt.Appendf(nil, "%d of %d\n", i, files))
	}
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: ms})
		nodetest.Ring(t, n, 4)
		follows := t.TempDir()
		a := start(t, n, 3, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		f := start(t, n, 4, nodetest.Boot(101)).follow(testKey(0), follows)
		reaches(t, f, 1, time.Hour)
		filetest.Write(t, name(7), []byte("changed"))
		a.update(p)
		reaches(t, f, 2, time.Hour)
		filetest.Same(t, dir, filepath.Join(follows, "current", "site"))
		got := f.Torrent().Snapshot().Downloaded
		if got > 1000 {
			t.Errorf("%d bytes were downloaded for one changed file", got)
		}
		t.Logf("battery: %d files published and followed; %d bytes downloaded for one changed file", files, got)
	})
}
