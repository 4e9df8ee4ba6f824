package dht

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/dht/krpc"
	"seedbed/dht/lookup"
	"seedbed/dht/table"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// traversal drives the lookups of one target, one for each family. One
// goroutine owns it; queries report to it over a channel.
type traversal struct {
	d       *DHT
	method  string
	target  id.ID
	port    uint16                                                       // announce when not 0
	seed    bool                                                         // and whether we have all of it
	found   func(from netip.AddrPort, peers []netip.AddrPort, fresh int) // the first fresh are new to this traversal
	want    []akrpc.Want
	query   func(ctx context.Context, f *family, to netip.AddrPort) (*akrpc.Return, error) // nil: the engine's
	legs    []*leg
	replies chan reply
	values  map[netip.AddrPort]struct{}
	begun   time.Time
	took    time.Duration
	counted int // of our queries, those in d.lookups.asked
	sent    int // announces
	ok, ok6 int // of these, accepted: in all, and over IPv6
	waiting int // announces under way
}

// leg is the part of a traversal in one family.
type leg struct {
	f         *family
	l         *lookup.Lookup
	past      lookup.Stats            // of lookups that this one replaced
	boot      bool                    // too few nodes are known: bootstrap hosts are asked too
	seeds     map[netip.AddrPort]bool // start addresses that were used
	again     int                     // times that they were asked once more
	announced bool
	full      bool          // it waits for a flow to end
	widened   bool          // the neighbourhood is forged, and we look beside it
	sides     int           // lookups there that are under way
	beside    []lookup.Node // what they found
}

type reply struct {
	leg      *leg
	lookup   *lookup.Lookup // that asked; nil: an announce, or a lookup beside a forged neighbourhood
	beside   *traversal     // that lookup
	addr     netip.AddrPort
	ret      *akrpc.Return // nil: no answer
	accepted bool          // of an announce
}

func newTraversal(d *DHT, method string, target id.ID) *traversal {
	t := &traversal{
		d: d, method: method, target: target,
		found:   func(netip.AddrPort, []netip.AddrPort, int) {},
		replies: make(chan reply, 16),
		values:  make(map[netip.AddrPort]struct{}),
		begun:   time.Now(),
	}
	if len(d.families) > 1 {
		// BEP 32: ask for the nodes of both families when we are in both.
		t.want = []akrpc.Want{akrpc.WantNodes, akrpc.WantNodes6}
	}
	return t
}

const (
	startNodes = 16 // nodes of the table that a lookup begins with
	enough     = 8  // good nodes that make bootstrap hosts unnecessary
	maxAgain   = 3  // times that a lookup gone astray asks them once more
)

// addLeg begins the lookup in one family: from the closest nodes that we know
// and, while these are few, from all other ways in as well.
func (t *traversal) addLeg(f *family) {
	g := &leg{f: f, seeds: make(map[netip.AddrPort]bool)}
	f.d.mu.Lock()
	var start []lookup.Node
	for _, n := range f.table.Closest(nil, t.target, startNodes, func(n *table.Node) bool { return n.Fails == 0 }) {
		start = append(start, lookup.Node{ID: n.ID, Addr: n.Addr, RTT: n.RTT})
	}
	f.d.mu.Unlock()
	if len(start) < enough {
		start = append(start, t.waysIn(g)...)
	}
	t.begin(g, start)
	t.legs = append(t.legs, g)
}

// waysIn is the nodes of better days, and from now on the leg asks bootstrap
// hosts too.
func (t *traversal) waysIn(g *leg) (nodes []lookup.Node) {
	g.boot = true
	t.d.mu.Lock()
	for _, n := range g.f.former {
		nodes = append(nodes, lookup.Node{ID: n.ID, Addr: n.Addr})
	}
	t.d.mu.Unlock()
	for _, s := range t.d.cfg.Nodes {
		if s.Addr.Addr().Is6() == g.f.v6 && !s.ID.IsZero() && addrs.IsNode(s.Addr, g.f.relaxed) {
			nodes = append(nodes, lookup.Node{ID: s.ID, Addr: s.Addr})
		}
	}
	return nodes
}

func (t *traversal) begin(g *leg, start []lookup.Node) {
	if g.l != nil {
		s := g.l.Stats()
		g.past.Asked += s.Asked
		g.past.Failed += s.Failed
	}
	t.d.mu.Lock()
	own, zone := g.f.table.ID(), lookup.Zone(g.f.table.Len(), g.f.table.Distance(lookup.Neighbours))
	t.d.mu.Unlock()
	g.l = lookup.New(lookup.Config{Own: own, Hard: hardTimeout, Zone: zone, Relaxed: g.f.relaxed}, t.target, start, t.d.now())
}

