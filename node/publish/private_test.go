package publish

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

func private(path string) Config {
	return Config{Key: testKey(0), KeyName: "k", Path: path, Secret: true}
}

// A private publication continues under its link: without the flag, after a restart, and after it
// has ended with its history. Its item has neither the key nor the salt of the user.
func TestPrivatePublicationsContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(4, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 8)
		a := start(t, n, 1, nodetest.Boot(100))
		dir := nodetest.Site(t, 3)
		p, err := a.Publish(t.Context(), private(dir))
		if err != nil {
			t.Fatal(err)
		}
		link := p.Link()
		l, err := magnet.Parse(link)
		if err != nil || !l.Secret.CanRead() || l.PublicKey == keyLink(testKey(0)).PublicKey {
			t.Fatal(link, err)
		}
		items, err := a.Items()
		if err != nil {
			t.Fatal(err)
		}
		a.Await(node.PublishedItem, time.Minute)
		g, err := items.Get(t.Context(), targetOf(l), l.Salt, nil)
		if err != nil || g.Item == nil || strings.Contains(string(g.Item.Value), string(p.Torrent().InfoHash().String())) {
			t.Fatalf("%+v, %v", g, err)
		}
		ih := p.Torrent().InfoHash()
		if strings.Contains(string(g.Item.Value), string(ih[:])) {
			t.Error("the value shows the infohash")
		}
		filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		if changed, err := p.Update(t.Context()); !changed || err != nil {
			t.Fatal(changed, err)
		}
		if err := p.Apply(t.Context(), Config{}); err != nil || p.Outcome().Seq != 2 || !p.Outcome().IsUnchanged {
			t.Errorf("%+v, %v", p.Outcome(), err)
		}
		if fi, err := os.Stat(filepath.Join(p.folder.path, "record")); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("others can read the secret: %v, %v", fi.Mode(), err)
		}
		a.Node.Close()

		b := start(t, n, 1, nodetest.Boot(100), nodetest.State(a.State))
		pubs, failed := b.Restore(t.Context(), RestoreConfig{Key: func(string) (ed25519.PrivateKey, error) { return testKey(0), nil }})
		if len(pubs) != 1 || len(failed) != 0 || pubs[0].Link() != link || pubs[0].Outcome().Seq != 2 {
			t.Fatal(pubs, failed)
		}
		nodetest.Until(t, time.Minute, "it is seeded", func() bool { return pubs[0].Torrent().Snapshot().Have > 0 })
		// Version 1 again: its ciphertext is nowhere but in the swarm, which has no other seed.
		if err := os.Remove(filepath.Join(dir, "new")); err != nil {
			t.Fatal(err)
		}
		if err := pubs[0].Rollback(t.Context(), 1, false); err != nil || pubs[0].Outcome().InfoHash != ih {
			t.Errorf("%+v, %v", pubs[0].Outcome(), err)
		}
		if v := newest(pubs[0]); v.Name != "site" || v.Files != 3 || v.Seq != 3 {
			t.Errorf("%+v", v)
		}
		if err := pubs[0].Remove(true); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(pubs[0].folder.sealedDir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the encrypted copy is still there: %v", err)
		}
		cfg := private(dir)
		cfg.Secret = false
		again, err := b.Publish(t.Context(), cfg)
		if err != nil || again.Link() != link {
			t.Errorf("%v, %v", again, err)
		}
	})
}

// An update encrypts and hashes only the files that have changed.
func TestPrivateUpdatesReadOnlyWhatChanged(t *testing.T) {
	dir := nodetest.Site(t, 10)
	f, err := openFolder(t.TempDir(), id.ID{1})
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	f.file.Path = dir
	p := &Publication{user: testKey(0), folder: f}
	if err := p.makeSecret(); err != nil {
		t.Fatal(err)
	}
	settle := func() { time.Sleep(100 * ms) } // until a change has another time; see create.Stamp
	settle()
	version := func() (read int64, phases []int64) {
		var last int64
		p.options.Progress = func(done, total int64) {
			if total != last {
				last, phases = total, append(phases, total)
			}
		}
		if _, _, err := p.makePrivate(t.Context()); err != nil {
			t.Fatal(err)
		}
		settle()
		made, spec, err := p.makePrivate(t.Context()) // now the stamps of the blobs are known
		if err != nil {
			t.Fatal(err)
		}
		f.file.Versions = append(f.file.Versions, Version{Seq: int64(len(f.file.Versions) + 1), InfoHash: made.Info.Hash.String(), InfoHashV2: hexV2(made.Info)})
		if err := errors.Join(os.WriteFile(f.torrentPath(f.file.last().Seq), spec.Torrent.Append(nil), 0o600), f.saveStamps(made)); err != nil {
			t.Fatal(err)
		}
		return made.Read, phases
	}
	version()
	if read, phases := version(); read != 0 || len(phases) != 0 {
		t.Errorf("%d bytes of blobs and %v were read where nothing has changed", read, phases)
	}
	filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
	settle()
	// The new file, and its blob of 1 KiB with the manifest.
	if _, phases := version(); len(phases) == 0 || slices.Max(phases) > 4<<10 {
		t.Errorf("%v bytes were read for a new file of 3", phases)
	}
}

func TestPublicPublicationsStayPublic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(4, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 4)
		a := start(t, n, 1, nodetest.Boot(100))
		dir := nodetest.Site(t, 2)
		p := a.publish(testKey(0), dir)
		var f *node.Fault
		if err := p.Apply(t.Context(), private(dir)); !errors.As(err, &f) || f.Kind != node.FaultUsage || !strings.Contains(f.Hint(), "--salt") {
			t.Error(err)
		}
		if parsed, err := magnet.Parse(p.Link()); err != nil || parsed.IsPrivate() {
			t.Error(p.Link(), err)
		}
		cfg := private(dir)
		cfg.Salt, cfg.WebSeeds = []byte("s"), []string{"https://example.org/"}
		if _, err := a.Publish(t.Context(), cfg); !errors.As(err, &f) || f.Kind != node.FaultUsage {
			t.Errorf("with a mirror: %v", err)
		}
		cfg.WebSeeds = nil
		cfg.Options = &node.ShareOptions{Format: metainfo.Hybrid}
		q, err := a.Publish(t.Context(), cfg)
		if err != nil || q.Torrent().Info().HasV1() {
			t.Errorf("%v: a hybrid of what is private", err)
		}
	})
}

// Unpublish finds a private publication by the target of its item, and deletes the secret.
func TestUnpublishPrivate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(4, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 4)
		a := start(t, n, 1, nodetest.Boot(100))
		p, err := a.Publish(t.Context(), private(nodetest.Site(t, 2)))
		if err != nil {
			t.Fatal(err)
		}
		what := p.Describe()
		a.Node.Close()
		if err := Unpublish(a.State, what.Target.String(), false, func(infohash id.ID) error { return node.Forget(a.State, infohash) }); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(p.folder.path); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
}
