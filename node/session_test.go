package node

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/node/lifecycle"
)

// torrentOf returns the torrent of a spec.
func (r *rig) torrentOf(s Spec) *Torrent {
	r.t.Helper()
	t := r.Torrent(s.InfoHash())
	if t == nil {
		r.t.Fatalf("%s is not there", s.Name())
	}
	return t
}

func kept(s Spec) Spec {
	s.Persistent = true
	return s
}

// reachesPhase waits until a torrent is in a phase.
func reachesPhase(t testing.TB, x *Torrent, p lifecycle.Phase) {
	t.Helper()
	for range 6000 {
		if x.Snapshot(); x.Phase() == p {
			return
		}
		time.Sleep(10 * ms)
	}
	t.Fatalf("%s is %v, not %v: %+v", x.Name(), x.Phase(), p, x.Snapshot())
}

// Everything that a restart needs is in the record: whether a torrent runs, is paused or
// parked, its folder, selection, labels and limits, in queue order. A torrent that is not
// in the session does not come back.
func TestRestoreTakesUpTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(51, simnet.Link{Delay: 20 * ms})
		whole1, _ := folder(t, ShareOptions{}, small)
		seed := start(t, n, 9, noDHT)
		seed.add(whole1)
		a := start(t, n, 1, noDHT)
		byLink := kept(Spec{Link: withPeers(whole1, at(9).String()), Dir: t.TempDir(), Labels: []string{"tv"}, UpRate: 1000})
		got := a.add(byLink)
		wait(t, got.Done(), time.Minute, "the download")
		specs := many(t, 4)
		for i := range specs {
			specs[i].Persistent = i < 3
			whole(t, a.add(specs[i]))
		}
		if err := a.torrentOf(specs[1]).Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p := a.torrentOf(specs[1]).Phase(); p != lifecycle.Paused {
			t.Errorf("paused it is %v", p)
		}
		if err := a.torrentOf(specs[2]).SetLabels(t.Context(), []string{"x", "y"}); err != nil {
			t.Fatal(err)
		}
		a.close()

		b := start(t, n, 2, noDHT, state(a.state))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		var order []string
		for _, x := range b.Torrents() {
			order = append(order, x.Name())
		}
		if want := []string{"things", "0", "1", "2"}; !slices.Equal(order, want) {
			t.Fatalf("restored %v, not %v", order, want)
		}
		again := b.torrentOf(byLink)
		whole(t, again)
		if s := again.spec(); s.Dir != byLink.Dir || s.UpRate != 1000 || !slices.Equal(again.Labels(), []string{"tv"}) {
			t.Errorf("restored as %+v", s)
		}
		if s := again.Snapshot(); s.ToCheck != 0 {
			t.Errorf("%d bytes were hashed again", s.ToCheck)
		}
		reachesPhase(t, b.torrentOf(specs[0]), lifecycle.Seeding)
		paused := b.torrentOf(specs[1])
		reachesPhase(t, paused, lifecycle.Paused)
		if s := paused.Snapshot(); !s.Complete || s.Size != 20_000 {
			t.Errorf("paused it shows %+v", s.Stats)
		}
		if !slices.Equal(b.torrentOf(specs[2]).Labels(), []string{"x", "y"}) {
			t.Error("labels are forgotten")
		}
		if err := paused.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		reachesPhase(t, paused, lifecycle.Seeding)
		// Another process does not have it.
		c := start(t, n, 3, noDHT, state(a.state))
		if err := c.Restore(t.Context()); !errors.Is(err, ErrNoSession) {
			t.Errorf("two processes run one session: %v", err)
		}
	})
}

