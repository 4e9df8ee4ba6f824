package announce

import (
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// network is a DHT in memory: nodes with k-bucket tables, some of them offline, a
// round trip between each two, and loss.
type network struct {
	r           *rand.Rand
	nodes       []*simNode
	byAddr      map[netip.AddrPort]*simNode
	loss        float64
	liar        func(n *simNode, target id.ID) []Node // what a hostile node returns
	wrongTokens int                                   // announces with a wrong token
}

type simNode struct {
	Node
	away, hostile, withholds bool // withholds: it gives no tokens
	known                    []known
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

func newNetwork(seed uint64, size int, away float64) *network {
	n := &network{r: rand.New(rand.NewPCG(seed, 99)), byAddr: map[netip.AddrPort]*simNode{}}
	for i := range size {
		s := &simNode{Node: Node{ID: randomID(n.r), Addr: simAddr(i)}, away: n.r.Float64() < away}
		n.nodes = append(n.nodes, s)
		n.byAddr[s.Addr] = s
	}
	for _, s := range n.nodes {
		s.known = n.table(s.ID)
	}
	return n
}

// table returns what a node with that id knows: 8 nodes for each shared prefix.
func (n *network) table(own id.ID) (t []known) {
	var buckets [8 * id.Len]int
	for _, i := range n.r.Perm(len(n.nodes)) {
		o := n.nodes[i].Node
		if b := min(own.CommonPrefix(o.ID), 8*id.Len-1); o.ID != own && buckets[b] < 8 {
			buckets[b]++
			t = append(t, known{Node: o})
		}
	}
	slices.SortFunc(t, func(a, b known) int { return a.ID.Cmp(b.ID) })
	return t
}

func near(t []known, target id.ID, n int) []Node { return descend(nil, t, target, 0, n) }

func (n *network) rtt() time.Duration {
	return 50*time.Millisecond + time.Duration(n.r.Int64N(int64(100*time.Millisecond)))
}

// truth returns the 8 closest nodes that are online.
func (n *network) truth(target id.ID) map[netip.AddrPort]bool {
	var live []Node
	for _, s := range n.nodes {
		if !s.away {
			live = append(live, s.Node)
		}
	}
	slices.SortFunc(live, func(a, b Node) int { return target.CmpDistance(a.ID, b.ID) })
	m := map[netip.AddrPort]bool{}
	for _, s := range live[:8] {
		m[s.Addr] = true
	}
	return m
}

// churn makes this many nodes of either kind leave and come back.
func (n *network) churn(count int) {
	for _, away := range []bool{false, true} {
		for left := count; left > 0; {
			if s := n.nodes[n.r.IntN(len(n.nodes))]; s.away == away {
				s.away = !away
				left--
			}
		}
	}
}

// token returns a node's token for an infohash.
func (s *simNode) token(infohash id.ID) []byte {
	return append(infohash[:4:4], s.ID[:4]...)
}

type arrival struct {
	at mono.Time
	q  Query
	s  *simNode
}
type arrivals []arrival

func (a arrivals) Len() int           { return len(a) }
func (a arrivals) Less(i, j int) bool { return a[i].at < a[j].at }
func (a arrivals) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *arrivals) Push(x any)        { *a = append(*a, x.(arrival)) }
func (a *arrivals) Pop() any          { x := (*a)[len(*a)-1]; *a = (*a)[:len(*a)-1]; return x }

// world runs one scheduler in a network.
type world struct {
	*network
	*Scheduler
	now      mono.Time
	flying   arrivals
	down     bool          // nothing arrives
	sent     func(q Query) // may be nil
	received map[id.ID]*receivedOf
	table    []known
	// perMinute counts the packets sent in each minute.
	perMinute []int
}

// receivedOf is what the network received about one infohash.
type receivedOf struct {
	last     mono.Time // the first announce_peer of the last visit
	longest  time.Duration
	shortest time.Duration
	visits   int
	at       map[netip.AddrPort]bool // nodes that have it from the last visit
}

const visitApart = 60 * time.Second // announces this far apart belong to two visits

func newWorld(n *network, cfg Config) *world {
	w := &world{network: n, now: mono.Time(time.Second), received: map[id.ID]*receivedOf{}}
	cfg.Own = randomID(n.r)
	w.table = n.table(cfg.Own)
	cfg.Start = func(target id.ID) []Node { return near(w.table, target, 16) }
	w.Scheduler = New(cfg, w.now, n.r)
	return w
}

func (w *world) addMany(count int) (keys []id.ID) {
	for range count {
		k := randomID(w.r)
		w.Add(w.now, k, Announcement{Port: 6881})
		keys = append(keys, k)
	}
	return keys
}

// run advances the time.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for {
		for {
			q, ok := w.Next(w.now)
			if !ok {
				break
			}
			w.send(q)
		}
		at := w.Deadline()
		if len(w.flying) > 0 && w.flying[0].at <= at {
			if w.flying[0].at > end {
				break
			}
			a := heap.Pop(&w.flying).(arrival)
			w.now = max(w.now, a.at)
			w.arrive(a)
			continue
		}
		if at > end {
			break
		}
		w.now = max(w.now, at)
	}
	w.now = end
}

