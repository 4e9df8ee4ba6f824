package node

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/node/lifecycle"
)

// rename renames a folder.
func rename(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// The data of a torrent that downloads or seeds is taken away and put back: the folder of the
// torrent, the download folder, or the download folder with an empty one in its place, as when a disk
// is unmounted. Meanwhile the torrent is Missing, shows what it had and writes nothing. Then it goes on
// by itself and hashes nothing. This holds while the node runs and over a restart.
func TestMissingDataHeals(t *testing.T) {
	for name, take := range map[string]func(t *testing.T, dir string) (back func()){
		"folder of the torrent": func(t *testing.T, dir string) func() {
			away := filepath.Join(t.TempDir(), "away")
			rename(t, filepath.Join(dir, "things"), away)
			return func() { rename(t, away, filepath.Join(dir, "things")) }
		},
		"download folder": func(t *testing.T, dir string) func() {
			away := filepath.Join(t.TempDir(), "away")
			rename(t, dir, away)
			return func() { rename(t, away, dir) }
		},
		"disk": func(t *testing.T, dir string) func() {
			away := filepath.Join(t.TempDir(), "away")
			rename(t, dir, away)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			return func() {
				if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
					t.Errorf("something was written into the empty folder: %v, %v", left, err)
				}
				if err := os.Remove(dir); err != nil {
					t.Fatal(err)
				}
				rename(t, away, dir)
			}
		},
	} {
		for _, restart := range []bool{false, true} {
			for _, complete := range []bool{false, true} {
				t.Run(name+map[bool]string{true: ", restart"}[restart]+map[bool]string{true: ", complete"}[complete], func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { missingDataHeals(t, take, restart, complete) })
				})
			}
		}
	}
}

func missingDataHeals(t *testing.T, take func(*testing.T, string) func(), restart, complete bool) {
	n := simnet.New(71, simnet.Link{Delay: 20 * ms})
	files := map[string]int{"a.bin": 900_000, "sub/b.bin": 1_500_000, "c.txt": 10, "d/e": 700_000}
	spec, content := folder(t, ShareOptions{PieceLength: 16 << 10}, files)
	seedOf(t, n, 9, spec)
	a := start(t, n, 1, noDHT)
	dir := filepath.Join(t.TempDir(), "data")
	s := Spec{Link: withPeers(spec, at(9).String()), Dir: dir}
	if !complete {
		s.DownRate = 20_000
	}
	x := a.add(inSession(s))
	if complete {
		wait(t, x.Done(), time.Minute, "the download")
	}
	time.Sleep(time.Minute)
	if restart {
		a.close()
	}
	had := x.Snapshot()
	if had.HaveWanted < 500_000 || had.Complete != complete {
		t.Fatalf("it has %d bytes, complete: %v", had.HaveWanted, had.Complete)
	}
	back := take(t, dir)
	if restart {
		a = start(t, n, 1, noDHT, state(a.state))
		if err := a.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		x = a.torrentOf(spec)
	}
	time.Sleep(2 * shareEvery)
	record, err := os.ReadFile(x.state.resumePath())
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Minute)
	var f *Fault
	v := x.Snapshot()
	if p := x.Phase(); p != lifecycle.Missing || !errors.As(v.Paused, &f) || f.Kind != FaultMissing || f.Hint() == "" {
		t.Fatalf("it is %v: %v", p, v.Paused)
	}
	if v.HaveWanted < had.HaveWanted || v.Complete != had.Complete || v.Size != had.Size {
		t.Errorf("it shows %+v, not %+v", v.Stats, had.Stats)
	}
	if now, err := os.ReadFile(x.state.resumePath()); err != nil || !bytes.Equal(now, record) {
		t.Errorf("the resume record has changed: %v", err)
	}
	failures := 0
	for _, e := range a.allEvents() {
		if e.Kind == Failed {
			failures++
		}
	}
	if failures != 1 {
		t.Errorf("%d failures were reported", failures)
	}
	if err := settled(x, x.Move(t.Context(), t.TempDir())); !errors.As(err, &f) || f.Kind != FaultMissing {
		t.Errorf("a move of missing data: %v", err)
	}
	back()
	time.Sleep(shareEvery + time.Second)
	if p := x.Phase(); p != lifecycle.Seeding && p != lifecycle.Downloading {
		t.Fatalf("when the data is back it is %v: %v", p, x.Snapshot().Paused)
	}
	if v := x.Snapshot(); v.ToCheck > 300_000 || complete && v.ToCheck > 0 { // what was not yet synced
		t.Errorf("%d bytes were hashed again", v.ToCheck)
	}
	x.SetRates(0, 0)
	wait(t, x.Done(), 10*time.Minute, "the rest")
	if err := settled(x, x.Pause(t.Context())); err != nil {
		t.Fatal(err)
	}
	filetest.Same(t, content, filepath.Join(dir, "things"))
}

