package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// A parked torrent that a peer wakes while it is being added reports all its events once
// and then runs.
func TestAParkedTorrentWokenAtOnceReportsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		specs := many(t, 1)
		a := start(t, n, 1, noDHT)
		x := a.newTorrent(specs[0].InfoHash(), &specs[0]) // like Add
		if err := a.reserve(x, specs[0].hashes()); err != nil {
			t.Fatal(err)
		}
		woken := make(chan *run, 1)
		go func() { woken <- a.Torrent(specs[0].InfoHash()).wake(t.Context()) }()
		synctest.Wait() // the peer connects long before Add continues
		if err := x.state.open(); err != nil || !a.isProven(&specs[0], &x.state) {
			t.Fatal("not proven", err)
		}
		x.startParked()
		if !x.enter(lifecycle.State.AddedParked) {
			t.Fatal("the node is closed")
		}
		if r := <-woken; r == nil {
			t.Error("the peer was turned away")
		}
		synctest.Wait()
		if p := x.Phase(); p != lifecycle.Seeding {
			t.Errorf("it was woken and is %v", p)
		}
		if kinds := a.kinds(); !slices.Equal(kinds, []EventKind{Metadata, Complete, Seeding}) {
			t.Errorf("it reported %v", kinds)
		}
		wait(t, x.Done(), time.Second, "it is done")
	})
}

// An Add that races with Close either fails or ends with the node: nothing keeps running
// that is not stopped.
func TestAddRacingCloseLeavesNothingRunning(t *testing.T) {
	specs := many(t, 40)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		for round := range 10 {
			a := start(t, n, 1+round, noDHT)
			var adding sync.WaitGroup
			added := make(chan *Torrent, len(specs))
			for i, s := range specs {
				adding.Go(func() {
					time.Sleep(time.Duration(i%3) * ms)
					x, err := a.Add(s)
					if err == nil {
						added <- x
					} else if !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
				})
			}
			time.Sleep(time.Duration(round%3) * ms)
			a.close()
			adding.Wait()
			close(added)
			for x := range added {
				if !x.milestones.has(hasEnded) || x.run.Load() != nil {
					t.Error("a torrent goes on in a closed node")
				}
			}
		}
	})
}

// Of several concurrent Adds of one torrent, one succeeds.
func TestAddRacingAddGivesOneTorrent(t *testing.T) {
	specs := many(t, 1)
	synctest.Test(t, func(t *testing.T) {
		a := start(t, simnet.New(3, simnet.Link{}), 1, noDHT)
		errs := make(chan error, 20)
		for range cap(errs) {
			go func() {
				_, err := a.Add(specs[0])
				errs <- err
			}()
		}
		won := 0
		for range cap(errs) {
			if err := <-errs; err == nil {
				won++
			} else if !errors.Is(err, ErrDuplicate) {
				t.Error(err)
			}
		}
		if won != 1 {
			t.Errorf("%d Adds of one torrent were done", won)
		}
	})
}

// A disk that hangs under a torrent that is being parked blocks only that torrent: others are
// parked, added, removed and shown, and the budget is divided.
func TestAHungDiskHoldsUpOneTorrentOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		d := newDisks()
		specs := many(t, parkBeyond+3)
		a := start(t, n, 1, noDHT, d.on)
		hungDir := filepath.Join(a.state, "torrents", specs[0].InfoHash().String())
		for i, s := range specs {
			s.Verified = true
			sub := d.disk.Sub(filepath.ToSlash(s.Dir))
			b, err := os.ReadFile(filepath.Join(s.Dir, s.Torrent.Info.Name))
			if err != nil {
				t.Fatal(err)
			}
			f, err := sub.Open(s.Torrent.Info.Name, os.O_CREATE|os.O_RDWR, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(b, 0); err != nil {
				t.Fatal(err)
			}
			specs[i] = s
		}
		for _, s := range specs[:parkBeyond+2] {
			awaitComplete(t, a.add(s))
		}
		release := d.hang(hungDir)
		time.Sleep(3 * time.Minute)
		for i, x := range a.Torrents() {
			if p := x.Phase(); (p == lifecycle.Parked) != (i > 0) {
				t.Fatalf("number %d is %v while the disk hangs under number 0", i, p)
			}
			x.Snapshot()
		}
		awaitComplete(t, a.add(specs[parkBeyond+2]))
		if err := a.Remove(t.Context(), specs[5].InfoHash(), false); err != nil {
			t.Error(err)
		}
		turn := func() int {
			a.Node.mu.Lock()
			defer a.Node.mu.Unlock()
			return a.budget.turn
		}
		before := turn()
		time.Sleep(2 * shareEvery)
		if turn() == before {
			t.Error("the budget is not divided any more")
		}
		release()
		time.Sleep(2 * time.Minute)
		if p := a.Torrents()[0].Phase(); p != lifecycle.Parked {
			t.Errorf("when the disk works again it is %v", p)
		}
	})
}
