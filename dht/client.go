package dht

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/dht/krpc"
	"seedbed/dht/lookup"
	"seedbed/dht/table"
	"seedbed/internal/id"
)

// The operations of a client, for people and programs that want to know what
// the network said: Ping, FindNode, GetPeers, AnnouncePeer, Get, Put, Sample.
// All but Ping are the one lookup with another question. Their queries do not
// pass through the engine: answers are read in our own view, so that what a
// hostile node returns is checked before anything decodes it, and the client's
// name, our address as the node sees it and its error codes are still there.

// ErrNoAnswer is a node that did not answer in time.
var ErrNoAnswer = errors.New("dht: no answer")

// ErrNoFamily is an address of a family that we have no socket of.
var ErrNoFamily = errors.New("dht: no socket of that address family")

// RemoteError is an error reply (BEP 5).
type RemoteError struct {
	Code int
	Text string // as the node sent it: not fit for a terminal
}

func (e *RemoteError) Error() string { return fmt.Sprintf("error %d %q", e.Code, e.Text) }

// Contact is a node that answered.
type Contact struct {
	ID       id.ID
	Addr     netip.AddrPort
	RTT      time.Duration
	Client   string         // "v": two letters and a version in hex; "" if it did not say
	External netip.AddrPort // our address as it sees it (BEP 42); port 0 if it left that out
	Secure   bool           // its id fits its address (BEP 42)
}

// Report is what a lookup did.
type Report struct {
	Target   id.ID
	Asked    int           // nodes asked
	Answered int           // that answered
	Failed   int           // that refused or stayed silent, as far as we waited
	First    time.Duration // until the first answer
	Took     time.Duration
	Closest  []Contact // that answered, in order: of each family the 8 closest, or all if it was cut short
}

// Distance is how many leading bits the closest node shares with the target.
func (r *Report) Distance() (bits int, ok bool) {
	if len(r.Closest) == 0 {
		return 0, false
	}
	return r.Target.CommonPrefix(r.Closest[0].ID), true
}

// answer is a datagram that answers a query of ours.
type answer struct {
	b   []byte
	rtt time.Duration
}

// exchange asks the node at to and waits for its answer. An error reply is a
// *RemoteError.
func (f *family) exchange(ctx context.Context, to netip.AddrPort, method string, ask krpc.Ask) (*krpc.Message, time.Duration, error) {
	if !f.mayAsk(to) {
		return nil, 0, errNoNode
	}
	return f.exchangeNamed(ctx, to, method, ask)
}