// Recheck accepts that the data is gone: it is downloaded again.
func TestRecheckOfMissingDataDownloadsItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(72, simnet.Link{Delay: 20 * ms})
		spec, content := folder(t, ShareOptions{}, small)
		seedOf(t, n, 9, spec)
		a := start(t, n, 1, noDHT)
		dir := t.TempDir()
		x := a.add(inSession(Spec{Link: withPeers(spec, at(9).String()), Dir: dir}))
		wait(t, x.Done(), time.Minute, "the download")
		time.Sleep(time.Minute)
		if err := os.RemoveAll(filepath.Join(dir, "things")); err != nil {
			t.Fatal(err)
		}
		if err := settled(x, x.Pause(t.Context())); err != nil {
			t.Fatal(err)
		}
		if err := x.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		reachesPhase(t, x, lifecycle.Missing)
		if err := x.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		reachesPhase(t, x, lifecycle.Seeding)
		filetest.Same(t, content, filepath.Join(dir, "things"))
	})
}

// However many torrents lack their data, a folder that does not change costs one stat at each look.
func TestAMissingFolderCostsOneStat(t *testing.T) {
	const torrents = 1000 / scale
	specs := many(t, torrents)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(73, simnet.Link{Delay: 20 * ms})
		dir := specs[0].Dir
		a := start(t, n, 1, noDHT)
		for i := range specs {
			s := inSession(Spec{Torrent: specs[i].Torrent, Dir: dir})
			path := filepath.Join(dir, s.Name())
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[19_999] ^= 1 // one of two pieces is wrong, so that it is not parked
			filetest.Write(t, path, b)
			a.add(s)
		}
		time.Sleep(time.Minute)
		a.close()
		away := dir + ".away"
		rename(t, dir, away)
		var stats atomic.Int64
		b := start(t, n, 1, noDHT, state(a.state), func(c *Config) {
			c.stat = func(path string) (fs.FileInfo, error) {
				stats.Add(1)
				return os.Stat(path)
			}
		})
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		count := func(p lifecycle.Phase) (n int) {
			for _, x := range b.Torrents() {
				if x.Phase() == p {
					n++
				}
			}
			return n
		}
		time.Sleep(time.Minute)
		if got := count(lifecycle.Missing); got != torrents {
			t.Fatalf("%d of %d are missing", got, torrents)
		}
		before := stats.Load()
		time.Sleep(100 * shareEvery)
		if got := stats.Load() - before; got < 99 || got > 101 {
			t.Errorf("%d stats in 100 looks", got)
		}
		rename(t, away, dir)
		time.Sleep(shareEvery + time.Second)
		if got := count(lifecycle.Downloading); got != torrents {
			t.Errorf("%d of %d run again", got, torrents)
		}
	})
}