// One record that is damaged, by a byte or a cut, affects at most its torrent and is
// reported with its path. No file of the user is touched.
func TestADamagedRecordCostsOneTorrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(52, simnet.Link{Delay: 20 * ms})
		specs := many(t, 3)
		a := start(t, n, 1, noDHT)
		for _, s := range specs {
			whole(t, a.add(kept(s)))
		}
		a.close()
		files := filetest.Tree(t, specs[0].Dir)
		path := filepath.Join(a.state, "torrents", specs[1].InfoHash().String(), "record")
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lost := 0
		for k := 0; k < len(good); k += 7 {
			bad := bytes.Clone(good)
			if bad[k] ^= 0x10; k%2 == 0 {
				bad = good[:k]
			}
			filetest.Write(t, path, bad)
			b := start(t, n, 1, noDHT, state(a.state))
			err := b.Restore(t.Context())
			var damaged *DamagedError
			if errors.As(err, &damaged) {
				lost++
				if damaged.Path != path || damaged.Hint() == "" {
					t.Errorf("%v, %q", damaged, damaged.Hint())
				}
			} else if err != nil {
				t.Error(err)
			}
			for _, i := range []int{0, 2} {
				whole(t, b.torrentOf(specs[i]))
			}
			b.close()
			filetest.Write(t, path, good)
		}
		if lost < 5 {
			t.Errorf("only %d damaged records were found out", lost)
		}
		if !maps.EqualFunc(files, filetest.Tree(t, specs[0].Dir), bytes.Equal) {
			t.Error("files of the user were touched")
		}
	})
}

// Remove with data deletes only what the torrent has written, even if the torrent
// is paused.
func TestRemoveWithDataDeletesWhatIsOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(53, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		seedOf(t, n, 9, spec)
		for _, pause := range []bool{false, true} {
			a := start(t, n, 1, noDHT)
			to := t.TempDir()
			x := a.add(kept(Spec{Link: withPeers(spec, at(9).String()), Dir: to}))
			wait(t, x.Done(), time.Minute, "the download")
			if pause {
				if err := x.Pause(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			filetest.Write(t, filepath.Join(to, "things", "mine.txt"), []byte("of the user"))
			if err := a.Remove(t.Context(), spec.InfoHash(), true); err != nil {
				t.Fatal(err)
			}
			if left := filetest.Names(filetest.Tree(t, to)); !slices.Equal(left, []string{"things/mine.txt"}) {
				t.Errorf("left: %v", left)
			}
			if left, err := os.ReadDir(filepath.Join(a.state, "torrents")); err != nil || len(left) != 0 {
				t.Errorf("left in the state directory: %v, %v", left, err)
			}
			if err := x.Pause(t.Context()); !errors.Is(err, ErrEnded) {
				t.Errorf("pausing a removed torrent: %v", err)
			}
			a.close()
		}
	})
}

// Move moves the files to another folder, within a file system and across, running and
// paused. If it fails, the files stay. The torrent continues in both cases.
func TestMoveTakesTheFilesElsewhere(t *testing.T) {
	for name, rename := range map[string]func(string, string) error{
		"within": nil,
		"across": func(string, string) error { return syscall.EXDEV },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(54, simnet.Link{Delay: 20 * ms})
				spec, dir := folder(t, ShareOptions{}, small)
				seedOf(t, n, 9, spec)
				a := start(t, n, 1, noDHT, func(c *Config) { c.rename = rename })
				from, to, third := t.TempDir(), filepath.Join(t.TempDir(), "new"), t.TempDir()
				x := a.add(kept(Spec{Link: withPeers(spec, at(9).String()), Dir: from}))
				wait(t, x.Done(), time.Minute, "the download")
				if err := x.Move(t.Context(), to); err != nil {
					t.Fatal(err)
				}
				filetest.Same(t, dir, filepath.Join(to, "things"))
				if left := filetest.Names(filetest.Tree(t, from)); len(left) != 0 {
					t.Errorf("left: %v", left)
				}
				reachesPhase(t, x, lifecycle.Seeding)
				if s := x.Snapshot(); s.ToCheck != 0 {
					t.Errorf("%d bytes were hashed again", s.ToCheck)
				}
				if err := x.Pause(t.Context()); err != nil {
					t.Fatal(err)
				}
				filetest.Write(t, filepath.Join(third, "things", "a.bin"), []byte("in the way"))
				var f *Fault
				if err := x.Move(t.Context(), third); !errors.As(err, &f) || f.Kind != FaultExists {
					t.Errorf("moved over a foreign file: %v", err)
				}
				filetest.Same(t, dir, filepath.Join(to, "things"))
				if err := os.RemoveAll(filepath.Join(third, "things")); err != nil {
					t.Fatal(err)
				}
				if err := x.Move(t.Context(), third); err != nil {
					t.Fatal(err)
				}
				filetest.Same(t, dir, filepath.Join(third, "things"))
				if p := x.Phase(); p != lifecycle.Paused {
					t.Errorf("a paused torrent that was moved is %v", p)
				}
				a.close()
				b := start(t, n, 2, noDHT, state(a.state))
				if err := b.Restore(t.Context()); err != nil {
					t.Fatal(err)
				}
				y := b.torrentOf(spec)
				if err := y.Resume(t.Context()); err != nil {
					t.Fatal(err)
				}
				reachesPhase(t, y, lifecycle.Seeding)
			})
		})
	}
}

