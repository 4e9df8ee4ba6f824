package lookup

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// network is a DHT in memory: nodes with k-bucket tables, some of them dead,
// and a round trip between each two.
type network struct {
	r      *rand.Rand
	nodes  []*simNode
	byAddr map[netip.AddrPort]*simNode
	liar   func(n *simNode, target id.ID) []Node // what a hostile node returns
	round  uint64                                // number of the lookup: each has its own round trips
	stores map[id.ID]bool                        // nodes that know a peer
}

type simNode struct {
	Node
	dead, hostile bool
	buckets       [24][]Node
}

func randomID(r *rand.Rand) (x id.ID) {
	for i := 0; i < len(x); i += 4 {
		binary.BigEndian.PutUint32(x[i:], r.Uint32())
	}
	return x
}

func simAddr(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(20 + n>>16), byte(n >> 8), byte(n), 1}), 6881)
}

func newNetwork(seed uint64, size int, dead, hostile float64) *network {
	n := &network{r: rand.New(rand.NewPCG(seed, 99)), byAddr: map[netip.AddrPort]*simNode{}}
	for i := range size {
		s := &simNode{Node: Node{ID: randomID(n.r), Addr: simAddr(i)}, dead: n.r.Float64() < dead}
		s.hostile = !s.dead && n.r.Float64() < hostile
		n.nodes = append(n.nodes, s)
		n.byAddr[s.Addr] = s
	}
	for _, s := range n.nodes {
		for _, i := range n.r.Perm(size) {
			o := n.nodes[i]
			if b := &s.buckets[min(23, s.ID.CommonPrefix(o.ID))]; o != s && len(*b) < 8 {
				*b = append(*b, o.Node)
			}
		}
	}
	return n
}

// closest returns the reply of a node: the closest 8 of its table.
func (s *simNode) closest(target id.ID) (out []Node) {
	for _, b := range s.buckets {
		for _, o := range b {
			at := len(out)
			for at > 0 && target.CmpDistance(o.ID, out[at-1].ID) < 0 {
				at--
			}
			if at < 8 {
				out = slices.Insert(out[:min(7, len(out))], at, o)
			}
		}
	}
	return out
}

func (n *network) rtt() time.Duration {
	return 50*time.Millisecond + time.Duration(n.r.Int64N(int64(100*time.Millisecond)))
}

// truth returns the 8 live nodes closest to the target.
func (n *network) truth(target id.ID) map[id.ID]bool {
	var live []*simNode
	for _, s := range n.nodes {
		if !s.dead {
			live = append(live, s)
		}
	}
	slices.SortFunc(live, func(a, b *simNode) int { return target.CmpDistance(a.ID, b.ID) })
	m := map[id.ID]bool{}
	for _, s := range live[:8] {
		m[s.ID] = true
	}
	return m
}

type arrival struct {
	at   mono.Time
	addr netip.AddrPort
}
type arrivals []arrival

func (a arrivals) Len() int           { return len(a) }
func (a arrivals) Less(i, j int) bool { return a[i].at < a[j].at }
func (a arrivals) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *arrivals) Push(x any)        { *a = append(*a, x.(arrival)) }
func (a *arrivals) Pop() any          { x := (*a)[len(*a)-1]; *a = (*a)[:len(*a)-1]; return x }

type result struct {
	took   time.Duration
	first  time.Duration // until the first peer; zero: none
	stats  Stats
	recall float64
	log    string
}

// run runs one lookup of target until it ends.
func (n *network) run(cfg Config, target id.ID, start []Node) result {
	const begin = mono.Time(time.Second)
	now := begin
	l := New(cfg, target, start, now)
	var flying arrivals
	var first time.Duration
	var log strings.Builder
	for !l.Done() {
		for {
			q, ok := l.Next(now)
			if !ok {
				break
			}
			fmt.Fprintf(&log, "%d ask %v\n", now.Sub(begin).Microseconds(), q.Addr)
			if s := n.byAddr[q.Addr]; s != nil && !s.dead {
				heap.Push(&flying, arrival{now.Add(n.trip(q.Addr)), q.Addr})
			}
		}
		if l.Done() {
			break
		}
		next := l.Deadline()
		if len(flying) > 0 && flying[0].at <= next {
			a := heap.Pop(&flying).(arrival)
			now = a.at
			s := n.byAddr[a.addr]
			nodes := s.closest(target)
			if s.hostile {
				nodes = n.liar(s, target)
			}
			var values []netip.AddrPort
			if n.stores[s.ID] {
				values = []netip.AddrPort{simAddr(1 << 21)}
			}
			if len(l.Reply(now, a.addr, s.ID, nodes, values, []byte("token"))) > 0 {
				first = now.Sub(begin)
			}
			continue
		}
		if next == mono.Never {
			panic("a lookup that is not done waits for nothing")
		}
		now = next
	}
	truth, hit := n.truth(target), 0
	for _, c := range l.Closest() {
		fmt.Fprintf(&log, "closest %v\n", c.Addr)
		if truth[c.ID] {
			hit++
		}
	}
	return result{now.Sub(begin), first, l.Stats(), float64(hit) / 8, log.String()}
}

// startOf returns the start nodes of a node with a full table: the live nodes closest
// to the target that it knows, and their round trips.
func (n *network) startOf(s *simNode, target id.ID) []Node {
	var live []Node
	for _, b := range s.buckets {
		for _, o := range b {
			if !n.byAddr[o.Addr].dead {
				o.RTT = n.rtt()
				live = append(live, o)
			}
		}
	}
	slices.SortFunc(live, func(a, b Node) int { return target.CmpDistance(a.ID, b.ID) })
	return live[:min(16, len(live))]
}

type summary struct {
	p50, p95 time.Duration
	queries  float64
	recall   float64
}

func (n *network) many(t testing.TB, runs int, cold bool) (sum summary) {
	var took []time.Duration
	for range runs {
		from, target := n.nodes[n.r.IntN(len(n.nodes))], randomID(n.r)
		start := n.startOf(from, target)
		if cold {
			start = []Node{{Addr: n.alive().Addr}, {Addr: n.alive().Addr}, {Addr: n.nodes[0].Addr}}
		}
		n.round++
		res := n.run(Config{Own: from.ID}, target, start)
		took = append(took, res.took)
		sum.queries += float64(res.stats.Asked) / float64(runs)
		sum.recall += res.recall / float64(runs)
	}
	slices.Sort(took)
	sum.p50, sum.p95 = took[runs/2], took[runs*95/100]
	t.Logf("%d lookups: done p50 %v, p95 %v, %.1f queries, recall of the 8 closest %.3f", runs, sum.p50, sum.p95, sum.queries, sum.recall)
	return sum
}

func (n *network) alive() *simNode {
	for {
		if s := n.nodes[n.r.IntN(len(n.nodes))]; !s.dead && !s.hostile {
			return s
		}
	}
}
