package dht

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/dht/krpc"
	"seedbed/dht/lookup"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
)

// This file sends the queries of a traversal and handles their outcomes.

// inbox is a queue of events for the goroutine that runs a traversal.
type inbox struct {
	wakeup chan struct{} // there are events

	mu     sync.Mutex
	events []func()
}

// post adds an event. It never blocks.
func (i *inbox) post(event func()) {
	i.mu.Lock()
	i.events = append(i.events, event)
	i.mu.Unlock()
	nudge(i.wakeup)
}

// run calls the events that were posted.
func (i *inbox) run() {
	i.mu.Lock()
	events := i.events
	i.events = nil
	i.mu.Unlock()
	for _, event := range events {
		event()
	}
}

// reply is the answer of a node to a query of a traversal.
type reply struct {
	node  id.ID
	rtt   time.Duration
	nodes [2][]lookup.Node // of IPv4, of IPv6
	peers []netip.AddrPort
	token []byte

	// These are set only if traversal.onReply is.
	contact Contact
	ret     *akrpc.Return
}

// queryArgs returns the arguments of a query about a target.
func (d *DHT) queryArgs(target id.ID) *queryArgs {
	a := new(queryArgs)
	a.Target, a.InfoHash = akrpc.ID(target), akrpc.ID(target)
	if len(d.families) > 1 {
		// BEP 32: ask for nodes of both families if we have both.
		a.Want = []akrpc.Want{akrpc.WantNodes, akrpc.WantNodes6}
	}
	return a
}

// query returns the query of a leg to one node.
func (t *traversal) query(ctx context.Context, g *leg, addr netip.AddrPort, method string) *transaction {
	l := g.l
	done := func(m *krpc.Message, rtt time.Duration, err error) {
		var refused *RemoteError
		switch {
		case err == nil:
			r := t.read(addr, m, rtt)
			t.events.post(func() { t.answered(g, l, addr, r) })
		case method != t.method || method == "get_peers" || !errors.As(err, &refused) || refused.Code != krpc.CodeUnknown:
			t.events.post(func() { t.failed(g, l, addr) })
		default:
			// The node does not know the method, but it can return nodes.
			t.d.mu.Lock()
			g.f.enqueue(t.query(ctx, g, addr, "find_node"))
			t.d.mu.Unlock()
		}
	}
	return &transaction{to: addr, method: method, args: t.args, ctx: ctx, done: done}
}

// read copies the parts of a message that the traversal uses.
func (t *traversal) read(addr netip.AddrPort, m *krpc.Message, rtt time.Duration) *reply {
	r := &reply{node: m.Response.ID, rtt: rtt, token: bytes.Clone(m.Response.Token)}
	for i, b := range [...][]byte{m.Response.Nodes, m.Response.Nodes6} {
		size := [...]int{krpc.NodeLen4, krpc.NodeLen6}[i]
		if len(b) > 0 {
			r.nodes[i] = make([]lookup.Node, 0, len(b)/size)
		}
		for ; len(b) >= size; b = b[size:] {
			r.nodes[i] = append(r.nodes[i], lookup.Node{ID: id.ID(b[:id.Len]), Addr: addrs.Parse(b[id.Len:size])})
		}
	}
	r.peers = slices.Collect(m.Response.Peers())
	if t.onReply != nil {
		r.contact, r.ret = contact(addr, m, rtt), returned(m)
	}
	return r
}

// announce sends announce_peer to the closest nodes of a leg.
func (t *traversal) announce(ctx context.Context, g *leg) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	for _, n := range g.l.ClosestWithToken() {
		t.sent++
		t.waiting++
		g.f.enqueue(&transaction{
			to: n.Addr, method: "announce_peer", args: announcement(t.target, t.ports.Of(g.f.v6), t.seed, n.Token), ctx: ctx,
			done: func(_ *krpc.Message, _ time.Duration, err error) {
				t.events.post(func() { t.announceDone(g, err == nil) })
			},
		})
	}
}

// announcement returns the arguments of announce_peer.
func announcement(infohash id.ID, port uint16, seed bool, token []byte) *queryArgs {
	p := int(port)
	a := &queryArgs{Seed: seed}
	a.InfoHash, a.Port, a.Token = akrpc.ID(infohash), &p, string(token)
	return a
}

// announceDone handles the outcome of an announce.
func (t *traversal) announceDone(g *leg, accepted bool) {
	t.waiting--
	if accepted {
		t.ok++
		if g.f.v6 {
			t.ok6++
		}
	}
}

// failed handles the failure of a query.
func (t *traversal) failed(g *leg, l *lookup.Lookup, addr netip.AddrPort) {
	t.onStep(Step{Kind: Failed, Addr: addr})
	if l == g.l { // otherwise l has been replaced
		l.Fail(t.d.now(), addr)
	}
}

// answered handles the answer to a query.
func (t *traversal) answered(from *leg, l *lookup.Lookup, addr netip.AddrPort, r *reply) {
	if t.onReply != nil {
		t.onReply(r.contact, r.ret)
	}
	t.onStep(Step{Kind: Answered, ID: r.node, Addr: addr, RTT: r.rtt, Nodes: len(r.nodes[0]) + len(r.nodes[1]), Peers: len(r.peers)})
	if l != from.l {
		return // l has been replaced
	}
	now := t.d.now()
	peers := slices.DeleteFunc(r.peers, func(p netip.AddrPort) bool { return !addrs.IsUsable(p, from.f.relaxed) })
	for _, g := range t.legs {
		nodes := r.nodes[0]
		if g.f.v6 {
			nodes = r.nodes[1]
		}
		nodes = slices.DeleteFunc(nodes, func(n lookup.Node) bool {
			return n.Addr.Addr().Is6() != g.f.v6 || !addrs.IsNode(n.Addr, g.f.relaxed)
		})
		if g == from {
			added := g.l.Reply(now, addr, r.node, nodes, peers, r.token)
			t.report(g.f, addr, added, peers)
		} else {
			t.addStart(g, nodes)
		}
	}
}