// feed gives a leg start nodes that came up later. A lookup that ended without
// a single answer begins anew with them.
func (t *traversal) feed(g *leg, nodes []lookup.Node) {
	switch {
	case len(nodes) == 0:
	case !g.l.Done():
		g.l.Add(nodes)
	case g.l.Stats().Answered == 0 && g.past.Asked < 256:
		t.begin(g, nodes)
	}
}

// bootstrap feeds the addresses of bootstrap hosts to the legs that need them.
// It reports whether more may come, and tells when.
func (t *traversal) bootstrap() (more bool, changed <-chan struct{}) {
	for _, g := range t.legs {
		if !g.boot {
			continue
		}
		var seeds []lookup.Node
		seeds, more, changed = t.d.boot.known(g.f.v6)
		var fresh []lookup.Node
		for _, s := range seeds {
			if !g.seeds[s.Addr] {
				g.seeds[s.Addr] = true
				fresh = append(fresh, s)
			}
		}
		t.feed(g, fresh)
	}
	return more, changed
}

// run drives the lookups to their end.
func (t *traversal) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.d.ctx, cancel)()
	if t.method == "get_peers" {
		for _, g := range t.legs {
			t.yield(g.f, netip.AddrPort{}, g.f.stored(t.target), nil)
		}
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		more, changed := t.bootstrap()
		busy, again := t.step(ctx)
		if t.d.ctx.Err() != nil {
			return ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if again {
			continue
		}
		if busy {
			t.took = 0
		} else if t.took == 0 {
			t.took = time.Since(t.begun)
		}
		if !busy && t.waiting == 0 && !(more && t.answered() == 0) {
			return nil
		}
		if !more {
			changed = nil
		}
		timer.Reset(t.wait())
		select {
		case <-ctx.Done():
		case <-changed:
		case <-timer.C:
		case r := <-t.replies:
			t.take(r)
			for len(t.replies) > 0 {
				t.take(<-t.replies)
			}
		}
	}
}

// step sends what the lookups want sent, announces where a lookup is over, and
// reports whether any is not. When a leg has found new ways in, step wants to be
// called again at once.
func (t *traversal) step(ctx context.Context) (busy, again bool) {
	for _, g := range t.legs {
		now := t.d.now()
		for {
			n, ok := t.next(g, now)
			if !ok {
				break
			}
			if t.method == "get_peers" {
				t.counted++
				t.d.lookups.asked.Add(1)
			}
			t.ask(ctx, g, n.Addr)
		}
		if g.l.Done() && g.l.Stats().Answered == 0 && !g.boot {
			// Nobody of the table answered: it is a table of former times.
			t.feed(g, t.waysIn(g))
			return true, true
		}
		if g.boot && g.again < maxAgain && g.l.Astray() {
			g.again++
			g.l.Again(slices.Collect(maps.Keys(g.seeds)))
			return true, true
		}
		if targets := g.l.Around(); targets != nil && !g.widened && t.method != "find_node" {
			g.widened = true
			t.lookBeside(ctx, g, targets)
		}
		if !g.l.Done() || g.sides > 0 {
			busy = true
		} else if t.port != 0 && !g.announced && g.l.Stats().Answered > 0 {
			g.announced = true
			t.announce(ctx, g)
		}
	}
	return busy, false
}

// next is whom a leg asks next, if there is a flow for it.
func (t *traversal) next(g *leg, now mono.Time) (lookup.Node, bool) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	if g.full = !g.f.room(now, 1); g.full {
		g.l.Tick(now)
		return lookup.Node{}, false
	}
	n, ok := g.l.Next(now)
	if ok {
		g.f.useFlow(n.Addr) // at once: the query itself may have to wait for the rate
	}
	return n, ok
}

// wait is how long the lookups can do without us.
func (t *traversal) wait() time.Duration {
	now, d := t.d.now(), time.Hour
	for _, g := range t.legs {
		at := g.l.Deadline()
		if g.full {
			t.d.mu.Lock()
			at = min(at, t.d.flows.Next())
			t.d.mu.Unlock()
		}
		if at < now.Add(d) {
			d = max(0, at.Sub(now))
		}
	}
	return d
}

func (t *traversal) answered() (n int) {
	for _, g := range t.legs {
		n += g.l.Stats().Answered
	}
	return n
}

// ask sends one query of the traversal.
func (t *traversal) ask(ctx context.Context, g *leg, addr netip.AddrPort) {
	args := akrpc.MsgArgs{Want: t.want}
	if t.method == "get_peers" {
		args.InfoHash = akrpc.ID(t.target)
	} else {
		args.Target = akrpc.ID(t.target)
	}
	l := g.l
	t.d.spawn(func() {
		var ret *akrpc.Return
		var err error
		if t.query != nil {
			ret, err = t.query(ctx, g.f, addr)
		} else {
			ret, err = g.f.query(ctx, addr, t.method, args)
		}
		if err != nil {
			ret = nil
		}
		select {
		case t.replies <- reply{leg: g, lookup: l, addr: addr, ret: ret}:
		case <-ctx.Done():
		}
	})
}