// exchangeNamed is exchange with a node that the user named, at any port.
func (f *family) exchangeNamed(ctx context.Context, to netip.AddrPort, method string, ask krpc.Ask) (*krpc.Message, time.Duration, error) {
	if err := f.d.limiter.Wait(ctx); err != nil {
		return nil, 0, cmp.Or(ctx.Err(), ErrNoAnswer)
	}
	back := make(chan answer, 1)
	if err := f.put(to, method, ask, back); err != nil {
		return nil, 0, err
	}
	timeout := time.NewTimer(hardTimeout)
	defer timeout.Stop()
	select {
	case a := <-back:
		m := new(krpc.Message)
		if err := krpc.Parse(a.b, m); err != nil {
			return nil, 0, err // it was parsed before: this does not happen
		}
		if m.Y == 'e' {
			return m, a.rtt, &RemoteError{int(m.Error.Code), string(m.Error.Text)}
		}
		return m, a.rtt, nil
	case <-timeout.C:
		return nil, 0, ErrNoAnswer
	case <-f.d.ctx.Done():
		return nil, 0, ErrClosed
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// put puts a query on the wire. Its answer goes to back.
func (f *family) put(to netip.AddrPort, method string, ask krpc.Ask, back chan<- answer) error {
	f.d.mu.Lock()
	if err := f.admit(to); err != nil {
		f.d.mu.Unlock()
		return err
	}
	key := f.freeKey()
	f.pending[key] = pending{addr: to, sent: f.d.now(), answer: back}
	f.useFlow(to)
	f.counts.Out++
	ask.ID = f.table.ID()
	f.d.mu.Unlock()
	var t [4]byte
	binary.BigEndian.PutUint32(t[:], key)
	err := f.conn.WriteTo(krpc.AppendQuery(nil, t[:], method, &ask, f.d.cfg.ReadOnly), to)
	if err != nil {
		f.d.mu.Lock()
		f.unsent(key)
		f.d.mu.Unlock()
	}
	return err
}

func contact(addr netip.AddrPort, m *krpc.Message, rtt time.Duration) Contact {
	return Contact{
		ID: m.Response.ID, Addr: addr, RTT: rtt, Client: client(m.Version),
		External: m.IP, Secure: table.Secure(m.Response.ID, addr.Addr()),
	}
}

// client makes "v" readable: "LT 0207".
func client(v []byte) string {
	letter := func(c byte) bool { return c >= '!' && c <= '~' }
	switch {
	case len(v) == 0:
		return ""
	case len(v) == 4 && letter(v[0]) && letter(v[1]):
		return string(v[:2]) + " " + hex.EncodeToString(v[2:])
	}
	return hex.EncodeToString(v[:min(len(v), 16)])
}

// familyOf is our half of the DHT that an address belongs to.
func (d *DHT) familyOf(addr netip.Addr) *family {
	for _, f := range d.families {
		if f.v6 == addr.Is6() {
			return f
		}
	}
	return nil
}

// Ping asks the node at addr whether it is there.
func (d *DHT) Ping(ctx context.Context, addr netip.AddrPort) (Contact, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	f := d.familyOf(addr.Addr())
	if f == nil {
		return Contact{}, ErrNoFamily
	}
	m, rtt, err := f.exchangeNamed(ctx, addr, "ping", krpc.Ask{})
	if err != nil {
		return Contact{}, err
	}
	return contact(addr, m, rtt), nil
}

// FindNode finds the nodes closest to target.
func (d *DHT) FindNode(ctx context.Context, target id.ID) (Report, error) {
	q := d.inquiry("find_node", target)
	q.ask.Target = &target
	return q.run(ctx)
}

// NodeInfo is a node of our routing table.
type NodeInfo struct {
	ID     id.ID
	Addr   netip.AddrPort
	RTT    time.Duration
	Silent time.Duration // since it answered last
	Shared int           // leading bits that its id shares with ours
	Good   bool
	Secure bool
}

// Nodes is the routing tables of both families, the nodes that are closest to
// our id last.
func (d *DHT) Nodes() (out []NodeInfo) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for _, f := range d.families {
		own := f.table.ID()
		for _, n := range f.table.Nodes() {
			out = append(out, NodeInfo{ID: n.ID, Addr: n.Addr, RTT: n.RTT, Silent: now.Sub(n.Replied),
				Shared: own.CommonPrefix(n.ID), Good: n.Good(now), Secure: table.Secure(n.ID, n.Addr.Addr())})
		}
	}
	return out
}

// inquiry is one lookup that listens to every answer.
type inquiry struct {
	d      *DHT
	method string
	target id.ID
	ask    krpc.Ask
	found  func([]netip.AddrPort)
	on     func(c Contact, r krpc.Returned) // every answer, one at a time

	mu    sync.Mutex
	over  bool
	begun time.Time
	first time.Duration
	heard map[netip.AddrPort]Contact
	legs  []*leg
}

func (d *DHT) inquiry(method string, target id.ID) *inquiry {
	return &inquiry{
		d: d, method: method, target: target,
		ask:   krpc.Ask{Want4: len(d.families) > 1, Want6: len(d.families) > 1}, // BEP 32
		heard: make(map[netip.AddrPort]Contact),
	}
}

// query asks one node on behalf of the traversal.
func (q *inquiry) query(ctx context.Context, f *family, to netip.AddrPort) (*akrpc.Return, error) {
	m, rtt, err := f.exchange(ctx, to, q.method, q.ask)
	var refused *RemoteError
	if errors.As(err, &refused) && refused.Code == krpc.CodeUnknown && q.ask.Target != nil {
		// It does not know the method, yet it may know the way.
		m, rtt, err = f.exchange(ctx, to, "find_node", krpc.Ask{Target: q.ask.Target, Want4: q.ask.Want4, Want6: q.ask.Want6})
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if !q.over {
		if len(q.heard) == 0 {
			q.first = time.Since(q.begun)
		}
		c := contact(to, m, rtt)
		_, again := q.heard[to]
		q.heard[to] = c
		if q.on != nil && !again {
			q.on(c, m.Returned())
		}
	}
	return returned(&m.Response), nil
}

// returned is what the traversal uses of a checked response.
func returned(r *krpc.Response) *akrpc.Return {
	out := &akrpc.Return{ID: akrpc.ID(r.ID)}
	addr := func(b []byte) akrpc.NodeAddr {
		return akrpc.NodeAddr{IP: b[:len(b)-2], Port: int(binary.BigEndian.Uint16(b[len(b)-2:]))}
	}
	for b := r.Nodes; len(b) > 0; b = b[krpc.NodeLen4:] {
		out.Nodes = append(out.Nodes, akrpc.NodeInfo{ID: akrpc.ID(b[:id.Len]), Addr: addr(b[id.Len:krpc.NodeLen4])})
	}
	for b := r.Nodes6; len(b) > 0; b = b[krpc.NodeLen6:] {
		out.Nodes6 = append(out.Nodes6, akrpc.NodeInfo{ID: akrpc.ID(b[:id.Len]), Addr: addr(b[id.Len:krpc.NodeLen6])})
	}
	for v := range r.Values.List() {
		b, _ := v.Bytes()
		out.Values = append(out.Values, addr(b))
	}
	if len(r.Token) > 0 {
		token := string(r.Token)
		out.Token = &token
	}
	return out
}

// run drives the lookup to its end.
func (q *inquiry) run(ctx context.Context) (Report, error) {
	select {
	case q.d.searching <- struct{}{}:
		defer func() { <-q.d.searching }()
	case <-ctx.Done():
		return Report{Target: q.target}, ctx.Err()
	case <-q.d.ctx.Done():
		return Report{Target: q.target}, ErrClosed
	}
	t := newTraversal(q.d, q.method, q.target)
	t.query = q.query
	if q.found != nil {
		t.found = func(_ netip.AddrPort, peers []netip.AddrPort, fresh int) {
			if fresh > 0 {
				q.found(peers[:fresh])
			}
		}
	}
	q.begun = t.begun
	for _, f := range q.d.families {
		t.addLeg(f)
	}
	q.d.lookups.made.Add(1)
	q.d.lookups.running.Add(1)
	defer q.d.lookups.running.Add(-1)
	defer func() { q.d.lookups.asked.Add(-int64(t.counted)) }()
	err := t.run(ctx)
	s := t.stats()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.over, q.legs = true, t.legs
	r := Report{Target: q.target, Asked: s.Asked, Answered: s.Answered, Failed: s.Failed, First: q.first, Took: s.Took}
	if r.Took == 0 {
		r.Took = time.Since(q.begun)
	}
	for _, g := range t.legs {
		for _, n := range g.l.Closest() {
			if c, ok := q.heard[n.Addr]; ok {
				r.Closest = append(r.Closest, c)
			}
		}
	}
	if err != nil { // cut short: what was heard last had not reached the lookup
		r.Answered = max(r.Answered, len(q.heard))
		r.Closest = slices.Collect(maps.Values(q.heard))
	}
	slices.SortStableFunc(r.Closest, func(a, b Contact) int { return q.target.CmpDistance(a.ID, b.ID) })
	return r, err
}

// Told is what became of a request to one of the closest nodes.
type Told struct {
	Contact
	Accepted bool
	Kept     bool  // of an item: it came back as it was put
	Err      error // why not accepted: a *RemoteError, ErrNoAnswer, or what the system said
}

// tell sends every one of the closest nodes that gave a token the request that
// ask makes, all at once, and then, if it is accepted, asks check. Those that has
// names need not be told. check and has may be nil.
func (q *inquiry) tell(ctx context.Context, method string, ask func(to netip.AddrPort, token []byte) krpc.Ask,
	check func(f *family, to netip.AddrPort) bool, has func(netip.AddrPort) bool) []Told {
	type target struct {
		f *family
		lookup.Node
	}
	var nodes []target
	for _, g := range q.legs {
		for _, n := range g.l.Takers() {
			nodes = append(nodes, target{g.f, n})
		}
	}
	told := make([]Told, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		told[i].Contact = q.heard[n.Addr]
		if has != nil && has(n.Addr) {
			told[i].Accepted, told[i].Kept = true, true
			continue
		}
		wg.Go(func() {
			_, _, err := n.f.exchange(ctx, n.Addr, method, ask(n.Addr, n.Token))
			told[i].Accepted, told[i].Err = err == nil, err
			if err == nil && check != nil {
				told[i].Kept = check(n.f, n.Addr)
			}
		})
	}
	wg.Wait()
	slices.SortStableFunc(told, func(a, b Told) int { return q.target.CmpDistance(a.ID, b.ID) })
	return told
}
