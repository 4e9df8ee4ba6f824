package node

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/journal"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/node/lifecycle"
	"seedbed/swarm/storage"
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

func inSession(s Spec) Spec {
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
		byLink := inSession(Spec{Link: withPeers(whole1, at(9).String()), Dir: t.TempDir(), Labels: []string{"tv"}, UpRate: 1000})
		got := a.add(byLink)
		wait(t, got.Done(), time.Minute, "the download")
		specs := many(t, 4)
		for i := range specs {
			specs[i].Persistent = i < 3
			awaitComplete(t, a.add(specs[i]))
		}
		if err := settled(a.torrentOf(specs[1]), a.torrentOf(specs[1]).Pause(t.Context())); err != nil {
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
		awaitComplete(t, again)
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
			awaitComplete(t, a.add(inSession(s)))
		}
		a.close()
		files := filetest.Tree(t, specs[0].Dir)
		path := filepath.Join(a.state, "session")
		session, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		good := []byte(recordOf(t, a.state, specs[1].InfoHash()))
		lost := 0
		for k := 1; k < len(good); k += 7 {
			bad := bytes.Clone(good)
			if bad[k] ^= 0x10; k%2 == 0 {
				bad = good[:k]
			}
			setRecord(t, a.state, specs[1].InfoHash(), bad)
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
				awaitComplete(t, b.torrentOf(specs[i]))
			}
			b.close()
			filetest.Write(t, path, session)
		}
		if lost < 5 {
			t.Errorf("only %d damaged records were found out", lost)
		}
		if !maps.EqualFunc(files, filetest.Tree(t, specs[0].Dir), bytes.Equal) {
			t.Error("files of the user were touched")
		}
	})
}