// lookBeside finds the honest nodes around a forged neighbourhood.
func (t *traversal) lookBeside(ctx context.Context, g *leg, targets []id.ID) {
	for _, x := range targets {
		side := newTraversal(t.d, "find_node", x)
		side.addLeg(g.f)
		started := t.d.spawn(func() {
			_ = side.run(ctx) // it ends early only with this one
			select {
			case t.replies <- reply{leg: g, beside: side}:
			case <-ctx.Done():
			}
		})
		if started {
			g.sides++
		}
	}
}

// widen goes on with what a lookup beside a forged neighbourhood has found.
func (t *traversal) widen(g *leg, side *traversal) {
	g.sides--
	g.beside = append(g.beside, side.legs[0].l.Closest()...)
	if g.sides == 0 {
		g.l.Widen(t.d.now(), g.beside)
	}
}

// announce tells the closest nodes of a leg that we are a peer.
func (t *traversal) announce(ctx context.Context, g *leg) {
	for _, n := range g.l.Takers() {
		ask := krpc.Ask{InfoHash: &t.target, Port: t.port, Seed: t.seed, Token: n.Token}
		started := t.d.spawn(func() {
			_, _, err := g.f.exchange(ctx, n.Addr, "announce_peer", ask)
			select {
			case t.replies <- reply{leg: g, addr: n.Addr, accepted: err == nil}:
			case <-ctx.Done():
			}
		})
		if started {
			t.sent++
			t.waiting++
		}
	}
}

// take takes the outcome of one query.
func (t *traversal) take(r reply) {
	now := t.d.now()
	if r.beside != nil {
		t.widen(r.leg, r.beside)
		return
	}
	if r.lookup == nil {
		t.waiting--
		if r.accepted {
			t.ok++
			if r.leg.f.v6 {
				t.ok6++
			}
		}
		return
	}
	if r.lookup != r.leg.l {
		return // of a lookup that was begun anew
	}
	if r.ret == nil {
		r.leg.l.Fail(now, r.addr)
		return
	}
	var nodes [2][]lookup.Node // of IPv4, of IPv6
	r.ret.ForAllNodes(func(n akrpc.NodeInfo) {
		a := n.Addr.ToNodeAddrPort().AddrPort
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		family := 0
		if a.Addr().Is6() {
			family = 1
		}
		nodes[family] = append(nodes[family], lookup.Node{ID: id.ID(n.ID), Addr: a})
	})
	var peers []netip.AddrPort
	for _, v := range r.ret.Values {
		a := v.ToNodeAddrPort().AddrPort
		a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		if addrs.IsUsable(a, r.leg.f.relaxed) {
			peers = append(peers, a)
		}
	}
	var token []byte
	if r.ret.Token != nil {
		token = []byte(*r.ret.Token)
	}
	for _, g := range t.legs {
		mine := nodes[0]
		if g.f.v6 {
			mine = nodes[1]
		}
		usable := mine[:0]
		for _, n := range mine {
			if addrs.IsNode(n.Addr, g.f.relaxed) {
				usable = append(usable, n)
			}
		}
		if g == r.leg {
			news := g.l.Reply(now, r.addr, id.ID(r.ret.ID), usable, peers, token)
			t.yield(g.f, r.addr, news, peers)
		} else {
			t.feed(g, usable)
		}
	}
}

// maxFound bounds the peers of one lookup.
const maxFound = 8192

// yield hands on peers that a node named and that are not ourselves: news is what
// counts as new to its lookup, and of all that it named only what is known is
// handed on once more.
func (t *traversal) yield(f *family, from netip.AddrPort, news, named []netip.AddrPort) {
	if len(news)+len(named) == 0 {
		return
	}
	t.d.mu.Lock()
	self := f.self()
	t.d.mu.Unlock()
	list := make([]netip.AddrPort, 0, len(news)+len(named))
	for _, p := range news {
		if p.Addr() == self && (p.Port() == t.port || p.Port() == f.conn.LocalAddr().Port()) {
			continue
		}
		if _, known := t.values[p]; !known && len(t.values) < maxFound {
			t.values[p] = struct{}{}
			list = append(list, p)
		}
	}
	fresh := len(list)
	for _, p := range named {
		if _, known := t.values[p]; known && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	if len(list) > 0 {
		t.found(from, list, fresh)
	}
}

func (t *traversal) stats() AnnounceStats {
	s := AnnounceStats{Sent: t.sent, Accepted: t.ok, Accepted6: t.ok6}
	for _, g := range t.legs {
		l := g.l.Stats()
		s.Asked += l.Asked + g.past.Asked
		s.Answered += l.Answered
		s.Failed += l.Failed + g.past.Failed
		s.Closest += len(g.l.Closest())
	}
	s.Peers = len(t.values)
	s.Took = t.took
	return s
}