func (w *world) send(q Query) {
	minute := int(w.now.Sub(0) / time.Minute)
	for len(w.perMinute) <= minute {
		w.perMinute = append(w.perMinute, 0)
	}
	w.perMinute[minute]++
	if w.sent != nil {
		w.sent(q)
	}
	s := w.byAddr[q.Addr]
	if w.down || s == nil || s.away || w.loss > 0 && w.r.Float64() < w.loss {
		return
	}
	if q.Kind == AnnouncePeer {
		if string(q.Token) != string(s.token(q.Infohash)) {
			w.wrongTokens++
			return
		}
		w.announced(q.Infohash, q.Addr)
	}
	if w.loss > 0 && w.r.Float64() < w.loss {
		return
	}
	q.Token = nil
	heap.Push(&w.flying, arrival{w.now.Add(w.rtt()), q, s})
}

func (w *world) arrive(a arrival) {
	if w.down {
		return
	}
	if a.q.Kind == AnnouncePeer {
		w.Reply(w.now, a.q.Ref, a.s.ID, nil, nil, nil)
		return
	}
	var room [8]Node
	nodes := descend(room[:0], a.s.known, a.q.Infohash, 0, 8)
	if a.s.hostile {
		nodes = w.liar(a.s, a.q.Infohash)
	}
	token := a.s.token(a.q.Infohash)
	if a.s.withholds {
		token = nil
	}
	w.Reply(w.now, a.q.Ref, a.s.ID, nodes, nil, token)
}

func (w *world) announced(infohash id.ID, addr netip.AddrPort) {
	h := w.received[infohash]
	if h == nil {
		h = &receivedOf{shortest: 1 << 62, at: map[netip.AddrPort]bool{}}
		w.received[infohash] = h
	}
	if gap := w.now.Sub(h.last); h.visits == 0 || gap > visitApart {
		if h.visits > 0 {
			h.longest, h.shortest = max(h.longest, gap), min(h.shortest, gap)
		}
		h.last = w.now
		h.visits++
		clear(h.at)
	}
	h.at[addr] = true
}

// recall returns the share of the 8 closest nodes that an announce reached, over all
// announces of some of the infohashes that end from now on.
func (w *world) recall(keys []id.ID) func() float64 {
	watched := map[id.ID]bool{}
	for _, k := range keys {
		watched[k] = true
	}
	hit, all := 0, 0
	w.cfg.Done = func(infohash id.ID, _ int) {
		if !watched[infohash] {
			return
		}
		for a := range w.truth(infohash) {
			all++
			if h := w.received[infohash]; h != nil && h.at[a] {
				hit++
			}
		}
	}
	return func() float64 { return float64(hit) / float64(all) }
}
