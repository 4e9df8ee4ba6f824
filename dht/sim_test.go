package dht

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/lookup"
	"seedbed/dht/respond"
	"seedbed/dht/store"
	"seedbed/dht/table"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// world simulates a DHT of the pure packages on one goroutine: real datagrams over
// virtual links with delay and loss, and nodes that join and leave, all from a seed.
type world struct {
	t      testing.TB
	r      *rand.Rand
	now    mono.Time
	seq    int
	events events
	nodes  map[netip.AddrPort]*simNode
	alive  []*simNode
	loss   float64
	added  int
	log    hash.Hash // of every datagram and its time
	sent   int
}

type event struct {
	at  mono.Time
	seq int
	do  func()
}
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(e[i].at, e[j].at), cmp.Compare(e[i].seq, e[j].seq)) < 0
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any     { x := (*e)[len(*e)-1]; *e = (*e)[:len(*e)-1]; return x }

// simNode is one node of a world.
type simNode struct {
	w       *world
	addr    netip.AddrPort
	table   *table.Table
	store   *store.Store
	answers *respond.Responder
	pending map[string]*asking
	dead    bool
	forges  *forgery // set if the node lies
}

type asking struct {
	to   netip.AddrPort
	sent mono.Time
	done func(m *krpc.Message) // nil: no reply
}

func newWorld(t testing.TB, seed uint64, loss float64) *world {
	return &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), now: mono.Time(time.Second), nodes: map[netip.AddrPort]*simNode{}, loss: loss}
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.events, event{w.now.Add(d), w.seq, do})
}

// run advances the time.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.events) > 0 && w.events[0].at <= end {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = end
}

func (w *world) id() (x id.ID) {
	for i := 0; i < len(x); i += 4 {
		binary.BigEndian.PutUint32(x[i:], w.r.Uint32())
	}
	return x
}

// addNode adds a node that joins through two others.
func (w *world) addNode() *simNode {
	w.added++
	c := &simNode{w: w, addr: at(public(w.added)), pending: map[string]*asking{}}
	c.table = table.New(table.Config{ID: table.SecureID(w.id(), c.addr.Addr()), Now: w.now})
	c.store = store.New(store.Config{}, w.now, w.r)
	c.answers = respond.New(respond.Config{Table4: c.table, Store: c.store, Tokens: store.NewTokens(w.now, w.r), Rand: w.r})
	var seeds []lookup.Node
	if len(w.alive) > 0 {
		seeds = w.entryAddrs()
	}
	w.nodes[c.addr] = c
	w.alive = append(w.alive, c)
	c.enter(seeds)
	w.after(time.Second+time.Duration(w.r.Int64N(int64(time.Minute))), c.upkeep)
	return c
}

// enter joins the network as DHT does: it looks up its own id, then three random targets.
func (c *simNode) enter(seeds []lookup.Node) {
	c.find(c.table.ID(), "find_node", seeds, func(trace) { c.fillBuckets(3) })
}

func (c *simNode) fillBuckets(times int) {
	if times > 0 && c.table.Len() >= minNodes {
		c.find(c.w.id(), "find_node", nil, func(trace) { c.fillBuckets(times - 1) })
	}
}

// entryAddrs returns two nodes that serve as bootstrap hosts.
func (w *world) entryAddrs() []lookup.Node {
	return []lookup.Node{{Addr: w.alive[0].addr}, {Addr: w.any().addr}}
}

func (w *world) any() *simNode { return w.alive[w.r.IntN(len(w.alive))] }

func (w *world) kill(c *simNode) {
	c.dead = true
	w.alive = slices.DeleteFunc(w.alive, func(o *simNode) bool { return o == c })
}

func (w *world) send(from, to netip.AddrPort, b []byte) {
	if len(b) > krpc.MaxDatagram {
		w.t.Fatalf("a datagram of %d bytes", len(b))
	}
	w.sent++
	if w.log != nil {
		fmt.Fprintf(w.log, "%d %v %v %q\n", w.now, from, to, b)
	}
	if w.r.Float64() < w.loss {
		return
	}
	w.after(25*ms+time.Duration(w.r.Int64N(int64(50*ms))), func() {
		if c := w.nodes[to]; c != nil && !c.dead {
			c.receive(from, b)
		}
	})
}

func (c *simNode) receive(from netip.AddrPort, b []byte) {
	var m krpc.Message
	if err := krpc.Parse(b, &m); err != nil {
		c.w.t.Fatalf("%q: %v", b, err)
	}
	if m.Y == 'q' {
		if c.forges != nil {
			c.w.send(c.addr, from, c.forges.answer(c.w.r, c.table.ID(), &m.Query))
			return
		}
		if out, _ := c.answers.Handle(nil, c.w.now, from, &m.Query); len(out) > 0 {
			c.w.send(c.addr, from, out)
		}
		if c.table.Wants(from, m.Query.ID) {
			c.ask(from, "ping", id.ID{}, "", func(*krpc.Message) {})
		}
		return
	}
	a := c.pending[string(m.T)]
	if a == nil || a.to != from {
		return
	}
	delete(c.pending, string(m.T))
	if m.Y == 'r' {
		c.table.Replied(c.w.now, from, m.Response.ID, c.w.now.Sub(a.sent))
		a.done(&m)
	} else {
		a.done(nil)
	}
}

