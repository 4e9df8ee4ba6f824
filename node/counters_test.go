package node

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
	"seedbed/swarm/wire"
)

// counted returns how many torrents of a node are in each phase, as the torrents themselves say.
func counted(r *rig) (out [lifecycle.NumPhases]int64) {
	for _, t := range r.Torrents() {
		out[t.Phase()]++
	}
	return out
}

// The counts of torrents by phase agree with the torrents through their whole life, and after a restart.
func TestCountersOfTorrents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(97, simnet.Link{Delay: 20 * ms})
		whole, _ := folder(t, ShareOptions{}, small)
		seed := start(t, n, 9, noDHT)
		seed.add(whole)
		b := start(t, n, 1, noDHT)
		check := func(when string, want ...lifecycle.Phase) {
			t.Helper()
			synctest.Wait()
			var phases [lifecycle.NumPhases]int64
			for _, p := range want {
				phases[p]++
			}
			if got := b.Counters().Torrents; got != counted(b) || got != phases {
				t.Errorf("%s: %v; the torrents say %v", when, got, counted(b))
			}
		}
		check("without torrents")
		spec := inSession(Spec{Link: withPeers(whole, at(9).String()), Dir: t.TempDir()})
		x := b.add(spec)
		wait(t, x.Done(), 10*time.Minute, "the download")
		check("after the download", lifecycle.Seeding)
		other, _ := folder(t, ShareOptions{}, map[string]int{"other": 5000})
		y := b.add(inSession(Spec{Link: withPeers(other), Dir: t.TempDir()}))
		reachesPhase(t, y, lifecycle.Metadata)
		check("with a second one", lifecycle.Seeding, lifecycle.Metadata)
		if err := x.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		reachesPhase(t, x, lifecycle.Paused)
		check("after a pause", lifecycle.Paused, lifecycle.Metadata)
		if err := settled(y, b.Remove(t.Context(), y.InfoHash(), true)); err != nil {
			t.Fatal(err)
		}
		check("after a removal", lifecycle.Paused)
		if _, err := b.Add(spec); !errors.Is(err, ErrDuplicate) {
			t.Fatal(err)
		}
		check("after a duplicate", lifecycle.Paused)
		b.close()
		b = start(t, n, 2, noDHT, func(c *Config) { c.State = b.state })
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		check("after a restart", lifecycle.Paused)
		if c := seed.Counters(); c.Incoming[Passed] == 0 || c.Uploaded == 0 {
			t.Errorf("the seed has %+v", c)
		}
	})
}

// Incoming connections are counted by what became of them.
func TestCountersOfIncomingConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(98, simnet.Link{Delay: 20 * ms})
		a := start(t, n, 1, noDHT)
		dial := func() net.Conn {
			c, err := n.Host(at(7).Addr()).Dial(t.Context(), at(1))
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		c := dial()
		if _, err := c.Write(wire.AppendHandshake(nil, wire.Reserved{}, id.ID{5}, id.ID{6})); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		d := dial()
		if _, err := d.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		time.Sleep(time.Minute)
		if got := a.Counters().Incoming; got[NoTorrent] != 1 || got[NoHandshake] != 1 || got[Passed] != 0 {
			t.Errorf("%v", got)
		}
	})
}

// A torrent that an error of its files blocks is counted until it continues or stops.
func TestCountersOfBlockedTorrents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(99, simnet.Link{Delay: 20 * ms, Rate: 100e3})
		whole, _ := folder(t, ShareOptions{}, small)
		seed := start(t, n, 9, noDHT)
		seed.add(whole)
		disks := newDisks()
		b := start(t, n, 1, noDHT, disks.on)
		dir := t.TempDir()
		x := b.add(Spec{Link: withPeers(whole, at(9).String()), Dir: dir})
		reachesPhase(t, x, lifecycle.Downloading)
		if c := b.Counters(); c.Blocked != 0 || c.StorageFailures != 0 {
			t.Fatalf("%+v", c)
		}
		disks.disk.SetFree(0)
		time.Sleep(time.Minute)
		if c := b.Counters(); c.Blocked != 1 || c.StorageFailures == 0 {
			t.Errorf("%d blocked after %d failures", c.Blocked, c.StorageFailures)
		}
		disks.disk.SetFree(-1)
		wait(t, x.Done(), 10*time.Minute, "the download")
		if c := b.Counters(); c.Blocked != 0 {
			t.Errorf("%d blocked after the download", c.Blocked)
		}
	})
}
