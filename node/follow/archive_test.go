package follow

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
	"seedbed/node/publish"
	"seedbed/node/tree"
)

// The publisher shares the metadata of earlier versions, and a follower that keeps them their files too, also
// after a restart. A version that is deleted is no longer shared.
func TestEarlierVersionsCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir := nodetest.Site(t, 5)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		b := start(t, n, 2, nodetest.Boot(101))
		keep := func(c *Config) { c.Keep = 2 }
		f := b.follow(testKey(0), t.TempDir(), keep)
		reaches(t, f, 1, 2*time.Minute)
		for seq := int64(2); seq <= 4; seq++ {
			filetest.Write(t, filepath.Join(dir, "d1", "page 1"), filetest.RandomBytes("new", int(seq)*10_000))
			a.update(p)
			reaches(t, f, seq, 10*time.Minute)
		}
		time.Sleep(time.Minute)
		if len(a.Torrents()) != 1 || len(b.Torrents()) != 1 {
			t.Errorf("%d and %d torrents are listed", len(a.Torrents()), len(b.Torrents()))
		}

		c := start(t, n, 3, nodetest.Boot(102))
		_, item, err := c.Resolve(t.Context(), f.cfg.Link)
		if err != nil {
			t.Fatal(err)
		}
		// inspect reports whether anyone sends the metadata of a version.
		inspect := func(seq int64) bool {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			l, err := node.VersionAt(f.cfg.Link, &item, seq)
			if err != nil {
				t.Fatal(err)
			}
			info, err := c.Inspect(ctx, l, nil, func(node.Snapshot) {})
			return err == nil && !info.LacksLayers()
		}
		for seq := range int64(4) {
			if !inspect(seq + 1) {
				t.Errorf("nobody has the metadata of version %d", seq+1)
			}
		}
		a.Node.Close()
		if inspect(1) {
			t.Error("the follower shares version 1, which it has deleted")
		}
		b.Node.Close()
		b = start(t, n, 2, nodetest.Boot(101), nodetest.State(b.State))
		f = b.follow(testKey(0), f.cfg.Dir, keep)
		for seq := int64(2); seq <= 3; seq++ {
			l, err := node.VersionAt(f.cfg.Link, &item, seq)
			if err != nil {
				t.Fatal(err)
			}
			to := t.TempDir()
			x, err := c.Add(node.Spec{Link: l, Dir: to})
			if err != nil {
				t.Fatal(err)
			}
			nodetest.Wait(t, x.Done(), 10*time.Minute, "the files of an earlier version")
			if fi, err := os.Stat(filepath.Join(to, "site", "d1", "page 1")); seq == 2 && (err != nil || fi.Size() != 20_000) {
				t.Errorf("version %d: %v, %v", seq, fi, err)
			}
		}
		if err := f.Remove(t.Context()); err != nil {
			t.Error(err)
		}
		if left := filetest.Entries(t, filepath.Join(b.State, "torrents")); len(left) != 0 {
			t.Errorf("%v is left in the state directory", left)
		}
	})
}

// Of an earlier version of a private publication, the publisher shares the list of the files, encrypted.
func TestEarlierPrivateVersionsCanBeListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(2, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir := nodetest.Site(t, 5)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publishAs(publish.Config{Key: testKey(0), KeyName: "k", Path: dir, Secret: true})
		link := parse(t, p.Link())
		for _, name := range []string{"second", "third"} {
			filetest.Write(t, filepath.Join(dir, name), []byte(name))
			a.update(p)
		}
		time.Sleep(time.Minute)
		c := start(t, n, 3, nodetest.Boot(102))
		_, item, err := c.Resolve(t.Context(), link)
		if err != nil {
			t.Fatal(err)
		}
		for seq := int64(1); seq <= 3; seq++ {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			l, err := node.VersionAt(link, &item, seq)
			if err != nil {
				t.Fatal(err)
			}
			files, torrent, err := tree.SealedFiles(ctx, c.Node.Node, l, link.Secret.Keys())
			if err != nil || files.Stored() != 4+int(seq) || files.Name != "site" || torrent.Hash != l.InfoHash {
				t.Errorf("version %d: %v", seq, err)
			}
		}
		if len(c.Torrents()) != 0 {
			t.Error("a torrent is left")
		}
	})
}

// An earlier version is shared again some time after a torrent for which its Archive gave way was removed: by
// the publisher and by a follower.
func TestEarlierVersionsAreSharedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir := nodetest.Site(t, 5)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		b := start(t, n, 2, nodetest.Boot(101))
		f := b.follow(testKey(0), t.TempDir())
		reaches(t, f, 1, 2*time.Minute)
		first := f.Torrent().Link()
		filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		a.update(p)
		reaches(t, f, 2, 10*time.Minute)
		time.Sleep(time.Minute)
		isShared := func(r *rig) bool {
			x, _ := r.Archived(parse(t, first).InfoHash)
			return x != nil
		}
		for _, r := range []*rig{a, b} {
			if !isShared(r) {
				t.Fatal("the first version is not shared")
			}
			x, err := r.Add(node.Spec{Link: parse(t, first), Dir: t.TempDir(), ReadAhead: 1, Cache: true})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if isShared(r) {
				t.Error("the Archive did not give way")
			}
			if err := r.Remove(t.Context(), x.InfoHash(), true); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if !isShared(r) {
				t.Error("the first version is not shared again")
			}
		}
	})
}
