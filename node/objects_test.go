package node

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
	"seedbed/swarm/s3store"
	"seedbed/swarm/storage"
)

// bucket is an object store, and the cache of a node that reads it.
type bucket struct {
	*s3test.Store
	t     testing.TB
	cache string
}

func newBucket(t testing.TB) *bucket { return &bucket{s3test.New(t), t, t.TempDir()} }

// put puts the files of a folder below a prefix.
func (b *bucket) put(dir, prefix string) {
	b.t.Helper()
	for path, data := range filetest.Tree(b.t, dir) {
		b.Put(prefix+filepath.Base(dir)+"/"+path, data)
	}
}

// start starts a node that has the objects below a prefix, until close.
func (b *bucket) start(n *simnet.Net, num int, prefix string, opts ...func(*Config)) (r *rig, end func()) {
	b.t.Helper()
	o, closeCache := b.objects(prefix)
	r = start(b.t, n, num, append(opts, func(c *Config) { c.Objects = o })...)
	return r, func() {
		r.close()
		closeCache()
	}
}

// objects returns what a node has of the objects below a prefix. Package nodetest, which has the same for others, imports this one.
func (b *bucket) objects(prefix string) (o *Objects, end func()) {
	b.t.Helper()
	cache, err := s3store.OpenCache(b.cache, s3store.MinCache, storage.NewHandles(8))
	if err != nil {
		b.t.Fatal(err)
	}
	return &Objects{Store: b.Open(prefix), Shared: s3store.NewShared(cache)}, func() {
		if err := cache.Close(); err != nil {
			b.t.Error(err)
		}
	}
}

// reads returns how many requests have read a part of an object.
func (b *bucket) reads() (n int) {
	for _, r := range b.Requests() {
		if strings.Contains(r, "bytes=") {
			n++
		}
	}
	return n
}

// download downloads a torrent from node num, and compares it with a folder.
func download(t testing.TB, n *simnet.Net, num int, s Spec, from int, dir string) {
	t.Helper()
	r := start(t, n, num, noDHT)
	got := t.TempDir()
	x := r.add(Spec{Link: withPeers(s, at(from).String()), Dir: got})
	wait(t, x.Done(), time.Minute, "downloaded from the node")
	r.close()
	filetest.Same(t, dir, filepath.Join(got, filepath.Base(dir)))
}

// awaitPhase waits until a torrent is in a phase.
func awaitPhase(t testing.TB, x *Torrent, p lifecycle.Phase) {
	t.Helper()
	for end := time.Now().Add(time.Minute); x.Phase() != p; time.Sleep(50 * ms) {
		if time.Now().After(end) {
			t.Fatalf("it is %v, and not %v: %v", x.Phase(), p, x.Snapshot().Paused)
		}
	}
}

// The node shares files that are objects, also after a restart, and then reads what it has read before from the cache.
func TestObjectsAreSharedAcrossRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		spec, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		b := newBucket(t)
		b.put(dir, "data/")
		a, end := b.start(n, 1, "data", noDHT)
		x := a.add(Spec{Torrent: spec.Torrent, Objects: true, Shared: true, Persistent: true})
		awaitPhase(t, x, lifecycle.Seeding)
		if n := b.reads(); n != 0 {
			t.Errorf("%d reads before anything was wanted", n)
		}
		download(t, n, 2, spec, 1, dir)
		if u := x.StoreUsage(); u.Read < 800_000 || u.Requests == 0 {
			t.Errorf("%+v was asked of the store", u)
		}
		if at := x.Details().Dir; at != "s3://bucket/data" {
			t.Errorf("it is in %s", at)
		}
		before := b.reads()
		end()

		a, end = b.start(n, 1, "data", noDHT, state(a.state))
		if err := a.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		x = a.Torrent(spec.InfoHash())
		awaitPhase(t, x, lifecycle.Seeding)
		if !x.spec().Shared {
			t.Error("it is no torrent of the catalogue any more")
		}
		download(t, n, 3, spec, 1, dir)
		if after := b.reads(); after != before {
			t.Errorf("%d reads of what is in the cache", after-before)
		}
		end()
	})
}

