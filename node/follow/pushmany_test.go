package follow

import (
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/magnet/mutable"
	"seedbed/node"
	"seedbed/swarm/engine"
)

// adoptedWithin runs do, and returns how long after it began each follower had switched to a version, sorted.
func adoptedWithin(t *testing.T, fs []*Follower, seq int64, limit time.Duration, do func()) []time.Duration {
	t.Helper()
	began := time.Now()
	go do()
	took := make([]time.Duration, len(fs))
	var wg sync.WaitGroup
	for i, f := range fs {
		wg.Go(func() {
			for f.Seq() < seq && time.Since(began) < limit {
				time.Sleep(10 * ms)
			}
			took[i] = time.Since(began)
		})
	}
	wg.Wait()
	slices.Sort(took)
	if last := took[len(took)-1]; last >= limit {
		t.Fatalf("not all followers are at version %d within %v; sorted times: %v", seq, limit, took)
	}
	return took
}

// A small change reaches 50 followers within a second, though the publisher has connections for only ten of
// them, and one of the peers lies. The round trip takes 50 ms.
func TestVersionsReachManyFollowers(t *testing.T) {
	if scale > 1 {
		t.Skip("60 nodes are slow under the race detector")
	}
	const followers, direct = 50, 10
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(7, simnet.Link{Delay: 25 * ms})
		nodetest.Ring(t, n, 8)
		dir, state := nodetest.Site(t, 3), t.TempDir()
		few := func(c *node.Config) { c.MaxConns = direct }
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state), few)
		p := a.publish(testKey(0), dir)
		var fs []*Follower
		var rigs []*rig
		for i := range followers {
			r := start(t, n, 2+i, nodetest.Boot(100+i%8))
			rigs = append(rigs, r)
			fs = append(fs, r.follow(testKey(0), t.TempDir(), func(c *Config) { c.Poll = time.Hour }))
		}
		for _, f := range fs {
			reaches(t, f, 1, 5*time.Minute)
		}
		time.Sleep(20 * time.Minute)
		if k := p.Connected(); k == 0 || k > direct {
			t.Errorf("%d followers are connected to the publisher, which has connections for %d", k, direct)
		}
		lie(t, n, p.Torrent(), func(s *node.ItemSubscription) { // forged
			v := mutable.VersionOf(p.Torrent().Info(), 99)
			s.Push(dht.Item{Mutable: true, Key: keyLink(testKey(0)).PublicKey, Seq: 99, Value: v.Value()})
		})
		time.Sleep(time.Minute)
		var forged int64
		for _, r := range rigs {
			forged += r.Counters().Items[engine.ItemForged]
		}
		if forged == 0 {
			t.Error("nobody noticed the forged item")
		}

		update := func(content string) func() {
			filetest.Write(t, filepath.Join(dir, "new"), []byte(content))
			return func() { a.update(p) }
		}
		took := adoptedWithin(t, fs, 2, 10*time.Second, update("second"))
		t.Logf("adopted: p50 %v, p95 %v, last %v", took[followers/2], took[followers*95/100], took[followers-1])
		if p95 := took[followers*95/100]; p95 > time.Second {
			t.Errorf("p95 is %v: %v", p95, took)
		}
		time.Sleep(10 * time.Minute)

		// The publisher is killed when the push is under way, and comes back.
		took = adoptedWithin(t, fs, 3, 5*time.Minute, func() {
			filetest.Write(t, filepath.Join(dir, "new"), []byte("third"))
			go func() { _, _ = p.Update(t.Context()) }() // it fails in the middle
			time.Sleep(60 * ms)
			a.Close()
			time.Sleep(20 * time.Second)
			a = start(t, n, 1, nodetest.Boot(100), nodetest.State(state), few)
			p = a.publish(testKey(0), dir)
		})
		t.Logf("adopted although the publisher was away: p50 %v, last %v", took[followers/2], took[followers-1])
		for i, f := range fs {
			if s := f.Stats(); s.Forked+s.Useless+s.Older > 0 || f.Seq() != 3 {
				t.Errorf("follower %d adopted or counted something else: %+v", i, s)
			}
			if w := rigs[i].Warnings(); w != "" {
				t.Errorf("follower %d warned: %s", i, w)
			}
		}
	})
}

// lie starts a node that takes part in a torrent and pushes what the function wants.
func lie(t *testing.T, n *simnet.Net, of *node.Torrent, push func(*node.ItemSubscription)) {
	r := start(t, n, 90, nodetest.Boot(101))
	items, err := r.Items()
	if err != nil {
		t.Fatal(err)
	}
	l := keyLink(testKey(0))
	s := items.Subscribe(l.PublicKey, l.Salt, func(dht.Item) {})
	s.SetTorrents(of.InfoHash())
	if _, err := r.Add(node.Spec{Link: mutable.Pin(l, of.InfoHash()), Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	nodetest.Until(t, time.Minute, "the liar has peers", func() bool { return s.Peers() > 3 })
	push(s)
}
