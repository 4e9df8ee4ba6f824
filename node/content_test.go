package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
)

// seedOf returns a node that seeds a folder without a DHT.
func seedOf(t testing.TB, n *simnet.Net, num int, s Spec) *rig {
	r := start(t, n, num, noDHT)
	r.add(s)
	return r
}

// failed waits for the fault that ends a torrent.
func (r *rig) failed(kind FaultKind) {
	r.t.Helper()
	e := r.await(Failed, time.Minute)
	var f *Fault
	if !errors.As(e.Err, &f) || f.Kind != kind || f.Hint() == "" {
		r.t.Errorf("failed with %v (%+v)", e.Err, f)
	}
	failed := r.added[e.InfoHash]
	wait(r.t, failed.Ended(), time.Minute, "a failed torrent ends")
	if s := failed.Snapshot(); s.State != lifecycle.Ended || s.Connected != 0 {
		r.t.Errorf("%+v", s)
	}
}

// With MetadataOnly, the node writes only a .torrent file, and the torrent ends.
func TestMetadataOnlyWritesTheTorrentFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(11, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		seedOf(t, n, 1, spec)
		b := start(t, n, 2, noDHT)
		to := filepath.Join(t.TempDir(), "new", "folder")
		only := Spec{Link: withPeers(spec, at(1).String()), Dir: to, MetadataOnly: true}
		got := b.add(only)
		wait(t, got.Done(), time.Minute, "the .torrent file")
		files := filetest.Tree(t, to)
		if ns := filetest.Names(files); !slices.Equal(ns, []string{"things.torrent"}) {
			t.Fatal(ns)
		}
		torrent, err := metainfo.ParseTorrent(files["things.torrent"])
		if err != nil || torrent.Info.Hash != spec.InfoHash() {
			t.Errorf("%v", err)
		}
		wait(t, got.Ended(), time.Second, "the torrent ends with that")
		if ks := b.kinds(); !slices.Equal(ks, []EventKind{Added, Metadata, Removed}) {
			t.Errorf("events: %v", ks)
		}

		// It is not overwritten by default.
		path := filepath.Join(to, "things.torrent")
		filetest.Write(t, path, []byte("something else"))
		b.add(only)
		b.failed(FaultExists)
		if now, err := os.ReadFile(path); err != nil || string(now) != "something else" {
			t.Errorf("the file is %q, %v", now, err)
		}
		only.Overwrite = true
		wait(t, b.add(only).Done(), time.Minute, "the .torrent file")
		if now := filetest.Tree(t, to); len(now) != 1 || len(now["things.torrent"]) != len(files["things.torrent"]) {
			t.Errorf("%v", filetest.Names(now))
		}
	})
}

// Data to be seeded is verified; incomplete data is an error at once.
func TestSeedVerifiesAndDoesNotWait(t *testing.T) {
	for name, damage := range map[string]func(file string) error{
		"complete": func(string) error { return nil },
		"damaged":  func(f string) error { return os.WriteFile(f, make([]byte, 300_000), 0o644) },
		"short":    func(f string) error { return os.Truncate(f, 299_999) },
		"missing":  os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(12, simnet.Link{Delay: 20 * ms})
				spec, dir := folder(t, ShareOptions{}, small)
				if err := damage(filepath.Join(dir, "a.bin")); err != nil {
					t.Fatal(err)
				}
				before := filetest.Names(filetest.Tree(t, filepath.Dir(dir)))
				b := start(t, n, 2, noDHT)
				got := b.add(Spec{Torrent: spec.Torrent, Dir: filepath.Dir(dir), Seed: true})
				if name == "complete" {
					wait(t, got.Done(), time.Second, "the data is verified")
				} else {
					b.failed(FaultIncomplete)
				}
				if after := filetest.Names(filetest.Tree(t, filepath.Dir(dir))); !slices.Equal(before, after) {
					t.Errorf("seeding changed %v to %v", before, after)
				}
			})
		})
	}
}