// A torrent that has downloaded nothing yet does not fill the folder in which its disk would be
// mounted.
func TestNothingIsDownloadedWithoutTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(74, simnet.Link{Delay: 20 * ms})
		spec, content := folder(t, ShareOptions{}, small)
		seedOf(t, n, 9, spec)
		disk := filepath.Join(t.TempDir(), "disk")
		var mounted atomic.Bool
		mounts := func(c *Config) {
			c.mountOf = func(path string) string {
				if mounted.Load() && strings.HasPrefix(path, disk) {
					return disk
				}
				return "/"
			}
		}
		mount := func(is bool) { // the folder is another one each time
			if err := os.MkdirAll(disk, 0o755); err != nil {
				t.Fatal(err)
			}
			rename(t, disk, filepath.Join(t.TempDir(), "old"))
			if err := os.Mkdir(disk, 0o755); err != nil {
				t.Fatal(err)
			}
			mounted.Store(is)
		}
		mount(true)
		a := start(t, n, 1, noDHT, mounts)
		dir := filepath.Join(disk, "films")
		a.add(inSession(Spec{Torrent: spec.Torrent, Dir: dir, Peers: []string{at(9).String()}, Paused: true}))
		a.close()
		mount(false)
		b := start(t, n, 1, noDHT, mounts, state(a.state))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		x := b.torrentOf(spec)
		if err := x.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if p := x.Phase(); p != lifecycle.Missing {
			t.Fatalf("without the disk it is %v", p)
		}
		if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
			t.Errorf("something was written: %v, %v", left, err)
		}
		mount(true)
		time.Sleep(missingEvery * shareEvery)
		reachesPhase(t, x, lifecycle.Seeding)
		filetest.Same(t, content, filepath.Join(dir, "things"))

		// While it runs and has nothing yet, the disk is unmounted.
		y := b.add(inSession(Spec{Link: &magnet.Link{InfoHash: id.ID{9}, HasInfoHash: true}, Dir: disk}))
		z := b.add(inSession(Spec{Torrent: many(t, 1)[0].Torrent, Dir: disk}))
		time.Sleep(2 * shareEvery)
		if p := z.Phase(); p != lifecycle.Downloading {
			t.Fatalf("with the disk it is %v", p)
		}
		mount(false)
		time.Sleep(2 * shareEvery)
		if p, q := y.Phase(), z.Phase(); p != lifecycle.Metadata || q != lifecycle.Missing {
			t.Errorf("without the disk they are %v and %v", p, q)
		}
	})
}

// The folder in which a file system is mounted is found above folders that do not exist, too.
func TestMountOf(t *testing.T) {
	dir := t.TempDir()
	m := mountOf(dir)
	if m == "" {
		t.Skip("this system does not tell")
	}
	if deeper := mountOf(filepath.Join(dir, "no", "such")); deeper != m || !strings.HasPrefix(dir, m) {
		t.Errorf("%s and %s for %s", m, deeper, dir)
	}
	if m := mountOf("/proc/self"); runtime.GOOS == "linux" && m != "/proc" {
		t.Errorf("/proc is mounted in %s", m)
	}
}

// Parked torrents whose download folder disappears, or is replaced by the empty one in which its disk
// was mounted, become Missing and are not announced. They go on when it is back, and hash nothing. A
// folder that does not change costs one stat at each look, however many torrents are parked in it.
func TestParkedTorrentsBecomeMissing(t *testing.T) {
	for _, isMount := range []bool{false, true} {
		const torrents = parkBeyond + 40
		specs := many(t, torrents)
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(75, simnet.Link{Delay: 20 * ms})
			ring(t, n, 3)
			dir := specs[0].Dir
			var stats atomic.Int64
			a := start(t, n, 1, boot(100), func(c *Config) {
				c.stat = func(path string) (fs.FileInfo, error) {
					stats.Add(1)
					return os.Stat(path)
				}
			})
			for _, s := range specs {
				a.add(inSession(s))
			}
			time.Sleep(10 * time.Minute)
			count := func(p lifecycle.Phase) (n int) {
				for _, x := range a.Torrents() {
					if x.Phase() == p {
						n++
					}
				}
				return n
			}
			if got := count(lifecycle.Parked); got < torrents-parkBeyond || a.Announcing().Torrents != torrents {
				t.Fatalf("%d are parked, %d announced", got, a.Announcing().Torrents)
			}
			before := stats.Load()
			time.Sleep(100 * shareEvery)
			if got := stats.Load() - before; got < 99 || got > 101 {
				t.Errorf("%d stats in 100 looks", got)
			}
			away := dir + ".away"
			rename(t, dir, away)
			if isMount {
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(2 * shareEvery)
			if got := count(lifecycle.Missing); got != torrents || a.Announcing().Torrents != 0 {
				t.Errorf("without the folder %d are missing, %d announced", got, a.Announcing().Torrents)
			}
			if isMount {
				if err := os.Remove(dir); err != nil {
					t.Fatal(err)
				}
			}
			rename(t, away, dir)
			time.Sleep(time.Minute)
			if got := count(lifecycle.Parked) + count(lifecycle.Seeding); got != torrents || a.Announcing().Torrents != torrents {
				t.Errorf("with the folder %d are shared, %d announced", got, a.Announcing().Torrents)
			}
			for _, x := range a.Torrents() {
				if s := x.Snapshot(); s.ToCheck > 0 || !s.Complete {
					t.Fatalf("%d bytes were hashed", s.ToCheck)
				}
			}
		})
	}
}
