package dht

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/dht/lookup"
	"seedbed/dht/table"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// traversal runs the lookups of one target, one for each family. One goroutine owns it, and
// receives the outcomes of its queries as events.
type traversal struct {
	d      *DHT
	method string
	target id.ID
	args   *queryArgs
	ports  addrs.Ports                                                  // to announce; 0: lookup only
	seed   bool                                                         // announce as a seed
	found  func(from netip.AddrPort, peers []netip.AddrPort, fresh int) // the first fresh peers are new to this traversal
	// onReply is called with every answer; it may be nil.
	onReply func(c Contact, r *akrpc.Return)
	onStep  func(Step) // see WithTrace; never nil
	legs    []*leg
	events  inbox
	values  map[netip.AddrPort]struct{}
	begun   time.Time
	took    time.Duration
	counted int // number of our queries included in d.lookups.asked
	sent    int // announces
	ok, ok6 int // accepted announces: all, and those over IPv6
	waiting int // pending announces
}

// leg is the part of a traversal in one family.
type leg struct {
	f         *family
	l         *lookup.Lookup
	past      lookup.Stats            // of earlier lookups, which l has replaced
	boot      bool                    // too few nodes are known, so bootstrap hosts are asked too
	seeds     map[netip.AddrPort]bool // bootstrap addresses that were used
	restarts  int                     // number of times that the lookup was restarted at the bootstrap hosts
	announced bool
	full      bool          // the lookup waits until a flow is free
	widened   bool          // the neighbourhood is forged, and side lookups were started
	sides     int           // number of side lookups that are running
	beside    []lookup.Node // the nodes that they found
}

func newTraversal(d *DHT, method string, target id.ID) *traversal {
	return &traversal{
		d: d, method: method, target: target,
		args:   d.queryArgs(target),
		found:  func(netip.AddrPort, []netip.AddrPort, int) {},
		events: inbox{wakeup: make(chan struct{}, 1)},
		values: make(map[netip.AddrPort]struct{}),
		onStep: func(Step) {},
		begun:  time.Now(),
	}
}

const (
	startNodes  = 16 // number of nodes of the table at which a lookup starts
	minNodes    = 8  // if we know this many good nodes, no bootstrap host is asked
	maxRestarts = 3  // maximum number of times that an incomplete lookup asks bootstrap hosts again
)

// addLeg starts the lookup in one family at the closest nodes that we know. If we know few
// nodes, it also starts at former, saved and bootstrap nodes.
func (t *traversal) addLeg(f *family) {
	g := &leg{f: f, seeds: make(map[netip.AddrPort]bool)}
	f.d.mu.Lock()
	var start []lookup.Node
	for _, n := range f.table.Closest(nil, t.target, startNodes, func(n *table.Node) bool { return n.Fails == 0 }) {
		start = append(start, lookup.Node{ID: n.ID, Addr: n.Addr, RTT: n.RTT})
	}
	f.d.mu.Unlock()
	if len(start) < minNodes {
		start = append(start, t.entryNodes(g)...)
	}
	t.begin(g, start)
	t.legs = append(t.legs, g)
}

// entryNodes returns former and saved nodes, and makes the leg ask bootstrap hosts too.
func (t *traversal) entryNodes(g *leg) (nodes []lookup.Node) {
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

// addStart adds start nodes to a leg. If the lookup ended without any answer, it starts
// again with them.
func (t *traversal) addStart(g *leg, nodes []lookup.Node) {
	switch {
	case len(nodes) == 0:
	case !g.l.Done():
		g.l.Add(nodes)
	case g.l.Stats().Answered == 0 && g.past.Asked < 256:
		t.begin(g, nodes)
	}
}

// bootstrap adds the addresses of bootstrap hosts to the legs that need them. It reports
// whether more addresses may follow, and returns a channel that is closed when that
// changes.
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
		t.addStart(g, fresh)
	}
	return more, changed
}