// With a selection, no other files appear in the folder.
func TestOnlySelectedFilesAppear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(13, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{}, small)
		want := filetest.Tree(t, dir)
		var order []string // a.bin, c.txt, empty, sub/b.bin
		for _, f := range spec.Torrent.Info.Files {
			order = append(order, filepath.ToSlash(filepath.Join(f.Path...)))
		}
		seedOf(t, n, 1, spec)
		link := withPeers(spec, at(1).String())
		link.Select = []magnet.Range{{First: 0, Last: 1}}
		for i, c := range []struct {
			spec Spec
			want []string
		}{
			{Spec{Link: link}, order[:2]},
			{Spec{Link: link, Select: []int{4}}, order[3:]},
			{Spec{Link: link, Select: []int{3, 1}}, []string{order[0], order[2]}},
		} {
			b := start(t, n, 2+i, noDHT)
			c.spec.Dir = t.TempDir()
			got := b.add(c.spec)
			wait(t, got.Done(), time.Minute, "the selected files")
			files := filetest.Tree(t, filepath.Join(c.spec.Dir, "things"))
			if ns := filetest.Names(files); !slices.Equal(ns, c.want) {
				t.Errorf("%v, not %v", ns, c.want)
			}
			for name, data := range files {
				if string(data) != string(want[name]) {
					t.Errorf("%s differs", name)
				}
			}
			b.close()
			if ns := filetest.Names(filetest.Tree(t, c.spec.Dir)); len(ns) != len(c.want) {
				t.Errorf("left behind: %v", ns)
			}
		}
		b := start(t, n, 9, noDHT)
		b.add(Spec{Link: link, Dir: t.TempDir(), Select: []int{5}})
		e := b.await(Failed, time.Minute)
		if want := "file 5 was selected, but things has 4 files"; e.Err.Error() != want {
			t.Errorf("%v, not %s", e.Err, want)
		}
	})
}

// An existing file is not touched, whether it is noticed when the storage is opened or
// when a small file gets its final name.
func TestAForeignFileIsNotTouched(t *testing.T) {
	for name, content := range map[string][]byte{
		"a.bin": filetest.RandomBytes("foreign", 300_000),
		"c.txt": []byte("0123456789"),
		"empty": []byte("not so empty"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(14, simnet.Link{Delay: 20 * ms})
				spec, dir := folder(t, ShareOptions{}, small)
				seedOf(t, n, 1, spec)
				b := start(t, n, 2, noDHT)
				to := t.TempDir()
				foreign := filepath.Join(to, "things", name)
				filetest.Write(t, foreign, content)
				get := Spec{Link: withPeers(spec, at(1).String()), Dir: to}
				got := b.add(get)
				b.failed(FaultExists)
				if now, err := os.ReadFile(foreign); err != nil || string(now) != string(content) {
					t.Errorf("%s was changed: %v", name, err)
				}
				select {
				case <-got.Done():
					t.Error("done although it failed")
				default:
				}
				get.Overwrite = true
				wait(t, b.add(get).Done(), time.Minute, "the download")
				filetest.Same(t, dir, filepath.Join(to, "things"))
			})
		})
	}
}

// If two nodes with two state directories download one torrent into one folder, the second
// gets an error. When the first is done, the second may seed the data.
func TestTwoNodesDoNotWriteTheSameFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(15, simnet.Link{Delay: 20 * ms, Rate: 100e3})
		spec, dir := folder(t, ShareOptions{PieceLength: 16 << 10}, small)
		seedOf(t, n, 1, spec)
		to := t.TempDir()
		get := Spec{Link: withPeers(spec, at(1).String()), Dir: to}
		a, b := start(t, n, 2, noDHT), start(t, n, 3, noDHT)
		got := a.add(get)
		a.await(FirstPiece, time.Minute)
		b.add(get)
		b.failed(FaultBusy)
		wait(t, got.Done(), time.Minute, "the first download")
		filetest.Same(t, dir, filepath.Join(to, "things"))
		wait(t, b.add(get).Done(), time.Minute, "the second finds the existing data")
	})
}
