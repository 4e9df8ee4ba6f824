package node

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// stored returns the names of the files below a folder.
func stored(t *testing.T, dir string) []string {
	t.Helper()
	names := filetest.Names(filetest.Tree(t, dir))
	slices.Sort(names)
	return names
}

func (r *rig) restart(n *simnet.Net, num int) *rig {
	r.t.Helper()
	r.close()
	next := start(r.t, n, num, noDHT, state(r.state))
	if err := next.Restore(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return next
}

// A torrent, a folder and a file in it are renamed while it downloads, while it seeds and while it is
// paused, and all that follows uses the new names: a restart, a recheck, a move and a removal with
// the data. Nothing is downloaded twice.
func TestRenameInEveryPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(7, simnet.Link{Delay: 20 * ms, Rate: 200_000})
		spec, _ := folder(t, ShareOptions{}, small)
		seeder := start(t, n, 1, noDHT)
		awaitComplete(t, seeder.add(spec))
		a := start(t, n, 2, noDHT)
		dir := t.TempDir()
		x := a.add(Spec{Link: withPeers(spec, at(1).String()), Dir: dir, Persistent: true})
		if err := x.RenameFile(t.Context(), "c.txt", "d.txt"); err != ErrNoMetadata {
			t.Error("without metadata:", err)
		}
		if err := x.RenameTorrent(t.Context(), "early"); err != nil || x.Name() != "early" || x.Root() != "" {
			t.Error("without metadata:", err, x.Name(), x.Root())
		}
		wait(t, x.Named(), time.Minute, "the metadata")
		for x.Phase() != lifecycle.Downloading || x.Snapshot().Have == 0 {
			time.Sleep(10 * ms)
		}
		if err := settled(x, x.RenameFile(t.Context(), "sub/b.bin", "c.bin")); err != nil || x.Phase() != lifecycle.Downloading {
			t.Error("while it downloads:", err, x.Phase())
		}
		if err := settled(x, x.RenameTorrent(t.Context(), "mine")); err != nil || x.Name() != "mine" || x.Root() != "mine" {
			t.Error("while it downloads:", err, x.Name(), x.Root())
		}
		if x.IsComplete() {
			t.Fatal("it was complete too early")
		}
		awaitComplete(t, x)
		want := []string{"mine/a.bin", "mine/c.txt", "mine/empty", "mine/sub/c.bin"}
		if got := stored(t, dir); !slices.Equal(got, want) {
			t.Fatalf("%v, not %v", got, want)
		}
		if got := x.FilePaths(); !slices.Contains(got, "sub/c.bin") || slices.Contains(got, "sub/b.bin") {
			t.Error(got)
		}
		if d := x.Snapshot().Downloaded; d > 1_000_000 {
			t.Errorf("%d bytes were downloaded", d)
		}
		if err := settled(x, x.RenameFile(t.Context(), "sub", "/deep/down")); err != nil || x.Phase() != lifecycle.Seeding {
			t.Error("while it seeds:", err, x.Phase())
		}
		if err := x.RenameFile(t.Context(), "c.txt", "a.bin"); KindOf(err) != FaultExists {
			t.Error("onto another file:", err)
		}
		if err := x.RenameFile(t.Context(), "c.txt", "../x"); KindOf(err) != FaultUsage {
			t.Error("out of the torrent:", err)
		}
		if err := settled(x, x.Pause(t.Context())); err != nil {
			t.Fatal(err)
		}
		filetest.Write(t, filepath.Join(dir, "mine/foreign"), []byte("foreign"))
		if err := settled(x, x.RenameFile(t.Context(), "c.txt", "foreign")); KindOf(err) != FaultExists {
			t.Error("onto a foreign file:", err)
		}
		if err := settled(x, x.RenameTorrent(t.Context(), "other")); err != nil || x.Phase() != lifecycle.Paused {
			t.Error("while it is paused:", err, x.Phase())
		}
		want = []string{"mine/foreign", "other/a.bin", "other/c.txt", "other/deep/down/c.bin", "other/empty"}
		if got := stored(t, dir); !slices.Equal(got, want) {
			t.Fatalf("%v, not %v", got, want)
		}
		a = a.restart(n, 3)
		x = a.Torrent(spec.InfoHash())
		if x.Name() != "other" || x.Root() != "other" || x.Phase() != lifecycle.Paused {
			t.Error("after a restart:", x.Name(), x.Root(), x.Phase())
		}
		if err := settled(x, x.Resume(t.Context())); err != nil {
			t.Fatal(err)
		}
		awaitComplete(t, x)
		if err := settled(x, x.Recheck(t.Context())); err != nil {
			t.Fatal(err)
		}
		awaitComplete(t, x)
		to := t.TempDir()
		if err := settled(x, x.Move(t.Context(), to)); err != nil {
			t.Fatal(err)
		}
		awaitComplete(t, x)
		if got := stored(t, to); len(got) != 4 || got[0] != "other/a.bin" {
			t.Errorf("moved: %v", got)
		}
		if d := x.Snapshot().Downloaded; d > 0 {
			t.Errorf("%d bytes were downloaded again", d)
		}
		if err := settled(x, a.Remove(t.Context(), spec.InfoHash(), true)); err != nil {
			t.Fatal(err)
		}
		if got := stored(t, to); len(got) > 0 {
			t.Errorf("removed: %v", got)
		}
	})
}