// ask sends a query.
func (c *simNode) ask(to netip.AddrPort, method string, target id.ID, token string, done func(*krpc.Message)) {
	own := c.table.ID()
	t := binary.BigEndian.AppendUint32(nil, c.w.r.Uint32())
	b := append([]byte("d1:ad2:id20:"), own[:]...)
	switch method {
	case "find_node":
		b = append(append(b, "6:target20:"...), target[:]...)
	case "get_peers":
		b = append(append(b, "9:info_hash20:"...), target[:]...)
	case "announce_peer":
		b = append(append(b, "9:info_hash20:"...), target[:]...)
		b = bencode.AppendString(append(b, "4:porti77e5:token"...), token)
	}
	b = bencode.AppendString(append(b, "e1:q"...), method)
	b = append(bencode.AppendBytes(append(b, "1:t"...), t), "1:y1:qe"...)
	a := &asking{to: to, sent: c.w.now, done: done}
	c.pending[string(t)] = a
	c.w.send(c.addr, to, b)
	c.w.after(3*time.Second, func() {
		if c.pending[string(t)] == a {
			delete(c.pending, string(t))
			c.table.Failed(c.w.now, to)
			a.done(nil)
		}
	})
}

// upkeep maintains the table as DHT does, but less often, to speed up the simulation.
func (c *simNode) upkeep() {
	if c.dead {
		return
	}
	for range 8 {
		n, ok := c.table.Questionable(c.w.now)
		if !ok {
			break
		}
		c.table.Pinged(c.w.now, n.Addr)
		c.ask(n.Addr, "ping", id.ID{}, "", func(*krpc.Message) {})
	}
	if target, ok := c.table.Refresh(c.w.now, c.w.id()); ok {
		c.find(target, "find_node", nil, func(trace) {})
	}
	pace := time.Minute
	if c.table.Len() < minNodes {
		c.enter(c.w.entryAddrs())
		pace = 5 * time.Second
	}
	c.w.after(pace, c.upkeep)
}

// announce makes a node announce itself with port 77.
func (c *simNode) announce(infohash id.ID) {
	c.find(infohash, "get_peers", nil, func(tr trace) {
		for _, n := range tr.ClosestWithToken() {
			c.ask(n.Addr, "announce_peer", infohash, string(n.Token), func(*krpc.Message) {})
		}
	})
}

// tally counts the results of many lookups.
type tally struct {
	tries, hits int
	forged      int // lookups that found the neighbourhood forged
	took        []time.Duration
	hops, asked []int
}

// look makes a node look up what peer announced.
func (c *simNode) look(infohash id.ID, peer *simNode, into *tally) {
	into.tries++
	c.find(infohash, "get_peers", nil, func(tr trace) {
		into.took = append(into.took, tr.took)
		into.hops = append(into.hops, tr.hops)
		into.asked = append(into.asked, tr.asked)
		if tr.SideTargets() != nil {
			into.forged++
		}
		if slices.Contains(tr.peers, netip.AddrPortFrom(peer.addr.Addr(), 77)) {
			into.hits++
		}
	})
}

func (l *tally) String() string {
	slices.Sort(l.took)
	slices.Sort(l.hops)
	n := len(l.took)
	return fmt.Sprintf("%.2f %% of %d lookups find the peer; done p50 %v, p95 %v; hops p50 %d, most %d",
		100*l.found(), l.tries, l.took[n/2], l.took[n*95/100], l.hops[n/2], l.hops[n-1])
}

func (l *tally) found() float64 { return float64(l.hits) / float64(l.tries) }

// populate adds this many nodes, twenty a second.
func (w *world) populate(size int) {
	for range size {
		w.addNode()
		w.run(50 * ms)
	}
	w.run(time.Minute)
}

// live runs a world of size nodes for ten minutes, in which the given part of
// its nodes is replaced, with continuous announces and lookups.
func (w *world) live(size int, churn float64) (all tally) {
	w.populate(size)
	gone := 0
	for step := range 30 {
		for ; gone < int(churn*float64(size*(step+1))/30); gone++ {
			if victim := w.any(); victim != w.alive[0] {
				w.kill(victim)
				w.addNode()
			}
		}
		infohash, from := w.id(), w.any()
		from.announce(infohash)
		w.run(10 * time.Second)
		for range 10 {
			w.any().look(infohash, from, &all)
		}
		w.run(10 * time.Second)
	}
	return all
}

func TestSimulationIsTheSameForTheSameSeed(t *testing.T) {
	var sums [2][]byte
	for i := range sums {
		w := newWorld(t, 2, 0.05)
		w.log = sha256.New()
		w.live(40, 0.2)
		sums[i] = w.log.Sum(nil)
	}
	if string(sums[0]) != string(sums[1]) {
		t.Fatal("two runs from one seed differ")
	}
}