// Recheck finds changed data, which is downloaded again.
func TestRecheckFindsWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(55, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{PieceLength: 16 << 10}, small)
		seedOf(t, n, 9, spec)
		a := start(t, n, 1, noDHT)
		to := t.TempDir()
		x := a.add(kept(Spec{Link: withPeers(spec, at(9).String()), Dir: to}))
		wait(t, x.Done(), time.Minute, "the download")
		if err := x.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(to, "things", "a.bin")
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copy(b, "changed behind our back")
		filetest.Write(t, path, b)
		if err := os.Chtimes(path, time.Time{}, fi.ModTime()); err != nil { // so that the time does not show the change
			t.Fatal(err)
		}
		if err := x.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := x.awaitRest(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := x.Snapshot(); x.Phase() != lifecycle.Paused || s.Complete {
			t.Errorf("after the check it is %v and complete: %v", x.Phase(), s.Complete)
		}
		if err := x.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		reachesPhase(t, x, lifecycle.Seeding)
		filetest.Same(t, dir, filepath.Join(to, "things"))
	})
}

// The selection of files changes while a torrent runs, and existing data stays.
func TestSetFilesWhileItRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(56, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{PieceLength: 16 << 10}, small)
		seedOf(t, n, 9, spec)
		a := start(t, n, 1, noDHT)
		to := t.TempDir()
		l := withPeers(spec, at(9).String())
		l.Select = []magnet.Range{{First: 0, Last: 0}}
		x := a.add(kept(Spec{Link: l, Dir: to}))
		wait(t, x.Done(), time.Minute, "the first file")
		if now := filetest.Names(filetest.Tree(t, to)); len(now) != 1 {
			t.Fatal(now)
		}
		if err := x.SetFiles(t.Context(), []int{1, 99}); err == nil {
			t.Error("a file that is not there was selected")
		}
		if err := x.SetFiles(t.Context(), []int{1, 4}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if now := filetest.Names(filetest.Tree(t, to)); len(now) != 2 || x.Phase() != lifecycle.Seeding {
			t.Errorf("%v, %v", now, x.Phase())
		}
		if err := x.SetFiles(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		filetest.Same(t, dir, filepath.Join(to, "things"))
		a.close()
		b := start(t, n, 2, noDHT, state(a.state))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		whole(t, b.torrentOf(spec))
		if s := b.torrentOf(spec).Snapshot(); s.Wanted != s.Size {
			t.Errorf("restored with %d bytes wanted of %d", s.Wanted, s.Size)
		}
	})
}

// A torrent of the session whose data is missing stays in phase Missing and comes back when
// the data does.
func TestMissingDataWaitsForResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(57, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, noDHT)
		whole(t, a.add(kept(spec)))
		a.close()
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		b := start(t, n, 2, noDHT, state(a.state))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		x := b.torrentOf(spec)
		reachesPhase(t, x, lifecycle.Missing)
		if s := x.Snapshot(); s.Paused == nil {
			t.Error("nothing says why")
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		if err := x.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		reachesPhase(t, x, lifecycle.Seeding)
		if s := x.Snapshot(); s.Paused != nil {
			t.Errorf("it still shows %v", s.Paused)
		}
	})
}
