package dht

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2/int160"
	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/dht/krpc"
	"seedbed/dht/lookup"
	"seedbed/dht/table"
	"seedbed/internal/id"
)

// The operations of a client, for people and programs that want to know what
// the network said: Ping, FindNode, GetPeers, AnnouncePeer, Get, Put, Sample.
// All but Ping are the one lookup with another question, and keep of every answer the
// client's name, our address as the node sees it and what it returned.

// ErrNoFamily is an address of a family that we have no socket of.
var ErrNoFamily = errors.New("dht: no socket of that address family")

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
	return sharedBits(r.Target, r.Closest[0].ID), true
}

// sharedBits returns how many leading bits two ids share.
func sharedBits(a, b id.ID) int {
	d := int160.Distance(int160.FromByteArray(a), int160.FromByteArray(b))
	return 8*id.Len - d.BitLen()
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
	m, rtt, err := f.roundTrip(ctx, &transaction{to: addr, method: "ping", args: &noArgs, named: true})
	if err != nil {
		return Contact{}, err
	}
	return contact(addr, m, rtt), nil
}

// FindNode finds the nodes closest to target.
func (d *DHT) FindNode(ctx context.Context, target id.ID) (Report, error) {
	return d.inquiry("find_node", target).run(ctx)
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
				Shared: sharedBits(own, n.ID), Good: n.Good(now), Secure: table.Secure(n.ID, n.Addr.Addr())})
		}
	}
	return out
}

// inquiry is one lookup that listens to every answer.
type inquiry struct {
	*traversal
	onPeers  func([]netip.AddrPort)           // new ones
	onAnswer func(c Contact, r *akrpc.Return) // every node's, one at a time

	first    time.Duration
	contacts map[netip.AddrPort]Contact
}

func (d *DHT) inquiry(method string, target id.ID) *inquiry {
	q := &inquiry{traversal: newTraversal(d, method, target), contacts: make(map[netip.AddrPort]Contact)}
	q.heard = func(c Contact, r *akrpc.Return) {
		if len(q.contacts) == 0 {
			q.first = time.Since(q.begun)
		}
		_, again := q.contacts[c.Addr]
		q.contacts[c.Addr] = c
		if q.onAnswer != nil && !again {
			q.onAnswer(c, r)
		}
	}
	q.found = func(_ netip.AddrPort, peers []netip.AddrPort, fresh int) {
		if q.onPeers != nil && fresh > 0 {
			q.onPeers(peers[:fresh])
		}
	}
	return q
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
	q.begun = time.Now()
	for _, f := range q.d.families {
		q.addLeg(f)
	}
	q.d.lookups.made.Add(1)
	q.d.lookups.running.Add(1)
	defer q.d.lookups.running.Add(-1)
	defer func() { q.d.lookups.asked.Add(-int64(q.counted)) }()
	err := q.traversal.run(ctx)
	s := q.stats()
	r := Report{Target: q.target, Asked: s.Asked, Answered: s.Answered, Failed: s.Failed, First: q.first, Took: s.Took}
	if r.Took == 0 {
		r.Took = time.Since(q.begun)
	}
	for _, g := range q.legs {
		for _, n := range g.l.Closest() {
			if c, ok := q.contacts[n.Addr]; ok {
				r.Closest = append(r.Closest, c)
			}
		}
	}
	if err != nil { // cut short: the closest are not known
		r.Answered = max(r.Answered, len(q.contacts))
		r.Closest = slices.Collect(maps.Values(q.contacts))
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
func (q *inquiry) tell(ctx context.Context, method string, ask func(to netip.AddrPort, token []byte) *queryArgs,
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
		told[i].Contact = q.contacts[n.Addr]
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
