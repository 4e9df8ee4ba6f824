package node

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
)

// A torrent with Cache downloads nothing before it is read, and then only the file that is read. It
// is not listed and has no events.
func TestACacheFetchesOnlyWhatIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(71, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		spec, _ := film(t)
		start(t, n, 1, noDHT).add(spec)
		b := start(t, n, 2, noDHT)
		events := b.Subscribe()
		defer events.Close()
		x := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir(), ReadAhead: 1 << 20, Cache: true})
		wait(t, x.Named(), time.Minute, "the metadata")
		time.Sleep(time.Minute)
		if have := x.Snapshot().Have; have > 0 || len(b.Torrents()) > 0 {
			t.Errorf("%d bytes were downloaded, %d torrents are listed", have, len(b.Torrents()))
		}
		got, err := readPart(t, x, 1, 0, 0)
		if err != nil || !bytes.Equal(got, filetest.RandomBytes("notes.txt", 1000)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		time.Sleep(time.Minute)
		if have := x.Snapshot().Have; have > 1<<20 {
			t.Errorf("%d bytes were downloaded for a small file", have)
		}
		for _, e := range events.Take() {
			if e.InfoHash == x.InfoHash() {
				t.Errorf("event %d", e.Kind)
			}
		}
	})
}

// Adding the torrent of a cache elsewhere replaces the cache, and leaves its data alone. A second
// cache is refused.
func TestACacheGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(72, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		spec, want := film(t)
		start(t, n, 1, noDHT).add(spec)
		b := start(t, n, 2, noDHT)
		copies, own := t.TempDir(), t.TempDir()
		cached := Spec{Link: withPeers(spec, at(1).String()), Dir: copies, ReadAhead: 1 << 20, Cache: true}
		x := b.add(cached)
		wait(t, x.Named(), time.Minute, "the metadata")
		if _, err := readPart(t, x, 0, 0, 1<<20); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Add(cached); err != ErrDuplicate {
			t.Errorf("a second cache: %v", err)
		}
		y := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: own, Persistent: true})
		wait(t, x.Ended(), time.Minute, "the end of the cache")
		wait(t, y.Done(), time.Minute, "the download")
		if b.Torrent(x.InfoHash()) != y || len(b.Torrents()) != 1 {
			t.Error("the cache is still there")
		}
		name := filepath.Join(spec.Torrent.Info.Name, "film.mkv")
		if got, err := os.ReadFile(filepath.Join(own, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if left, err := os.ReadDir(copies); err != nil || len(left) == 0 {
			t.Errorf("the copies: %v, %v", left, err)
		}
	})
}
