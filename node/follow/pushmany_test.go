package follow

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
	"seedbed/node/publish"
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
// them. Peers that lie, and connect to all of them, slow nobody down by more than 10 %, and nobody adopts what they
// send. The round trip takes 50 ms.
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

		seq := int64(1)
		update := func() []time.Duration {
			filetest.Write(t, filepath.Join(dir, "new"), fmt.Append(nil, "version ", seq))
			seq++
			took := adoptedWithin(t, fs, seq, 10*time.Second, func() { a.update(p) })
			time.Sleep(time.Minute)
			return took
		}
		const updates = 5
		var honest, attacked []time.Duration
		for range updates {
			honest = append(honest, update()...)
		}
		stop := startLiars(t, n, fs, p)
		time.Sleep(time.Minute)
		for range updates {
			attacked = append(attacked, update()...)
		}
		stop()
		before, after := p95(honest), p95(attacked)
		t.Logf("p95 %v, with liars %v; mean %v, with liars %v", before, after, mean(honest), mean(attacked))
		if before > time.Second || after > time.Second {
			t.Errorf("95 %% have a version after %v, with liars after %v", before, after)
		}
		// The percentile is a whole number of round trips, so that one more or less is above 10 %.
		if mean(attacked) > mean(honest)*11/10 {
			t.Errorf("liars slow the followers down from %v to %v", mean(honest), mean(attacked))
		}
		var counts engine.ItemCounts
		for _, r := range rigs {
			for i, k := range r.Counters().Items {
				counts[i] += k
			}
		}
		for _, o := range []engine.ItemOutcome{engine.ItemForged, engine.ItemOld, engine.ItemForeign} {
			if counts[o] == 0 {
				t.Errorf("nobody noticed lies of kind %d: %v", o, counts)
			}
		}

		// The publisher is killed when the push is under way, and comes back.
		seq++
		took := adoptedWithin(t, fs, seq, 5*time.Minute, func() {
			filetest.Write(t, filepath.Join(dir, "new"), []byte("last"))
			go func() { _, _ = p.Update(t.Context()) }() // it fails in the middle
			time.Sleep(60 * ms)
			a.Close()
			time.Sleep(20 * time.Second)
			a = start(t, n, 1, nodetest.Boot(100), nodetest.State(state), few)
			p = a.publish(testKey(0), dir)
		})
		t.Logf("adopted although the publisher was away: p50 %v, last %v", took[followers/2], took[followers-1])
		for i, f := range fs {
			if s := f.Stats(); s.Forked+s.Useless+s.Older > 0 || f.Seq() != seq {
				t.Errorf("follower %d adopted or counted something else: %+v", i, s)
			}
			if w := rigs[i].Warnings(); w != "" {
				t.Errorf("follower %d warned: %s", i, w)
			}
		}
	})
}

// p95 returns the 95th percentile.
func p95(v []time.Duration) time.Duration { return slices.Sorted(slices.Values(v))[len(v)*95/100] }

func mean(v []time.Duration) (sum time.Duration) {
	for _, d := range v {
		sum += d
	}
	return sum / time.Duration(len(v))
}

// startLiars connects a liar of each kind to every follower and the publisher, until stop is called.
func startLiars(t *testing.T, n *simnet.Net, fs []*Follower, p *publish.Publication) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var liars []*nodetest.Liar
	for lie := range nodetest.Lies {
		l, host := nodetest.NewLiar(lie), n.Host(nodetest.Addr(90+int(lie)))
		liars = append(liars, l)
		for i := range len(fs) + 1 {
			infohash := p.Torrent().InfoHash
			if i > 0 {
				infohash = func() id.ID { return fs[i-1].Torrent().InfoHash() }
			}
			wg.Go(func() {
				l.Run(ctx, func(ctx context.Context) (net.Conn, error) { return host.Dial(ctx, nodetest.AddrPort(1+i)) }, infohash)
			})
		}
	}
	return func() {
		cancel()
		wg.Wait()
		for lie, l := range liars {
			items, conns := l.Sent()
			t.Logf("liar %d sent %d items over %d connections", lie, items, conns)
		}
	}
}