// A rename that was requested before a kill is performed by the next Restore, and one that was also
// performed is not repeated.
func TestARenameIsPerformedAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(8, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, noDHT)
		spec.Persistent, spec.Seed = true, false
		x := a.add(spec)
		awaitComplete(t, x)
		if err := settled(x, x.Pause(t.Context())); err != nil {
			t.Fatal(err)
		}
		for k, c := range [][2]string{{"a.bin", "b.bin"}, {"c.txt", "a.txt"}} {
			r := Renaming{From: "things/" + c[0], To: "things/" + c[1]}
			x.control.mu.Lock() // as if the process ended here
			x.control.editSpec(func(s *Spec) { s.setNaming(Naming{Pending: []Renaming{r}}) })
			x.control.mu.Unlock()
			if err := x.save(); err != nil {
				t.Fatal(err)
			}
			if k == 1 {
				if err := x.renameClosed(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			a = a.restart(n, 2+k)
			x = a.Torrent(spec.InfoHash())
			if err := x.Settled(t.Context()); err != nil || a.warnings() != "" {
				t.Error(err, a.warnings())
			}
			if got := stored(t, filepath.Dir(dir)); !slices.Contains(got, "things/"+c[1]) || slices.Contains(got, "things/"+c[0]) {
				t.Error(got)
			}
		}
		if err := settled(x, x.Resume(t.Context())); err != nil {
			t.Fatal(err)
		}
		awaitComplete(t, x)
	})
}

// A file that another torrent uses too keeps its name.
func TestRenameSparesOtherTorrents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(9, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{}, small)
		second, err := Share(t.Context(), dir, ShareOptions{PieceLength: 64 << 10})
		if err != nil || second.InfoHash() == spec.InfoHash() {
			t.Fatal(err)
		}
		a := start(t, n, 1, noDHT)
		spec.Persistent, second.Persistent, spec.Seed, second.Seed = true, true, false, false
		x, y := a.add(spec), a.add(second)
		awaitComplete(t, x)
		awaitComplete(t, y)
		before := stored(t, dir)
		if err := settled(x, x.RenameFile(t.Context(), "a.bin", "z.bin")); KindOf(err) != FaultBusy {
			t.Error(err)
		}
		if err := settled(x, x.RenameTorrent(t.Context(), "z")); KindOf(err) != FaultBusy || x.Name() != "things" {
			t.Error(err, x.Name())
		}
		if got := stored(t, dir); !slices.Equal(got, before) {
			t.Error(got)
		}
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	})
}