// A record says at which store the objects are. Another store, or none, is an error of that torrent alone.
func TestObjectsOfAnotherStoreAreAnErrorOfTheTorrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		spec, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		local, _ := folder(t, ShareOptions{}, map[string]int{"local": 1000})
		local.Persistent = true
		b := newBucket(t)
		b.put(dir, "data/")
		a, end := b.start(n, 1, "data", noDHT)
		a.add(local)
		awaitPhase(t, a.add(Spec{Torrent: spec.Torrent, Objects: true, Persistent: true}), lifecycle.Seeding)
		end()
		for _, c := range []struct {
			name, prefix, says string
		}{
			{"another store", "other", "that of this node is s3://bucket/other"},
			{"no store", "", "this node has none"},
			{"the store", "data", ""},
		} {
			opts := []func(*Config){noDHT, state(a.state)}
			if c.prefix == "" {
				a = start(t, n, 1, opts...)
				end = a.close
			} else {
				a, end = b.start(n, 1, c.prefix, opts...)
			}
			if err := a.Restore(t.Context()); err != nil {
				t.Fatal(c.name, err)
			}
			awaitPhase(t, a.Torrent(local.InfoHash()), lifecycle.Seeding)
			x := a.Torrent(spec.InfoHash())
			if c.says == "" {
				awaitPhase(t, x, lifecycle.Seeding)
			} else {
				awaitPhase(t, x, lifecycle.Failed)
				if err := x.Snapshot().Paused; err == nil || !strings.Contains(err.Error(), "s3://bucket/data") || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s: %v", c.name, err)
				}
			}
			end()
		}
	})
}

// A torrent with an object that is missing fails, and goes on when it is there and the torrent is rechecked.
func TestAMissingObjectIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		spec, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		b := newBucket(t)
		b.put(dir, "data/")
		whole := b.Get("data/things/a.bin")
		b.Put("data/things/a.bin", whole[1:])
		a, end := b.start(n, 1, "data", noDHT)
		defer end()
		x := a.add(Spec{Torrent: spec.Torrent, Objects: true, Persistent: true})
		awaitPhase(t, x, lifecycle.Missing)
		var f *Fault
		if err := x.Snapshot().Paused; !errors.As(err, &f) || f.Kind != FaultIncomplete {
			t.Fatal(err)
		}
		b.Put("data/things/a.bin", whole)
		if err := settled(x, x.Recheck(t.Context())); err != nil {
			t.Fatal(err)
		}
		awaitPhase(t, x, lifecycle.Seeding)
		download(t, n, 2, spec, 1, dir)
	})
}

// A paused torrent that lacks an object does not become complete because the store cannot be asked.
func TestARecheckWhileTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		spec, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		b := newBucket(t)
		b.put(dir, "data/")
		b.Remove("data/things/a.bin")
		a, end := b.start(n, 1, "data", noDHT)
		defer end()
		x := a.add(Spec{Torrent: spec.Torrent, Objects: true, Persistent: true})
		awaitPhase(t, x, lifecycle.Missing)
		if err := settled(x, x.Pause(t.Context())); err != nil {
			t.Fatal(err)
		}
		b.SetDown(true)
		if err := settled(x, x.Recheck(t.Context())); err != nil {
			t.Fatal(err)
		}
		if x.WasComplete() || !strings.Contains(a.warnings(), "cannot check the files of things: list s3://bucket/data/") {
			t.Errorf("complete %v; %s", x.WasComplete(), a.warnings())
		}
	})
}

// The metadata of a magnet link comes from peers, and the files from the store.
func TestAMagnetLinkWithObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		spec, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		b := newBucket(t)
		b.put(dir, "data/")
		peer := start(t, n, 2, noDHT)
		peer.add(spec)
		a, end := b.start(n, 1, "data", noDHT)
		defer end()
		x := a.add(Spec{Link: withPeers(spec, at(2).String()), Objects: true, Persistent: true})
		awaitPhase(t, x, lifecycle.Seeding)
		peer.close()
		if s := x.Snapshot(); s.Downloaded != 0 {
			t.Errorf("%d bytes were downloaded from peers", s.Downloaded)
		}
		download(t, n, 3, spec, 1, dir)
	})
}