// setRecord changes the record of a torrent in a state directory that no node uses.
func setRecord(t *testing.T, state string, hash id.ID, record []byte) {
	t.Helper()
	j, err := journal.Open(filepath.Join(state, "session"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Put(hash, record), j.Close()); err != nil {
		t.Fatal(err)
	}
}

// A record whose summary lacks the infohash is not damaged: the torrent starts from its metadata.
func TestARecordWithoutASummaryIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(57, simnet.Link{Delay: 20 * ms})
		spec := many(t, 1)[0]
		a := start(t, n, 1, noDHT)
		awaitComplete(t, a.add(inSession(spec)))
		a.close()
		record := []byte(recordOf(t, a.state, spec.InfoHash()))
		older := bytes.Replace(record, []byte(`"v1":`), []byte(`"hash":`), 1)
		if bytes.Equal(older, record) {
			t.Fatalf("%s", record)
		}
		setRecord(t, a.state, spec.InfoHash(), older)
		b := start(t, n, 1, noDHT, state(a.state))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitComplete(t, b.torrentOf(spec))
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
			x := a.add(inSession(Spec{Link: withPeers(spec, at(9).String()), Dir: to}))
			wait(t, x.Done(), time.Minute, "the download")
			if pause {
				if err := settled(x, x.Pause(t.Context())); err != nil {
					t.Fatal(err)
				}
			}
			filetest.Write(t, filepath.Join(to, "things", "mine.txt"), []byte("of the user"))
			if err := settled(x, a.Remove(t.Context(), spec.InfoHash(), true)); err != nil {
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
				x := a.add(inSession(Spec{Link: withPeers(spec, at(9).String()), Dir: from}))
				wait(t, x.Done(), time.Minute, "the download")
				if err := settled(x, x.Move(t.Context(), to)); err != nil {
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
				if err := settled(x, x.Pause(t.Context())); err != nil {
					t.Fatal(err)
				}
				filetest.Write(t, filepath.Join(third, "things", "a.bin"), []byte("in the way"))
				var f *Fault
				if err := settled(x, x.Move(t.Context(), third)); !errors.As(err, &f) || f.Kind != FaultExists {
					t.Errorf("moved over a foreign file: %v", err)
				}
				filetest.Same(t, dir, filepath.Join(to, "things"))
				if err := os.RemoveAll(filepath.Join(third, "things")); err != nil {
					t.Fatal(err)
				}
				if err := settled(x, x.Move(t.Context(), third)); err != nil {
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

// SetFolder uses files that another program has moved: nothing is hashed if they are as the record
// says, and what is not so is. A folder without the files is refused, and the old folder is left alone.
func TestSetFolderUsesFilesThatWereMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(57, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{}, small)
		seedOf(t, n, 9, spec)
		a := start(t, n, 1, noDHT)
		from, to, copies := t.TempDir(), t.TempDir(), t.TempDir()
		x := a.add(inSession(Spec{Link: withPeers(spec, at(9).String()), Dir: from}))
		wait(t, x.Done(), time.Minute, "the download")
		var f *Fault
		if err := settled(x, x.SetFolder(t.Context(), to)); !errors.As(err, &f) || f.Kind != FaultUsage {
			t.Errorf("an empty folder: %v", err)
		}
		if d := x.Details().Dir; d != from {
			t.Errorf("after a refusal the folder is %s", d)
		}
		if err := settled(x, x.Pause(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(from, "things"), filepath.Join(to, "things")); err != nil {
			t.Fatal(err)
		}
		if err := settled(x, x.SetFolder(t.Context(), to)); err != nil {
			t.Fatal(err)
		}
		if p := x.Phase(); p != lifecycle.Paused {
			t.Errorf("it was paused and is %v", p)
		}
		if err := x.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		reachesPhase(t, x, lifecycle.Seeding)
		if s := x.Snapshot(); s.ToCheck != 0 || x.Details().Dir != to {
			t.Errorf("%d bytes were hashed again in %s", s.ToCheck, x.Details().Dir)
		}
		// Copies with other times are hashed while it runs; the old files stay.
		if err := os.CopyFS(copies, os.DirFS(to)); err != nil {
			t.Fatal(err)
		}
		changed, err := os.ReadFile(filepath.Join(to, "things", "a.bin"))
		if err != nil {
			t.Fatal(err)
		}
		changed[0]++
		filetest.Write(t, filepath.Join(copies, "things", "a.bin"), changed)
		if err := settled(x, x.SetFolder(t.Context(), copies)); err != nil {
			t.Fatal(err)
		}
		reachesPhase(t, x, lifecycle.Seeding)
		filetest.Same(t, dir, filepath.Join(copies, "things"))
		filetest.Same(t, dir, filepath.Join(to, "things"))
		a.close()
		b := start(t, n, 2, noDHT, state(a.state))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		y := b.torrentOf(spec)
		reachesPhase(t, y, lifecycle.Seeding)
		if d := y.Details().Dir; d != copies {
			t.Errorf("after a restart the folder is %s", d)
		}
	})
}

// Recheck finds changed data, which is downloaded again.
func TestRecheckFindsWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(55, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{PieceLength: 16 << 10}, small)
		seedOf(t, n, 9, spec)
		a := start(t, n, 1, noDHT)
		to := t.TempDir()
		x := a.add(inSession(Spec{Link: withPeers(spec, at(9).String()), Dir: to}))
		wait(t, x.Done(), time.Minute, "the download")
		if err := settled(x, x.Pause(t.Context())); err != nil {
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
		if err := x.Settled(t.Context()); err != nil {
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
		x := a.add(inSession(Spec{Link: l, Dir: to}))
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
		awaitComplete(t, b.torrentOf(spec))
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
		awaitComplete(t, a.add(inSession(spec)))
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

// Restore deletes what a kill in the middle of Add has left, and nothing that another process
// uses or has saved.
func TestRestoreDeletesUnfinishedTorrents(t *testing.T) {
	dir := t.TempDir()
	folder := func(digit string, files ...string) string {
		path := filepath.Join(dir, "torrents", strings.Repeat(digit, 40))
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(path, f), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return path
	}
	gone := []string{folder("1"), folder("2", "lock"), folder("3", "lock", "torrent"), folder("4", "lock", ".seedbed-1.tmp")}
	stays := []string{folder("a", "lock", "resume"), folder("b", "lock", "peers"), folder("c", "lock", "note"), folder("d", "lock", "torrent")}
	used, err := lockFolder(stays[3], ErrLocked)
	if err != nil {
		t.Fatal(err)
	}
	defer used.Release()
	n, err := Open(Config{State: dir, NoDHT: true, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	if err := n.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range gone {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s stays: %v", filepath.Base(path)[:1], err)
		}
	}
	for _, path := range stays {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

// Data that the disk does not let us hash stays, and so does the torrent: a move that left it
// behind would download it again.
func TestMoveFailsIfTheDataCannotBeHashed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(55, simnet.Link{})
		spec, dir := folder(t, ShareOptions{}, small)
		failures := 0
		var handles *storage.Handles
		a := start(t, n, 1, noDHT, func(c *Config) {
			c.openDisk = func(dir string, create bool) (storage.Disk, error) {
				if failures > 0 {
					failures--
					return nil, syscall.EIO
				}
				return storage.SystemDisk(dir, create, handles)
			}
		})
		handles = a.handles
		added := inSession(Spec{Torrent: spec.Torrent, Dir: filepath.Dir(dir)})
		added.Paused = true
		x := a.add(added)
		failures = 1
		to := t.TempDir()
		if err := settled(x, x.Move(t.Context(), to)); !errors.Is(err, syscall.EIO) {
			t.Errorf("moving data that cannot be hashed: %v", err)
		}
		if now := x.Details().Dir; now != filepath.Dir(dir) {
			t.Errorf("the torrent is in %s and its data is not", now)
		}
		if err := settled(x, x.Move(t.Context(), to)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(to, "things")); err != nil {
			t.Error(err)
		}
	})
}

// While a move is under way, its files may be in both folders, so another target is refused. The
// operations return although the disk of the data hangs.
func TestOperationsDoNotWaitForTheData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(56, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		seedOf(t, n, 9, spec)
		d := newDisks()
		a := start(t, n, 1, noDHT, d.on)
		from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
		x := a.add(inSession(Spec{Link: withPeers(spec, at(9).String()), Dir: from}))
		wait(t, x.Done(), time.Minute, "the download")
		release := d.hang(from)
		for _, op := range []func() error{
			func() error { return x.Move(t.Context(), to) },
			func() error { return x.Move(t.Context(), to) },
			func() error { return x.Pause(t.Context()) },
			func() error { return x.Recheck(t.Context()) },
			func() error { return x.Resume(t.Context()) },
			func() error { return a.Remove(t.Context(), spec.InfoHash(), false) },
		} {
			if x.Details().MoveTo != "" {
				var f *Fault
				if err := x.Move(t.Context(), from+"2"); !errors.As(err, &f) || f.Kind != FaultUsage {
					t.Errorf("two targets at once: %v", err)
				}
			}
			if err := op(); err != nil {
				t.Error(err)
			}
		}
		if len(a.Torrents()) > 0 || a.Torrent(spec.InfoHash()) != nil {
			t.Errorf("being removed it is listed: %d torrents", len(a.Torrents()))
		}
		added := make(chan error, 1)
		go func() {
			_, err := a.Add(inSession(Spec{Link: withPeers(spec, at(9).String()), Dir: from}))
			added <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := x.Settled(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the disk hangs, and everything is done: %v", err)
		}
		release()
		if err := x.Settled(t.Context()); err != nil {
			t.Errorf("the disk works: %v", err)
		}
		if err := <-added; err != nil {
			t.Errorf("adding it again after the removal: %v", err)
		}
	})
}
