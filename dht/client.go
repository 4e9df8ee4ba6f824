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

// Ping, FindNode, GetPeers, AnnouncePeer, Get, Put and Sample report what each node
// answered. All except Ping run a lookup and differ in the query that they send. For every
// answer they record the client's name, our address as the node sees it, and the return
// values.

// ErrNoFamily is the error for an address of a family for which we have no socket.
var ErrNoFamily = errors.New("dht: no socket for that address family")

// Contact is a node that answered.
type Contact struct {
	ID       id.ID
	Addr     netip.AddrPort
	RTT      time.Duration
	Client   string         // from "v": two letters and a version in hex; "" if absent
	External netip.AddrPort // our address as the node sees it (BEP 42); port 0 if absent
	Secure   bool           // its id fits its address (BEP 42)
}

// Report is the result of a lookup.
type Report struct {
	Target   id.ID
	Asked    int           // nodes asked
	Answered int           // nodes that answered
	Failed   int           // nodes that replied with an error, or did not answer while the lookup ran
	First    time.Duration // time until the first answer
	Took     time.Duration
	Closest  []Contact // the 8 closest nodes that answered in each family, in order of distance; if the lookup was cancelled, all that answered
}

// Distance returns the number of leading bits that the closest node shares with the target.
// ok is false if no node answered.
func (r *Report) Distance() (bits int, ok bool) {
	if len(r.Closest) == 0 {
		return 0, false
	}
	return sharedBits(r.Target, r.Closest[0].ID), true
}

// sharedBits returns the number of leading bits that two ids share.
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

// client returns the value of "v" in readable form, such as "LT 0207".
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

// familyOf returns the family of an address, or nil if we have no socket for it.
func (d *DHT) familyOf(addr netip.Addr) *family {
	for _, f := range d.families {
		if f.v6 == addr.Is6() {
			return f
		}
	}
	return nil
}

// Ping pings the node at addr.
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
	return d.newTracedLookup("find_node", target).run(ctx)
}

// NodeInfo is a node of our routing table.
type NodeInfo struct {
	ID     id.ID
	Addr   netip.AddrPort
	RTT    time.Duration
	Silent time.Duration // time since its last answer
	Shared int           // number of leading bits that its id shares with ours
	Good   bool
	Secure bool
}

// Nodes returns the nodes of the routing tables of both families. In each family, the nodes
// closest to our id come last.
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

// tracedLookup is a lookup that records every answer.
type tracedLookup struct {
	*traversal
	onPeers  func([]netip.AddrPort)           // called with peers that were not found before
	onAnswer func(c Contact, r *akrpc.Return) // called with the first answer of every node, one at a time

	first    time.Duration
	contacts map[netip.AddrPort]Contact
}

func (d *DHT) newTracedLookup(method string, target id.ID) *tracedLookup {
	q := &tracedLookup{traversal: newTraversal(d, method, target), contacts: make(map[netip.AddrPort]Contact)}
	q.onReply = func(c Contact, r *akrpc.Return) {
		if len(q.contacts) == 0 {
			q.first = time.Since(q.begun)
		}
		_, seenBefore := q.contacts[c.Addr]
		q.contacts[c.Addr] = c
		if q.onAnswer != nil && !seenBefore {
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

// run runs the lookup until it ends.
func (q *tracedLookup) run(ctx context.Context) (Report, error) {
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
	if err != nil { // cancelled: the closest nodes are not known
		r.Answered = max(r.Answered, len(q.contacts))
		r.Closest = slices.Collect(maps.Values(q.contacts))
	}
	slices.SortStableFunc(r.Closest, func(a, b Contact) int { return q.target.CmpDistance(a.ID, b.ID) })
	return r, err
}

// NodeResult is the outcome of a request to one of the closest nodes.
type NodeResult struct {
	Contact
	Accepted bool
	Stored   bool  // a later get returned the item as it was put
	Err      error // why it was not accepted: a *RemoteError, ErrNoAnswer, or an error of the system
}

// sendToClosest sends a request to each of the closest nodes that gave a token, all at
// once. ask returns the arguments for a node. If a node accepts the request, check reports
// whether it stores the item. Nodes for which has returns true are skipped and count as
// accepted. check and has may be nil.
func (q *tracedLookup) sendToClosest(ctx context.Context, method string, ask func(to netip.AddrPort, token []byte) *queryArgs,
	check func(f *family, to netip.AddrPort) bool, has func(netip.AddrPort) bool) []NodeResult {
	type target struct {
		f *family
		lookup.Node
	}
	var nodes []target
	for _, g := range q.legs {
		for _, n := range g.l.ClosestWithToken() {
			nodes = append(nodes, target{g.f, n})
		}
	}
	results := make([]NodeResult, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		results[i].Contact = q.contacts[n.Addr]
		if has != nil && has(n.Addr) {
			results[i].Accepted, results[i].Stored = true, true
			continue
		}
		wg.Go(func() {
			_, _, err := n.f.exchange(ctx, n.Addr, method, ask(n.Addr, n.Token))
			results[i].Accepted, results[i].Err = err == nil, err
			if err == nil && check != nil {
				results[i].Stored = check(n.f, n.Addr)
			}
		})
	}
	wg.Wait()
	slices.SortStableFunc(results, func(a, b NodeResult) int { return q.target.CmpDistance(a.ID, b.ID) })
	return results
}