// Operations that would change the objects are refused, and removing the torrent leaves them alone.
func TestObjectsAreOnlyRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		spec, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		b := newBucket(t)
		b.put(dir, "data/")
		a, end := b.start(n, 1, "data", noDHT)
		defer end()
		x := a.add(Spec{Torrent: spec.Torrent, Objects: true, Persistent: true})
		awaitPhase(t, x, lifecycle.Seeding)
		ctx := t.Context()
		for what, err := range map[string]error{
			"move":     x.Move(ctx, t.TempDir()),
			"folder":   x.SetFolder(ctx, t.TempDir()),
			"files":    x.SetFiles(ctx, []int{1}),
			"rename":   x.Rename(ctx, Renaming{From: "things/c.txt", To: "things/d.txt"}),
			"priority": x.SetPriority(ctx, PriorityHigh, []int{1}),
		} {
			var f *Fault
			if !errors.As(err, &f) || f.Kind != FaultUsage || !strings.Contains(err.Error(), "are objects in s3://bucket/data, so they cannot") {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := x.RenameTorrent(ctx, "shown"); err != nil || x.Name() != "shown" {
			t.Errorf("%s: %v", x.Name(), err)
		}
		if err := a.Remove(context.Background(), x.InfoHash(), true); err != nil {
			t.Fatal(err)
		}
		wait(t, x.Ended(), time.Minute, "removed")
		if want, _ := os.ReadFile(filepath.Join(dir, "a.bin")); !bytes.Equal(b.Get("data/things/a.bin"), want) {
			t.Error("the removal has changed an object")
		}
	})
}

// A download into the store ends when all objects are there, and is then shared from them. Before, it goes on after a
// restart, and a removal leaves no local data behind.
func TestADownloadIntoTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms, Rate: 200_000})
		spec, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		b := newBucket(t)
		source := start(t, n, 2, noDHT)
		source.add(spec)
		a, end := b.start(n, 1, "data", noDHT)
		link := withPeers(spec, at(2).String())
		x := a.add(Spec{Link: link, Objects: true, Upload: true, Persistent: true})
		awaitPhase(t, x, lifecycle.Downloading)
		time.Sleep(time.Second)
		if b.Get("data/things/sub/b.bin") != nil {
			t.Fatal("an object is there before its file is complete")
		}
		end()

		a, end = b.start(n, 1, "data", noDHT, state(a.state))
		if err := a.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		x = a.Torrent(spec.InfoHash())
		wait(t, x.Done(), time.Minute, "downloaded into the store")
		source.close()
		for path, data := range filetest.Tree(t, dir) {
			if got := b.Get("data/things/" + path); got == nil || !bytes.Equal(got, data) {
				t.Errorf("%s is %d bytes in the store", path, len(got))
			}
		}
		if left := filetest.Entries(t, filepath.Join(b.cache, "staging")); len(left) > 0 {
			t.Errorf("%v is left of the download", left)
		}
		download(t, n, 3, spec, 1, dir)
		end()
	})
}

// While the store is away, nothing is known about what it has: the download begins when it is back.
func TestADownloadIntoAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		spec, _ := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		b := newBucket(t)
		b.SetDown(true)
		start(t, n, 2, noDHT).add(spec)
		a, end := b.start(n, 1, "data", noDHT)
		defer end()
		x := a.add(Spec{Link: withPeers(spec, at(2).String()), Objects: true, Upload: true, Persistent: true})
		time.Sleep(30 * time.Second)
		if x.WasComplete() || !strings.Contains(a.warnings(), "s3://bucket/data") {
			t.Errorf("complete %v; %s", x.WasComplete(), a.warnings())
		}
		b.SetDown(false)
		wait(t, x.Done(), 5*time.Minute, "downloaded into the store")
		if b.Get("data/things/a.bin") == nil {
			t.Error("it is not there")
		}
	})
}

// What was downloaded, and is not in the store yet, goes with the torrent.
func TestARemovedDownloadLeavesNoLocalData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms, Rate: 200_000})
		spec, _ := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		b := newBucket(t)
		start(t, n, 2, noDHT).add(spec)
		a, end := b.start(n, 1, "data", noDHT)
		defer end()
		x := a.add(Spec{Link: withPeers(spec, at(2).String()), Objects: true, Upload: true, Persistent: true})
		awaitPhase(t, x, lifecycle.Downloading)
		time.Sleep(time.Second)
		staging := filepath.Join(b.cache, "staging")
		if len(filetest.Entries(t, staging)) != 1 {
			t.Error("there is no local data")
		}
		if err := a.Remove(t.Context(), x.InfoHash(), false); err != nil {
			t.Fatal(err)
		}
		wait(t, x.Ended(), time.Minute, "removed")
		if left := filetest.Entries(t, staging); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	})
}
