package node

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/node/lifecycle"
)

// A held torrent neither runs nor is announced, in whatever phase it was, and goes on when it
// is released. Operations do not start it.
func TestAHeldTorrentWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(61, simnet.Link{Delay: 20 * ms})
		ring(t, n, 3)
		spec, _ := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, boot(100))
		x := a.add(inSession(spec))
		awaitComplete(t, x)
		wait(t, x.Announced(), time.Minute, "the announce")
		held := func(when string) {
			t.Helper()
			if err := x.Settled(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if p := x.Phase(); p != lifecycle.Queued || x.run.Load() != nil || a.Announcing().Torrents != 0 {
				t.Errorf("%s: it is %v, with %d announced", when, p, a.Announcing().Torrents)
			}
			if s := x.Snapshot(); !s.Complete || s.Size != spec.Torrent.Info.Payload() {
				t.Errorf("%s: it shows %+v", when, s.Stats)
			}
		}
		x.Hold()
		held("held")
		if err := x.Recheck(t.Context()); err != nil {
			t.Fatal(err)
		}
		held("checked")
		if err := settled(x, x.Move(t.Context(), filepath.Join(t.TempDir(), "other"))); err != nil {
			t.Fatal(err)
		}
		held("moved")
		b := start(t, n, 2, noDHT)
		y := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
		held("called")
		if s := y.Snapshot(); s.Metadata {
			t.Error("a held torrent serves its metadata")
		}
		if err := settled(x, x.Pause(t.Context())); err != nil {
			t.Fatal(err)
		}
		reachesPhase(t, x, lifecycle.Paused)
		if err := x.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		held("resumed")
		x.Release()
		reachesPhase(t, x, lifecycle.Seeding)
		wait(t, y.Done(), 10*time.Minute, "the download of a peer that called before")
		filetest.Same(t, filepath.Join(x.Details().Dir, "things"), filepath.Join(y.Details().Dir, "things"))
		x.Hold()
		a.close()
	})
}

// With Config.Held, every torrent of the session that would start waits instead, after Add and
// after Restore. It shows what it has, and neither opens a file nor keeps its metadata.
func TestTheSessionStartsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(62, simnet.Link{Delay: 20 * ms})
		holds := func(c *Config) { c.Held, c.NoDHT = true, true }
		specs := many(t, 3)
		one, _ := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, holds)
		for i := range specs {
			specs[i].Persistent, specs[i].Paused = true, i == 2
			a.add(specs[i])
		}
		part := inSession(Spec{Torrent: one.Torrent, Dir: t.TempDir(), Select: []int{1}})
		a.add(part)
		link := a.add(inSession(Spec{Link: &magnet.Link{InfoHash: id.ID{7}, HasInfoHash: true}, Dir: t.TempDir()}))
		free := a.add(Spec{Link: &magnet.Link{InfoHash: id.ID{8}, HasInfoHash: true}, Dir: t.TempDir()})
		i, _ := one.Torrent.Info.FileIndex(1)
		first := one.Torrent.Info.Files[i]
		check := func(r *rig) {
			t.Helper()
			time.Sleep(time.Minute)
			for i, s := range specs {
				x := r.torrentOf(s)
				if p := x.Phase(); p != lifecycle.Queued && i < 2 || p != lifecycle.Paused && i == 2 {
					t.Errorf("number %d is %v", i, p)
				}
				if v := x.Snapshot(); v.Size != 20_000 || x.Name() != s.Name() {
					t.Errorf("number %d shows %q, %+v", i, x.Name(), v.Stats)
				}
				if x.control.spec.Torrent != nil || x.state.lock != nil {
					t.Errorf("number %d keeps its metadata or its lock", i)
				}
			}
			if v := r.torrentOf(part).Snapshot(); v.Size != one.Torrent.Info.Payload() || v.Wanted != first.Length {
				t.Errorf("a part: %+v", v.Stats)
			}
		}
		check(a)
		if link.Phase() != lifecycle.Queued || free.Phase() == lifecycle.Queued {
			t.Errorf("the link is %v, the torrent outside of the session %v", link.Phase(), free.Phase())
		}
		a.close()
		b := start(t, n, 1, holds, state(a.state))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		check(b)
		b.torrentOf(specs[0]).Release()
		awaitComplete(t, b.torrentOf(specs[0]))
		if p := b.torrentOf(specs[1]).Phase(); p != lifecycle.Queued {
			t.Errorf("another is %v", p)
		}
	})
}

