package gateway

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
)

// The publisher pushes a new version to the gateway, which serves it within a second, without a request
// that asks for it. Files that the new version has in common with the old one are not fetched again.
func TestNewVersionsArePushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(84, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		pub, a, dir := newPublisher(t, n, 1).publish(1, map[string]int{"index.html": 3000, "images/large.png": 900_000})
		reader := nodetest.Start(t, n, 2, nodetest.Boot(100))
		time.Sleep(10 * time.Second)
		l := openLibrary(t, Config{Node: reader.Node, Dir: t.TempDir()})
		if _, _, err := read(t, l, a, "images/large.png"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(freshFor / 3)

		filetest.Write(t, filepath.Join(dir, "index.html"), []byte("second"))
		if _, err := pub.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		got, v, err := read(t, l, a, "index.html")
		if err != nil || v.Seq != 2 || string(got) != "second" {
			t.Fatalf("%.20q, %+v, %v", got, v, err)
		}
		large, v, err := read(t, l, a, "images/large.png")
		if err != nil || v.Seq != 2 || !bytes.Equal(large, filetest.RandomBytes("images/large.pngb", 900_000)) {
			t.Fatalf("%d bytes, %+v, %v", len(large), v, err)
		}
		if fetched := reader.Torrent(v.InfoHash).Snapshot().Downloaded; fetched > 100_000 {
			t.Errorf("%d bytes were fetched for a change of 6", fetched)
		}
	})
}

// If versions are pushed fast, the gateway opens five at once, and then the newest one every two seconds.
func TestPushesOpenFewCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(89, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		_, a, _ := newPublisher(t, n, 1).publish(1, map[string]int{"index.html": 3000})
		l := openLibrary(t, Config{Node: nodetest.Start(t, n, 2, nodetest.Boot(100)).Node, Dir: t.TempDir()})
		if _, _, err := read(t, l, a, "index.html"); err != nil {
			t.Fatal(err)
		}
		l.mu.Lock()
		s := l.site(a)
		l.mu.Unlock()
		secret := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
		const pushes = 80
		for k := range byte(pushes) { // eight a second, as one peer may send
			item, err := dht.SignItem(secret, nil, int64(k)+2, (&mutable.Version{InfoHash: id.ID{1, k}}).Value())
			if err != nil {
				t.Fatal(err)
			}
			s.queue.Put(item)
			time.Sleep(time.Second / 8)
		}
		time.Sleep(2 * time.Second)
		l.copies.mu.Lock()
		defer l.copies.mu.Unlock()
		if got := len(l.copies.held); got > 1+node.ItemBurst+12*node.ItemRate+1 {
			t.Errorf("%d copies after %d pushes in 10 seconds", got, pushes)
		}
		if l.copies.held[id.ID{1, pushes - 1}] == nil {
			t.Error("the newest version is not looked for")
		}
	})
}

// After a restart, the gateway serves the last version at once, also if no node answers, and never an
// older one, even if that is all that the DHT has.
func TestARestartServesNothingOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(86, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		p := newPublisher(t, n, 1)
		pub, a, dir := p.publish(1, map[string]int{"index.html": 3000})
		items, err := p.node.Items()
		if err != nil {
			t.Fatal(err)
		}
		old, err := items.Get(t.Context(), dht.ItemTarget(a.Key, nil), nil, nil)
		if err != nil || old.Item == nil {
			t.Fatal(old, err)
		}
		filetest.Write(t, filepath.Join(dir, "index.html"), []byte("second"))
		if _, err := pub.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		cfg := Config{Dir: t.TempDir()}
		state := t.TempDir()
		first := nodetest.Start(t, n, 2, nodetest.Boot(100), nodetest.State(state))
		time.Sleep(10 * time.Second)
		cfg.Node = first.Node
		if got, v, err := read(t, openLibrary(t, cfg), a, "index.html"); err != nil || v.Seq != 2 || string(got) != "second" {
			t.Fatalf("%.20q, %+v, %v", got, v, err)
		}
		first.Close()

		// A network of its own, where someone has put the old item again.
		other := simnet.New(87, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, other, 12)
		replayer := nodetest.Start(t, other, 1, nodetest.Boot(100))
		again, err := replayer.Items()
		if err != nil {
			t.Fatal(err)
		}
		if put, err := again.Put(t.Context(), *old.Item, nil); err != nil || put.Stored == 0 {
			t.Fatal(put, err)
		}
		second := nodetest.Start(t, other, 2, nodetest.Boot(100), nodetest.State(state))
		cfg.Node = second.Node
		l := openLibrary(t, cfg)
		began := time.Now()
		for range 3 {
			v, done, err := l.Newest(t.Context(), a, client)
			if err != nil || v.Seq != 2 {
				t.Fatalf("%+v, %v", v, err)
			}
			f, err := v.Tree.Open(t.Context(), "index.html")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(f); err != nil || string(got) != "second" {
				t.Errorf("%.20q, %v", got, err)
			}
			f.Close()
			done()
			if waited := time.Since(began); waited > staleWait {
				t.Errorf("the answer took %v", waited)
			}
			time.Sleep(2 * freshFor)
			began = time.Now()
		}
		second.Close()

		cfg.Node = nodetest.Start(t, simnet.New(88, simnet.Link{Delay: 20 * ms}), 2, nodetest.Boot(100), nodetest.State(state)).Node
		began = time.Now()
		v, done, err := openLibrary(t, cfg).Newest(t.Context(), a, client)
		if err != nil || v.Seq != 2 || time.Since(began) > staleWait {
			t.Fatalf("without the DHT: %+v, %v after %v", v, err, time.Since(began))
		}
		done()
	})
}