// run runs the lookups until they end.
func (t *traversal) run(ctx context.Context) (err error) {
	defer func() { t.d.lookups.ended.count(t, err) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.d.ctx, cancel)()
	if trace, ok := ctx.Value(traceKey{}).(func(Step)); ok {
		t.onStep = trace
	}
	if t.method == "get_peers" {
		for _, g := range t.legs {
			t.report(g.f, netip.AddrPort{}, g.f.stored(t.target), nil)
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
		if !busy && t.waiting == 0 && !(more && t.answerCount() == 0) {
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
		case <-t.events.wakeup:
			t.events.run()
		}
	}
}

// step sends the queries of the lookups, and announces when a lookup is over. busy reports
// whether any lookup is not over. again reports that the caller must call step again at
// once, because a leg has new start nodes.
func (t *traversal) step(ctx context.Context) (busy, again bool) {
	for _, g := range t.legs {
		now := t.d.now()
		for {
			if !t.askNext(ctx, g, now) {
				break
			}
			if t.method == "get_peers" {
				t.counted++
				t.d.lookups.asked.Add(1)
			}
		}
		if g.l.Done() && g.l.Stats().Answered == 0 && !g.boot {
			// No node of the table answered, so the table is out of date.
			t.addStart(g, t.entryNodes(g))
			return true, true
		}
		if g.boot && g.restarts < maxRestarts && g.l.IsIncomplete() {
			g.restarts++
			g.l.Restart(slices.Collect(maps.Keys(g.seeds)))
			return true, true
		}
		if targets := g.l.SideTargets(); targets != nil && !g.widened && t.method != "find_node" {
			g.widened = true
			t.startSideLookups(ctx, g, targets)
		}
		if !g.l.Done() || g.sides > 0 {
			busy = true
		} else if t.ports.Of(g.f.v6) != 0 && !g.announced && g.l.Stats().Answered > 0 {
			g.announced = true
			t.announce(ctx, g)
		}
	}
	return busy, false
}

// askNext queues the next query of a leg, if it has one and a flow is free.
func (t *traversal) askNext(ctx context.Context, g *leg, now mono.Time) bool {
	n, ok := t.enqueueNext(ctx, g, now)
	if ok {
		t.onStep(Step{Kind: Asked, ID: n.ID, Addr: n.Addr})
	}
	return ok
}

func (t *traversal) enqueueNext(ctx context.Context, g *leg, now mono.Time) (n lookup.Node, ok bool) {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	if g.full = !g.f.room(now, 1); g.full {
		g.l.Tick(now)
		return n, false
	}
	if n, ok = g.l.Next(now); ok {
		g.f.enqueue(t.query(ctx, g, n.Addr, t.method))
	}
	return n, ok
}

// wait returns the time until step must be called again.
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

func (t *traversal) answerCount() (n int) {
	for _, g := range t.legs {
		n += g.l.Stats().Answered
	}
	return n
}

// startSideLookups starts lookups of the honest nodes around a forged neighbourhood.
func (t *traversal) startSideLookups(ctx context.Context, g *leg, targets []id.ID) {
	for _, x := range targets {
		side := newTraversal(t.d, "find_node", x)
		side.addLeg(g.f)
		started := t.d.spawn(func() {
			_ = side.run(ctx) // it fails only if this traversal ends
			t.events.post(func() { t.widen(g, side) })
		})
		if started {
			g.sides++
		}
	}
}

// widen adds the nodes that a side lookup found.
func (t *traversal) widen(g *leg, side *traversal) {
	g.sides--
	g.beside = append(g.beside, side.legs[0].l.Closest()...)
	if g.sides == 0 {
		g.l.Widen(t.d.now(), g.beside)
	}
}

// maxFound is the maximum number of peers of one lookup.
const maxFound = 8192

// report passes the peers that a node returned to found, except our own address. added has
// the peers that are new to the lookup; named has all that the node returned, of which
// those that were passed before are passed again.
func (t *traversal) report(f *family, from netip.AddrPort, added, named []netip.AddrPort) {
	if len(added)+len(named) == 0 {
		return
	}
	t.d.mu.Lock()
	self := f.self()
	t.d.mu.Unlock()
	list := make([]netip.AddrPort, 0, len(added)+len(named))
	for _, p := range added {
		if p.Addr() == self && (p.Port() == t.ports.Of(f.v6) || p.Port() == f.conn.LocalAddr().Port()) {
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