// A held torrent fetches its metadata and then waits: it has its name and size, also after a restart,
// and no file of it is opened. Without peers it stops when it is told to.
func TestAHeldTorrentFetchesItsMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(63, simnet.Link{Delay: 20 * ms})
		holds := func(c *Config) { c.Held, c.NoDHT = true, true }
		spec, content := folder(t, ShareOptions{}, small)
		seedOf(t, n, 9, spec)
		a := start(t, n, 1, holds)
		dir := t.TempDir()
		x := a.add(inSession(Spec{Link: withPeers(spec, at(9).String()), Dir: dir}))
		dead := a.add(inSession(Spec{Link: &magnet.Link{InfoHash: id.ID{7}, HasInfoHash: true}, Dir: dir}))
		waits := func(when string, x *Torrent) {
			t.Helper()
			if s, p := x.Snapshot(), x.Phase(); s.State != lifecycle.Queued || p != lifecycle.Queued || !x.IsHeld() || s.Reason != (Reason{}) {
				t.Errorf("%s: it is %v and %v, held: %v, because of %+v", when, s.State, p, x.IsHeld(), s.Reason)
			}
		}
		time.Sleep(time.Minute)
		if x.HasMetadata() || x.run.Load() != nil {
			t.Fatal("it has started by itself")
		}
		x.FetchMetadata(true)
		dead.FetchMetadata(true)
		for range 100 {
			synctest.Wait()
			waits("meanwhile", x)
			time.Sleep(10 * ms)
		}
		time.Sleep(10 * time.Minute)
		waits("with its metadata", x)
		waits("without peers", dead)
		if x.run.Load() != nil || x.IsFetching() || x.state.lock != nil || x.info.Load() != nil {
			t.Error("it has not stopped, or keeps its metadata or its lock")
		}
		if r := dead.run.Load(); r == nil || !dead.IsFetching() {
			t.Error("without peers it has stopped")
		}
		dead.FetchMetadata(false)
		if err := dead.Settled(t.Context()); err != nil || dead.run.Load() != nil {
			t.Errorf("it runs on: %v", err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("files were opened: %v, %v", left, err)
		}
		known := func(x *Torrent) {
			t.Helper()
			if s := x.Snapshot(); x.Name() != "things" || s.Size != spec.Torrent.Info.Payload() || s.Wanted != s.Size || s.HaveWanted != 0 || s.Complete {
				t.Errorf("it shows %q, %+v", x.Name(), s.Stats)
			}
		}
		known(x)
		x.FetchMetadata(true)
		time.Sleep(time.Second)
		if x.IsFetching() || x.run.Load() != nil {
			t.Error("it fetches what it has")
		}
		a.close()
		b := start(t, n, 1, holds, state(a.state))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		x = b.torrentOf(spec)
		known(x)
		waits("restored", x)
		x.Release()
		wait(t, x.Done(), time.Minute, "the download")
		filetest.Same(t, content, filepath.Join(dir, "things"))
	})
}

// A torrent that is released at any moment while it fetches its metadata downloads.
func TestATorrentReleasedWhileItFetchesDownloads(t *testing.T) {
	for after := time.Duration(0); after < 600*ms; after += 20 * ms {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(64, simnet.Link{Delay: 20 * ms})
			spec, content := folder(t, ShareOptions{}, small)
			seedOf(t, n, 9, spec)
			a := start(t, n, 1, func(c *Config) { c.Held, c.NoDHT = true, true })
			dir := t.TempDir()
			x := a.add(inSession(Spec{Link: withPeers(spec, at(9).String()), Dir: dir}))
			x.FetchMetadata(true)
			time.Sleep(after)
			if x.Release(); x.IsHeld() || x.IsFetching() {
				t.Error("it is still held")
			}
			wait(t, x.Done(), time.Minute, "the download")
			filetest.Same(t, content, filepath.Join(dir, "things"))
		})
	}
}
