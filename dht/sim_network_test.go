package dht

import (
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"seedbed/dht/lookup"
	"seedbed/dht/table"
	"seedbed/internal/id"
)

// simSize is the number of nodes in a simulated network.
const simSize = 2000

// skipIfRace skips a long simulation under the race detector, because a single goroutine
// has no races.
func skipIfRace(t *testing.T) {
	if raceEnabled {
		t.Skip("skipped: a simulation on one goroutine has no races")
	}
	t.Parallel()
}

// closest is an oracle: it returns the live honest nodes closest to a target.
func (w *world) closest(target id.ID, n int) []*simNode {
	all := slices.DeleteFunc(slices.Clone(w.alive), func(c *simNode) bool { return c.forges != nil })
	slices.SortFunc(all, func(a, b *simNode) int { return target.CmpDistance(a.table.ID(), b.table.ID()) })
	return all[:n]
}

// A fifth of 2,000 nodes is replaced within ten minutes, and a tenth of all
// datagrams is lost.
func TestNetworkWithChurnAndLoss(t *testing.T) {
	skipIfRace(t)
	w := newWorld(t, 1, 0.1)
	all := w.live(simSize, 0.2)
	t.Logf("%d nodes, %d replaced: %v; %d datagrams, %d lookups found a forged neighbourhood", simSize, w.added-simSize, &all, w.sent, all.forged)
	if all.found() < 0.995 {
		t.Errorf("%.4f of the lookups found the peer", all.found())
	}
	if most := all.hops[len(all.hops)-1]; most > 6 {
		t.Errorf("a lookup took %d hops", most)
	}

	// The state of the tables after the churn, compared with an oracle.
	w.run(20 * time.Minute)
	own, answered, asked := 0, 0, 0
	for i := range w.alive {
		c := w.alive[i]
		truth := map[netip.AddrPort]bool{}
		for _, o := range w.closest(c.table.ID(), table.K+1) { // the node itself is the closest
			truth[o.addr] = true
		}
		for _, n := range c.table.Closest(nil, c.table.ID(), table.K, nil) {
			if truth[n.Addr] {
				own++
			}
		}
	}
	w.loss = 0
	for range 200 {
		target := w.id()
		truth := w.closest(target, table.K)
		w.any().find(target, "find_node", nil, func(tr trace) {
			for _, o := range truth {
				asked++
				if slices.ContainsFunc(tr.Closest(), func(n lookup.Node) bool { return n.Addr == o.addr }) {
					answered++
				}
			}
		})
		w.run(5 * time.Second)
	}
	mine, found := float64(own)/float64(table.K*len(w.alive)), float64(answered)/float64(asked)
	t.Logf("of the 8 nodes closest to itself, of those alive, a node knows %.3f; of the 8 closest to a target a lookup finds %.3f", mine, found)
	if mine < 0.95 || found < 0.95 {
		t.Error("the tables do not converge to the closest nodes")
	}
}

// surround puts n sybils around a target, this many bits closer than every honest
// node, and makes the nearby nodes learn of them.
func (w *world) surround(target id.ID, n, closer int) {
	f := new(forgery)
	shared := target.CommonPrefix(w.closest(target, 1)[0].table.ID()) + closer
	for range n {
		c := w.addNode()
		x := near(target, shared, w.id())
		c.table.Rebase(w.now, x)
		c.forges = f
		f.members = append(f.members, lookup.Node{ID: x, Addr: c.addr})
		c.find(target, "find_node", nil, func(trace) {})
		w.run(100 * ms)
	}
	w.run(10 * time.Second)
}

// Fifty nodes surround an infohash before it is announced.
func TestFiftySybilsAroundAnInfohash(t *testing.T) {
	skipIfRace(t)
	rounds := 4
	if os.Getenv("SEEDBED_SOAK") != "" {
		rounds = 20
	}
	w := newWorld(t, 7, 0)
	w.populate(simSize / 4)
	for _, closer := range []int{0, 1, 8} {
		var all tally
		sent := 0
		for range rounds {
			infohash, from := w.id(), w.any()
			w.surround(infohash, 50, closer)
			from.announce(infohash)
			w.run(10 * time.Second)
			for range 20 {
				c := w.any()
				for c.forges != nil {
					c = w.any()
				}
				c.look(infohash, from, &all)
				w.run(3 * time.Second)
			}
			for _, c := range slices.Clone(w.alive) {
				if c.forges != nil {
					w.kill(c)
				}
			}
			w.run(time.Minute)
		}
		for _, n := range all.asked {
			sent += n
		}
		t.Logf("closer by %d bits: %v; %d queries each", closer, &all, sent/all.tries)
		if all.found() < 0.95 {
			t.Errorf("closer by %d bits: %.3f of the lookups found the peer", closer, all.found())
		}
	}
}
