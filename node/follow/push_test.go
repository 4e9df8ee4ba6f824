package follow

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// A connected follower has a new version long before it would ask the DHT for it, and says that it was pushed.
func TestVersionsArePushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 25 * ms})
		nodetest.Ring(t, n, 8)
		dir := nodetest.Site(t, 5)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		var fs []*Follower
		var rigs []*rig
		for i := range 3 {
			rigs = append(rigs, start(t, n, 2+i, nodetest.Boot(101)))
			fs = append(fs, rigs[i].follow(testKey(0), t.TempDir(), func(c *Config) { c.Poll = time.Hour }))
		}
		for _, f := range fs {
			reaches(t, f, 1, 2*time.Minute)
		}
		time.Sleep(30 * time.Minute) // the quick polls are over
		for seq := int64(2); seq < 5; seq++ {
			if k := p.Connected(); k != len(fs) {
				t.Errorf("%d followers are connected to the publisher", k)
			}
			filetest.Write(t, filepath.Join(dir, "new"), filetest.RandomBytes(fmt.Sprint(seq), 5_000))
			a.update(p)
			for _, f := range fs {
				reaches(t, f, seq, 2*time.Second)
				filetest.Same(t, dir, filepath.Join(f.cfg.Dir, "current", "site"))
			}
			time.Sleep(10 * time.Minute)
		}
		for i, f := range fs {
			if k := f.Connected(); k != len(fs) {
				t.Errorf("follower %d is connected to %d peers, not to all", i, k)
			}
			found := rigs[i].Events(node.FoundVersion)
			for k, e := range found {
				if e.Publication.Pushed != (k > 0) {
					t.Errorf("follower %d, version %d: pushed %v", i, e.Publication.Seq, e.Publication.Pushed)
				}
			}
		}
	})
}

// Versions that are pushed all the time do not keep a follower from asking the DHT, which may know that the key that signs them
// was revoked.
func TestPushedVersionsDoNotPutOffPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 25 * ms})
		nodetest.Ring(t, n, 6)
		r := start(t, n, 1, nodetest.Boot(100))
		f := r.follow(testKey(0), t.TempDir())
		time.Sleep(time.Minute)
		polls, quick := f.Stats().Polls, f.quickInterval()
		const pushed = 30
		for seq := int64(1); seq <= pushed; seq++ {
			f.arrive(testItem(t, seq))
			time.Sleep(quick * 3 / 4)
		}
		if k := f.Stats().Polls - polls; k < pushed/3 {
			t.Errorf("%d polls while %d versions were pushed, one in each %v; without them there is a poll every %v", k, pushed, quick*3/4, quick)
		}
	})
}

// testItem returns an item that names a torrent that nobody has.
func testItem(t *testing.T, seq int64) dht.Item {
	t.Helper()
	i, err := dht.SignItem(testKey(0), nil, seq, bencode.Value(fmt.Sprintf("d2:ih20:%s%04de", strings.Repeat("x", 16), seq)))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// A publisher that publishes ever new versions does not make its followers look for all of them: the newest counts, after a burst
// every two seconds. The follower goes on to ask the DHT in the meantime.
func TestVersionsInQuickSuccessionAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 25 * ms})
		nodetest.Ring(t, n, 6)
		r := start(t, n, 1, nodetest.Boot(100))
		f := r.follow(testKey(0), t.TempDir(), func(c *Config) { c.Poll = time.Second })
		time.Sleep(time.Minute)
		const last = 200
		polls := f.Stats().Polls
		for seq := int64(1); seq <= last; seq++ {
			f.arrive(testItem(t, seq))
			time.Sleep(100 * ms)
		}
		time.Sleep(3 * time.Second)
		found := r.Events(node.FoundVersion)
		if k := len(found); k < 10 || k > node.ItemBurst+25/2 {
			t.Errorf("looked for %d versions of %d in 23 s", k, last)
		} else if seq := found[k-1].Publication.Seq; seq != last {
			t.Errorf("the last version is %d", seq)
		}
		if k := f.Stats().Polls - polls; k < 5 {
			t.Errorf("%d polls in the meantime", k)
		}
	})
}
