package lookup

import (
	"container/heap"
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"slices"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// trip returns the round trip to a node in the current lookup. It is the same for a
// lookup and a flood.
func (n *network) trip(addr netip.AddrPort) time.Duration {
	h := fnv.New64a()
	b, _ := addr.MarshalBinary()
	h.Write(binary.BigEndian.AppendUint64(b, n.round))
	return 50*time.Millisecond + time.Duration(h.Sum64()%uint64(100*time.Millisecond))
}

// flood computes a bound that no lookup can beat: every known node is queried at
// once, dead nodes cost no wait, and the flood ends as soon as the last of the 8
// closest nodes that it finds has replied. first is when a node that stores a peer has
// replied.
func (n *network) flood(target id.ID, start []Node, stores map[id.ID]bool) (took, first time.Duration, asked int) {
	truth := n.truth(target)
	seen := map[netip.AddrPort]bool{}
	var flying arrivals
	ask := func(now mono.Time, nodes []Node) {
		for _, o := range nodes {
			if seen[o.Addr] {
				continue
			}
			seen[o.Addr] = true
			asked++
			if s := n.byAddr[o.Addr]; s != nil && !s.dead {
				heap.Push(&flying, arrival{now.Add(n.trip(o.Addr)), o.Addr})
			}
		}
	}
	ask(0, start)
	for len(flying) > 0 {
		a := heap.Pop(&flying).(arrival)
		s := n.byAddr[a.addr]
		if truth[s.ID] {
			took = a.at.Sub(0)
		}
		if stores[s.ID] && first == 0 {
			first = a.at.Sub(0)
		}
		ask(a.at, s.closest(target))
	}
	return took, first, asked
}

// holders returns the 8 closest of all nodes, dead ones too: a peer announced to them
// before some of them died.
func (n *network) holders(target id.ID) map[id.ID]bool {
	all := slices.Clone(n.nodes)
	slices.SortFunc(all, func(a, b *simNode) int { return target.CmpDistance(a.ID, b.ID) })
	m := map[id.ID]bool{}
	for _, s := range all[:8] {
		m[s.ID] = true
	}
	return m
}

// TestLookupAgainstAFlood compares a lookup with a flood of the neighbourhood, in networks
// of 1,000 to 2,000 nodes, of which 30 % are dead, and round trips of 50 to 150 ms.
func TestLookupAgainstAFlood(t *testing.T) {
	const runs = 300
	for _, size := range []int{1000, 1500, 2000} {
		n := newNetwork(uint64(size), size, 0.3, 0)
		var took, bound, first, firstBound []time.Duration
		queries, floods, recall := 0, 0, 0.0
		for range runs {
			from, target := n.alive(), randomID(n.r)
			start, stores := n.startOf(from, target), n.holders(target)
			n.round++
			least, soonest, asked := n.flood(target, start, stores)
			n.stores = stores
			res := n.run(Config{Own: from.ID}, target, start)
			bound, took = append(bound, least), append(took, res.took)
			if soonest > 0 { // otherwise all nodes that knew the peer are dead
				first, firstBound = append(first, res.first), append(firstBound, soonest)
			}
			queries += res.stats.Asked
			floods += asked
			recall += res.recall / runs
		}
		for _, ds := range [][]time.Duration{took, bound, first, firstBound} {
			slices.Sort(ds)
		}
		ratio := float64(took[runs/2]) / float64(bound[runs/2])
		mean := float64(queries) / runs
		t.Logf("%d nodes: done p50 %v p95 %v, flood %v and %v: %.2f; %.1f queries, flood %.0f; recall %.3f; first peer p50 %v p99 %v, flood %v and %v",
			size, took[runs/2], took[runs*95/100], bound[runs/2], bound[runs*95/100], ratio, mean, float64(floods)/runs, recall,
			first[len(first)/2], first[len(first)*99/100], firstBound[len(first)/2], firstBound[len(first)*99/100])
		if ratio > 1.3 || mean > 35 || recall < 0.97 || first[len(first)*99/100] > 300*time.Millisecond {
			t.Errorf("%d nodes: too slow, too many queries or too little found", size)
		}
	}
}
