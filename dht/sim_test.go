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

// world is a DHT of the pure rooms on one goroutine: real datagrams over
// virtual links with delay and loss, nodes that come and go, all from a seed.
type world struct {
	t      testing.TB
	r      *rand.Rand
	now    mono.Time
	seq    int
	events events
	nodes  map[netip.AddrPort]*citizen
	alive  []*citizen
	loss   float64
	born   int
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

// citizen is one node.
type citizen struct {
	w       *world
	addr    netip.AddrPort
	table   *table.Table
	store   *store.Store
	answers *respond.Responder
	pending map[string]*asking
	dead    bool
}

type asking struct {
	to   netip.AddrPort
	sent mono.Time
	done func(m *krpc.Message) // nil: no answer
}

func newWorld(t testing.TB, seed uint64, loss float64) *world {
	return &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), now: mono.Time(time.Second), nodes: map[netip.AddrPort]*citizen{}, loss: loss}
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.events, event{w.now.Add(d), w.seq, do})
}

// run lets the time pass.
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

// birth is a node that joins by way of two others.
func (w *world) birth() *citizen {
	w.born++
	c := &citizen{w: w, addr: at(public(w.born)), pending: map[string]*asking{}}
	c.table = table.New(table.Config{ID: table.SecureID(w.id(), c.addr.Addr()), Now: w.now})
	c.store = store.New(store.Config{}, w.now, w.r)
	c.answers = respond.New(respond.Config{Table4: c.table, Store: c.store, Tokens: store.NewTokens(w.now, w.r), Rand: w.r})
	var seeds []lookup.Node
	if len(w.alive) > 0 {
		seeds = []lookup.Node{{Addr: w.alive[0].addr}, {Addr: w.any().addr}}
	}
	w.nodes[c.addr] = c
	w.alive = append(w.alive, c)
	c.find(c.table.ID(), "find_node", seeds, func(*lookup.Lookup, []netip.AddrPort) {
		c.find(w.id(), "find_node", nil, func(*lookup.Lookup, []netip.AddrPort) {})
	})
	w.after(time.Duration(w.r.Int64N(int64(time.Minute))), c.upkeep)
	return c
}

func (w *world) any() *citizen { return w.alive[w.r.IntN(len(w.alive))] }

func (w *world) kill(c *citizen) {
	c.dead = true
	w.alive = slices.DeleteFunc(w.alive, func(o *citizen) bool { return o == c })
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

func (c *citizen) receive(from netip.AddrPort, b []byte) {
	var m krpc.Message
	if err := krpc.Parse(b, &m); err != nil {
		c.w.t.Fatalf("%q: %v", b, err)
	}
	if m.Y == 'q' {
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
func (c *citizen) ask(to netip.AddrPort, method string, target id.ID, token string, done func(*krpc.Message)) {
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

// find runs one lookup to its end.
func (c *citizen) find(target id.ID, method string, seeds []lookup.Node, done func(*lookup.Lookup, []netip.AddrPort)) {
	start := seeds
	for _, n := range c.table.Closest(nil, target, startNodes, func(n *table.Node) bool { return n.Fails == 0 }) {
		start = append(start, lookup.Node{ID: n.ID, Addr: n.Addr, RTT: n.RTT})
	}
	l := lookup.New(lookup.Config{Own: c.table.ID()}, target, start, c.w.now)
	var peers []netip.AddrPort
	begun, over := c.w.now, false
	var pump func()
	pump = func() {
		if over || c.dead {
			return
		}
		for {
			n, ok := l.Next(c.w.now)
			if !ok {
				break
			}
			c.ask(n.Addr, method, target, "", func(m *krpc.Message) {
				if m == nil {
					l.Fail(c.w.now, n.Addr)
				} else {
					var values []netip.AddrPort
					for v := range m.Response.Values.List() {
						b, _ := v.Bytes()
						values = append(values, compact(b))
					}
					peers = append(peers, l.Reply(c.w.now, n.Addr, m.Response.ID, compactNodes(m.Response.Nodes), values, m.Response.Token)...)
				}
				pump()
			})
		}
		if l.Done() {
			over = true
			if took := c.w.now.Sub(begun); took > 10*time.Second || l.Stats().Asked > 128 {
				c.w.t.Fatalf("a lookup took %v and %+v", took, l.Stats())
			}
			done(l, peers)
			return
		}
		if d := l.Deadline(); d != mono.Never {
			c.w.after(d.Sub(c.w.now), pump)
		}
	}
	pump()
}

func compact(b []byte) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(b[:4])
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[4:]))
}

func compactNodes(b []byte) (ns []lookup.Node) {
	for ; len(b) >= krpc.NodeLen4; b = b[krpc.NodeLen4:] {
		ns = append(ns, lookup.Node{ID: id.ID(b[:20]), Addr: compact(b[20:26])})
	}
	return ns
}

// upkeep is what the shell does about the table, once a minute.
func (c *citizen) upkeep() {
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
		c.find(target, "find_node", nil, func(*lookup.Lookup, []netip.AddrPort) {})
	}
	c.w.after(time.Minute, c.upkeep)
}

// live has a world live for 30 minutes, in which a sixth of its nodes is
// replaced, with announces and lookups all along. It returns the share of
// lookups that found the announced peer.
func (w *world) live(size int) (found float64, took []time.Duration) {
	for range size {
		w.birth()
		w.run(100 * ms)
	}
	w.run(time.Minute)
	tries, hits := 0, 0
	for range 30 {
		for range size / 180 {
			if victim := w.any(); victim != w.alive[0] {
				w.kill(victim)
				w.birth()
			}
		}
		infohash, from := w.id(), w.any()
		from.find(infohash, "get_peers", nil, func(l *lookup.Lookup, _ []netip.AddrPort) {
			for _, n := range l.Closest() {
				from.ask(n.Addr, "announce_peer", infohash, string(n.Token), func(*krpc.Message) {})
			}
		})
		w.run(10 * time.Second)
		for range 3 {
			tries++
			begun := w.now
			w.any().find(infohash, "get_peers", nil, func(_ *lookup.Lookup, peers []netip.AddrPort) {
				took = append(took, w.now.Sub(begun))
				if slices.Contains(peers, netip.AddrPortFrom(from.addr.Addr(), 77)) {
					hits++
				}
			})
		}
		w.run(50 * time.Second)
	}
	slices.Sort(took)
	return float64(hits) / float64(tries), took
}

func TestSimulationWithLossAndChurn(t *testing.T) {
	for _, loss := range []float64{0, 0.1} {
		w := newWorld(t, 1, loss)
		found, took := w.live(200)
		known := 0
		for _, c := range w.alive {
			known += c.table.Len()
		}
		t.Logf("loss %.0f %%: %.1f %% of lookups find the peer; done p50 %v, p95 %v; %d datagrams, %d nodes in a table",
			100*loss, 100*found, took[len(took)/2], took[len(took)*95/100], w.sent, known/len(w.alive))
		if found < 0.99 || took[len(took)/2] > time.Second {
			t.Errorf("loss %v: found %.3f, done p50 %v", loss, found, took[len(took)/2])
		}
	}
}

func TestSimulationIsTheSameForTheSameSeed(t *testing.T) {
	var sums [2][]byte
	for i := range sums {
		w := newWorld(t, 2, 0.05)
		w.log = sha256.New()
		w.live(40)
		sums[i] = w.log.Sum(nil)
	}
	if string(sums[0]) != string(sums[1]) {
		t.Fatal("two runs from one seed differ")
	}
}