// An earlier version has an address of its own, which is found by the item of the newest one.
func TestEarlierVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(88, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		p := newPublisher(t, n, 1)
		pub, a, dir := p.publish(1, map[string]int{"index.html": 3000})
		reader := nodetest.Start(t, n, 2, nodetest.Boot(100))
		time.Sleep(10 * time.Second)
		l := openLibrary(t, Config{Node: reader.Node, Dir: t.TempDir(), Allow: AllowList{a: true}.Allows})
		at := func(number int64) Address {
			a := a
			a.Number = number
			return a
		}
		var second id.ID
		for range 2 {
			_, v, err := read(t, l, a, "index.html")
			if err != nil {
				t.Fatal(err)
			}
			second = v.InfoHash
			filetest.Write(t, filepath.Join(dir, "index.html"), []byte(fmt.Sprintf("after %v", time.Now())))
			if _, err := pub.Update(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if _, v, err := read(t, l, at(3), "index.html"); err != nil || v.Seq != 3 || v.Alone != at(3) {
			t.Fatalf("%+v, %v", v, err)
		}
		if got, v, err := read(t, l, at(1), "index.html"); err != nil || v.Seq != 1 || v.Alone != at(1) || len(got) != 3000 {
			t.Errorf("%.20q, %+v, %v", got, v, err)
		}
		if err := errors.Join(reader.Remove(t.Context(), second, true), p.node.Close(t.Context())); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		var f *Failure
		if _, _, err := l.Newest(t.Context(), at(2), client); !errors.As(err, &f) || f.Code != 504 {
			t.Errorf("a version that nobody has: %v", err)
		}
		if _, _, err := l.Newest(t.Context(), at(4), client); !errors.As(err, &f) || f.Code != 404 {
			t.Errorf("a version that does not exist: %v", err)
		}
		if l.lookups.taken() != 0 {
			t.Errorf("%d lookups are counted", l.lookups.taken())
		}
	})
}

// An earlier version that the node shares as an Archive is read from there. The Archive does not end, also
// when a copy of an earlier run is deleted.
func TestEarlierVersionsOfAnArchive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(91, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		nodetest.Ring(t, n, 12)
		p := newPublisher(t, n, 1)
		pub, a, dir := p.publish(1, map[string]int{"index.html": 300_000})
		first := p.node.Torrent(pub.Outcome().InfoHash).Info()
		kept := t.TempDir()
		if err := os.CopyFS(filepath.Join(kept, "site"), os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		filetest.Write(t, filepath.Join(dir, "index.html"), []byte("second"))
		if _, err := pub.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		reader := nodetest.Start(t, n, 2, nodetest.Boot(100))
		archive, err := reader.AddArchive(&metainfo.Torrent{Info: first}, kept, nil)
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{Node: reader.Node, Dir: t.TempDir(), CacheSize: 1 << 20}
		filetest.Write(t, filepath.Join(cfg.Dir, recordName), fmt.Appendf(nil, `{"%v":{"size":%d}}`, first.Hash, 2<<20))
		l := openLibrary(t, cfg)
		time.Sleep(3 * sweepEvery)
		if archive.HasEnded() {
			t.Error("the archive has ended with the copy of an earlier run")
		}
		a.Number = 1
		for range 2 {
			got, v, err := read(t, l, a, "index.html")
			if err != nil || v.Seq != 1 || !bytes.Equal(got, filetest.RandomBytes("index.htmlb", 300_000)) {
				t.Errorf("%d bytes, %+v, %v", len(got), v, err)
			}
			time.Sleep(pauseAfter + 2*sweepEvery)
		}
		if archive.HasEnded() {
			t.Error("the archive has ended because it was read")
		}
	})
}
