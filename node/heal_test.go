package node

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
	"seedbed/swarm/storage"
)

// countPhase returns the number of torrents in a phase.
func (r *rig) countPhase(p lifecycle.Phase) (n int) {
	for _, x := range r.Torrents() {
		if x.Phase() == p {
			n++
		}
	}
	return n
}

// When the disk of hundreds of complete torrents is back, they are announced again and none starts,
// hashes anything or waits, except those that peers ask for. This holds for a node whose owner holds
// torrents that lack their data, as a queue does.
func TestManyCompleteTorrentsHealWithoutStarting(t *testing.T) {
	const torrents, asked = 300, 3
	specs := many(t, torrents)
	for _, isHeld := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(76, simnet.Link{Delay: 20 * ms})
			ring(t, n, 3)
			dir := specs[0].Dir
			a := start(t, n, 1, boot(100))
			for _, s := range specs {
				a.add(inSession(s))
			}
			time.Sleep(10 * time.Minute)
			away := dir + ".away"
			rename(t, dir, away)
			time.Sleep(2 * shareEvery)
			if got := a.countPhase(lifecycle.Missing); got != torrents || a.Announcing().Torrents != 0 {
				t.Fatalf("without the folder %d are missing, %d announced", got, a.Announcing().Torrents)
			}
			if isHeld {
				for _, x := range a.Torrents() {
					x.Hold()
				}
			}
			rename(t, away, dir)
			b := start(t, n, 2, noDHT)
			for _, s := range []Spec{specs[0], specs[torrents/2], specs[torrents-1]} {
				b.add(Spec{Link: withPeers(s, at(1).String()), Dir: t.TempDir()})
			}
			running := 0
			for range 20 * (shareEvery + time.Second) / time.Second {
				time.Sleep(50 * ms)
				running = max(running, len(a.Active()))
				for _, x := range a.Torrents() {
					if isHeld && x.Phase() == lifecycle.Queued {
						x.Release()
					}
				}
			}
			if running > asked {
				t.Errorf("%d run at once", running)
			}
			if got := a.countPhase(lifecycle.Parked); got < torrents-asked || a.Announcing().Torrents != torrents {
				t.Errorf("with the folder %d are parked, %d announced", got, a.Announcing().Torrents)
			}
			for _, x := range b.running() {
				wait(t, x.Done(), time.Minute, "a download from a torrent that was missing")
			}
			for _, x := range a.Torrents() {
				if s := x.Snapshot(); s.ToCheck > 0 || !s.Complete || s.Paused != nil {
					t.Fatalf("%+v", s)
				}
			}
		})
	}
}

// slowOpens makes each torrent take 5 s to open its files below a folder, and counts those that do.
type slowOpens struct {
	below        string
	now, highest atomic.Int64
}

func (o *slowOpens) on(c *Config) {
	c.openDisk = func(dir string, create bool) (storage.Disk, error) {
		if filepath.Clean(dir) == o.below && create {
			if n := o.now.Add(1); n > o.highest.Load() {
				o.highest.Store(n)
			}
			time.Sleep(5 * time.Second)
			o.now.Add(-1)
		}
		return storage.SystemDisk(dir, create, storage.NewHandles(16))
	}
}

// When the disk of hundreds of torrents that are not complete is back, healsAtOnce open their files at
// the same time, until all run.
func TestManyTorrentsStartInTurnsWhenTheirDiskIsBack(t *testing.T) {
	const torrents = 200
	specs := many(t, torrents)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(77, simnet.Link{Delay: 20 * ms})
		dir := specs[0].Dir
		opens := &slowOpens{below: dir}
		a := start(t, n, 1, noDHT, opens.on)
		for i := range specs {
			s := inSession(Spec{Torrent: specs[i].Torrent, Dir: dir})
			path := filepath.Join(dir, s.Name())
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b[19_999] ^= 1 // one of two pieces is wrong
			filetest.Write(t, path, b)
			a.add(s)
		}
		time.Sleep(time.Minute)
		if got := opens.highest.Load(); got != torrents {
			t.Fatalf("%d open their files at once when they are added", got)
		}
		away := dir + ".away"
		rename(t, dir, away)
		time.Sleep(2 * shareEvery)
		if got := a.countPhase(lifecycle.Missing); got != torrents {
			t.Fatalf("without the folder %d are missing", got)
		}
		opens.highest.Store(0)
		rename(t, away, dir)
		time.Sleep(shareEvery + torrents/healsAtOnce*10*time.Second)
		if got := a.countPhase(lifecycle.Downloading); got != torrents {
			t.Errorf("%d of %d run again", got, torrents)
		}
		if got := opens.highest.Load(); got != healsAtOnce {
			t.Errorf("%d open their files at once", got)
		}
	})
}
