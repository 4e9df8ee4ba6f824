package node

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
)

// An Archive without files sends the metadata with the piece layers, and nothing else. It is parked until
// a peer connects and after that, is not listed, and has no events.
func TestAnArchiveSharesMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(81, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		ring(t, n, 6)
		spec, _ := folder(t, ShareOptions{PieceLength: 64 << 10, Format: metainfo.Hybrid}, map[string]int{"film.mkv": 1 << 20, "notes.txt": 1000})
		a := start(t, n, 1, boot(100))
		events := a.Subscribe()
		defer events.Close()
		archive, err := a.AddArchive(spec.Torrent, "", []int{})
		if err != nil {
			t.Fatal(err)
		}
		isParked := func() bool {
			x := archive.torrent
			return x.run.Load() == nil && x.info.Load() == nil && x.control.spec.Torrent == nil
		}
		if !isParked() || a.Torrent(spec.InfoHash()) != nil || len(a.Torrents()) > 0 {
			t.Errorf("parked: %v; the node has %v and lists %d", isParked(), a.Torrent(spec.InfoHash()), len(a.Torrents()))
		}
		time.Sleep(time.Minute) // it is announced
		b := start(t, n, 2, boot(101))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		info, err := b.Inspect(ctx, bare(spec), nil, func(Snapshot) {})
		if err != nil || info.HashV2 != spec.Torrent.Info.HashV2 || info.LacksLayers() {
			t.Fatalf("%v, %v", info, err)
		}
		if isParked() {
			t.Error("it was not woken")
		}
		time.Sleep(5 * time.Minute)
		if !isParked() {
			t.Error("it was not parked again")
		}
		if err := archive.Remove(t.Context()); err != nil || !archive.HasEnded() {
			t.Errorf("ended: %v, %v", archive.HasEnded(), err)
		}
		if left, _ := os.ReadDir(filepath.Join(a.StateDir(), "torrents")); len(left) > 0 {
			t.Errorf("%v is left in the state directory", left)
		}
		for _, e := range events.Take() {
			if e.InfoHash == spec.InfoHash() {
				t.Errorf("event %d", e.Kind)
			}
		}
	})
}

// BEP 33: an Archive is announced as a seed only if it has all files, also after it has run.
func TestAnArchiveIsASeedOnlyWithAllFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(83, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		ring(t, n, 6)
		a, b := start(t, n, 1, boot(100)), start(t, n, 2, boot(101))
		for _, c := range []struct {
			name  string
			files []int
			seeds int
		}{{"all", nil, 1}, {"no", []int{}, 0}, {"some", []int{2}, 0}} {
			spec, _ := folder(t, ShareOptions{Format: metainfo.V2}, map[string]int{c.name: 100_000, "z": 1000})
			if _, err := a.AddArchive(spec.Torrent, spec.Dir, c.files); err != nil {
				t.Fatal(err)
			}
			count := func() dht.Scrape {
				time.Sleep(time.Minute)
				r, err := b.dht.GetPeers(t.Context(), spec.InfoHash(), true, nil)
				if err != nil {
					t.Fatal(err)
				}
				return r.Scrape
			}
			if s := count(); s.Seeds != c.seeds || s.Peers != 1-c.seeds {
				t.Errorf("with %s files it is counted as %+v", c.name, s)
			}
			if _, err := b.Inspect(t.Context(), bare(spec), nil, func(Snapshot) {}); err != nil { // wakes it
				t.Fatal(err)
			}
			if s := count(); s.Seeds != c.seeds || s.Peers != 1-c.seeds {
				t.Errorf("with %s files it is counted as %+v after a wake", c.name, s)
			}
		}
	})
}

// An Archive sends its files, and gives way to a torrent that is added later. One whose files are damaged
// ends when a peer asks.
func TestAnArchiveSharesFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(82, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		spec, dir := folder(t, ShareOptions{PieceLength: 64 << 10, Format: metainfo.V2}, map[string]int{"a": 1 << 20, "b": 100_000})
		a, b := start(t, n, 1, noDHT), start(t, n, 2, noDHT)
		archive, err := a.AddArchive(spec.Torrent, spec.Dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.AddArchive(spec.Torrent, spec.Dir, nil); err != ErrDuplicate {
			t.Errorf("a second one: %v", err)
		}
		x := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
		wait(t, x.Done(), time.Minute, "the download")
		y := a.add(Spec{Torrent: spec.Torrent, Dir: spec.Dir, Seed: true})
		wait(t, y.Done(), time.Minute, "the torrent")
		if !archive.HasEnded() || a.Torrent(y.InfoHash()) != y {
			t.Error("the archive is still there")
		}
		if err := archive.Remove(t.Context()); err != nil || a.Torrent(y.InfoHash()) != y {
			t.Errorf("the torrent has gone with the archive: %v", err)
		}

		c, d := start(t, n, 3, noDHT), start(t, n, 4, noDHT)
		if archive, err = c.AddArchive(spec.Torrent, spec.Dir, nil); err != nil {
			t.Fatal(err)
		}
		if err := y.node.Remove(t.Context(), y.InfoHash(), false); err != nil {
			t.Fatal(err)
		}
		filetest.Write(t, filepath.Join(dir, "a"), filetest.RandomBytes("other", 1<<20))
		z := d.add(Spec{Link: withPeers(spec, at(3).String()), Dir: t.TempDir()})
		time.Sleep(time.Minute)
		if have := z.Snapshot().Have; have > 0 || !archive.HasEnded() {
			t.Errorf("ended: %v; %d bytes of damaged files were sent", archive.HasEnded(), have)
		}
	})
}
