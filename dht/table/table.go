// Package table implements the routing table of a DHT node for one address family.
//
// It knows which nodes exist, how reliable they are, and which of them are closest to a
// target. It never sends and never reads the clock. The caller reports what happened
// (Replied, Asked, Failed) and asks what to do next (Questionable, Refresh, Wants).
//
// Only a node that answered one of our queries is kept, so a packet with a forged source
// address adds nothing. The table is an array of buckets, one for each number of leading
// bits that a node's id shares with ours (BEP 5's splitting tree, fully split). The far
// buckets are larger than k, as in libtorrent, so that a lookup starts closer to its
// target. A full bucket keeps a few spare nodes, which replace one of its nodes that fails.
// Queries are answered from an index of the live nodes, sorted by id.
//
// Outside of private networks, one IP address can have one node in the table, and one /24
// (IPv4) or /64 (IPv6) two, which makes it expensive to fill our table with an attacker's
// nodes. A node whose id fits its address (BEP 42) replaces one whose id does not.
package table

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

const (
	// K is the size of an ordinary bucket and of an answer (BEP 5).
	K = 8
	// GoodFor is how long a node stays good after its last answer or query (BEP 5: 15
	// minutes).
	GoodFor = 15 * time.Minute

	spares      = K // replacement cache of a bucket
	perSubnet   = 2 // nodes of one /24 or /64
	maxFailures = 3 // unanswered queries in a row after which a node is removed
	numBuckets  = 8 * id.Len
)

// capacity returns the size of a bucket: 128, 64, 32, 16, then 8.
func capacity(bucket int) int { return K << max(0, 4-bucket) }

// Config is fixed for the life of a table.
type Config struct {
	ID      id.ID
	Relaxed bool      // private network: no limits per address, and BEP 42 is ignored
	Now     mono.Time // when the table begins
}

// Node is what the table knows about a node.
type Node struct {
	ID      id.ID
	Addr    netip.AddrPort
	Replied mono.Time     // its last reply to us
	Asked   mono.Time     // its last query to us; zero if never
	Pinged  mono.Time     // our last attempt to reach it
	RTT     time.Duration // smoothed round trip
	Fails   uint8         // queries in a row that it did not answer
	Secure  bool          // its id fits its address (BEP 42)
}

// Good reports whether the node is good as BEP 5 defines it: it has answered us, and it has
// answered or asked within the last 15 minutes.
func (n *Node) Good(now mono.Time) bool {
	return n.Fails == 0 && (now.Sub(n.Replied) < GoodFor || n.Asked > 0 && now.Sub(n.Asked) < GoodFor)
}

type bucket struct {
	live    []Node
	spare   []Node
	changed mono.Time // last insertion or refresh
	weak    weakness  // of the live nodes, computed by survey
}

// weakness says which node of a full bucket a new node can replace.
type weakness uint8

const (
	unsurveyed weakness = iota
	none                // no live node can be replaced
	insecure            // a node whose id does not fit its address can be replaced by one whose id fits
	failing             // a node that did not answer its last query can be replaced
)

// Table is a routing table. It is not safe for concurrent use.
type Table struct {
	own     id.ID
	relaxed bool
	buckets [numBuckets]bucket
	byAddr  map[netip.AddrPort]id.ID // live and spare nodes
	perIP   map[netip.Addr]int       // only if not Relaxed
	perNet  map[netip.Prefix]int
	live    int
	index   index
}

// New returns an empty table for our id cfg.ID.
func New(cfg Config) *Table {
	t := &Table{
		own: cfg.ID, relaxed: cfg.Relaxed,
		byAddr: make(map[netip.AddrPort]id.ID),
		perIP:  make(map[netip.Addr]int),
		perNet: make(map[netip.Prefix]int),
	}
	for i := range t.buckets {
		t.buckets[i].changed = cfg.Now
	}
	return t
}

// ID returns our id.
func (t *Table) ID() id.ID { return t.own }

// Len returns the number of live nodes, good or not.
func (t *Table) Len() int { return t.live }

// Good returns the number of good nodes.
func (t *Table) Good(now mono.Time) (n int) {
	for i := range t.buckets {
		for j := range t.buckets[i].live {
			if t.buckets[i].live[j].Good(now) {
				n++
			}
		}
	}
	return n
}

// Distance returns the first 64 bits of the distance from our id to our n-th closest live
// node, which shows how dense ids are in this DHT. It returns 0 if there are fewer nodes.
func (t *Table) Distance(n int) uint64 { return t.index.distance(t.own, n) }

func (t *Table) bucketOf(x id.ID) (*bucket, int) {
	i := min(t.own.CommonPrefix(x), numBuckets-1)
	return &t.buckets[i], i
}

func find(ns []Node, x id.ID) int {
	return slices.IndexFunc(ns, func(n Node) bool { return n.ID == x })
}

// Outcome says what Replied did with a node.
type Outcome uint8

const (
	Refused  Outcome = iota // not kept: a rule or a full bucket forbids it
	Updated                 // already known
	Inserted                // new among the live nodes
	Spared                  // new in a replacement cache
	Dropped                 // its id changed: the node is removed
)

// Replied records a validated reply of a node after rtt. It adds a new node if there is
// room for it.
func (t *Table) Replied(now mono.Time, addr netip.AddrPort, node id.ID, rtt time.Duration) Outcome {
	if node == t.own || !addrs.IsNode(addr, t.relaxed) {
		return Refused
	}
	if known, ok := t.byAddr[addr]; ok {
		if known != node {
			// A node that changes its id may be trying to get a position of its choice in
			// many tables. It is removed.
			t.remove(known)
			return Dropped
		}
		n := t.node(node)
		if n.Fails > 0 {
			b, _ := t.bucketOf(node)
			b.weak = unsurveyed
		}
		n.Replied, n.Pinged, n.Fails = now, now, 0
		n.RTT = (3*n.RTT + rtt) / 4
		t.index.update(n)
		return Updated
	}
	b, i := t.bucketOf(node)
	if at := t.node(node); at != nil {
		if at.Fails == 0 {
			return Refused // the id is taken by a node that still answers
		}
		t.remove(node)
	}
	if !t.admits(addr.Addr()) {
		return Refused
	}
	n := Node{
		ID: node, Addr: addr, Replied: now, Pinged: now, RTT: rtt,
		Secure: t.relaxed || Secure(node, addr.Addr()),
	}
	if len(b.live) < capacity(i) {
		t.insertLive(b, n, now)
		return Inserted
	}
	if w := worst(b.live); w >= 0 && (b.live[w].Fails > 0 || n.Secure && !b.live[w].Secure) {
		out := b.live[w]
		b.live = slices.Delete(b.live, w, w+1)
		t.live--
		t.index.remove(out.ID)
		t.insertLive(b, n, now)
		if out.Fails > 0 {
			t.forget(out)
		} else {
			t.keepSpare(b, out)
		}
		return Inserted
	}
	t.count(n, 1)
	if !t.keepSpare(b, n) {
		return Refused
	}
	return Spared
}

func (t *Table) insertLive(b *bucket, n Node, now mono.Time) {
	b.live = append(b.live, n)
	b.weak = unsurveyed
	b.changed = now
	t.live++
	t.index.insert(&n)
	if _, ok := t.byAddr[n.Addr]; !ok {
		t.count(n, 1)
	}
}

// keepSpare adds a node that is already counted to the spare nodes. If they are full, the
// least useful one is dropped. It reports whether n was kept.
func (t *Table) keepSpare(b *bucket, n Node) bool {
	b.spare = append(b.spare, n)
	if len(b.spare) <= spares {
		return true
	}
	w := worst(b.spare)
	out := b.spare[w]
	b.spare = slices.Delete(b.spare, w, w+1)
	t.forget(out)
	return out.Addr != n.Addr
}

// worst returns the least useful node: the one with the most failures, then one whose id
// does not fit its address, then the one that replied the longest ago.
func worst(ns []Node) int {
	w := -1
	for i := range ns {
		if w < 0 || cmpWorth(&ns[i], &ns[w]) < 0 {
			w = i
		}
	}
	return w
}

// cmpWorth is negative if a is less useful than b.
func cmpWorth(a, b *Node) int {
	if c := cmp.Compare(b.Fails, a.Fails); c != 0 {
		return c
	}
	if a.Secure != b.Secure {
		if b.Secure {
			return -1
		}
		return 1
	}
	return cmp.Compare(a.Replied, b.Replied)
}

// Asked records a query that a known node sent us. It does not add a node, because the
// source of a query may be forged. Wants reports whether to ping it.
func (t *Table) Asked(now mono.Time, addr netip.AddrPort, node id.ID) {
	if known, ok := t.byAddr[addr]; ok && known == node {
		n := t.node(node)
		n.Asked = now
		t.index.update(n)
	}
}

// Wants reports whether a node that we have not asked yet would be added to the table, so
// that it is worth a ping.
func (t *Table) Wants(addr netip.AddrPort, node id.ID) bool {
	if node == t.own || !addrs.IsNode(addr, t.relaxed) {
		return false
	}
	b, i := t.bucketOf(node)
	full := len(b.live) >= capacity(i)
	if full && b.weak == unsurveyed {
		b.survey()
	}
	if full && (b.weak == none || b.weak == insecure && !Secure(node, addr.Addr())) {
		return false // the usual case, and cheap
	}
	if _, known := t.byAddr[addr]; known || !t.admits(addr.Addr()) {
		return false
	}
	if at, live := t.index.find(node); live {
		return t.index.nodes[at].until == never // Fails > 0
	}
	return true
}

// survey computes the weakness of the live nodes. The result is kept, because every query
// from an unknown node needs it and it rarely changes.
func (b *bucket) survey() {
	b.weak = none
	for i := range b.live {
		switch n := &b.live[i]; {
		case n.Fails > 0:
			b.weak = failing
			return
		case !n.Secure:
			b.weak = insecure
		}
	}
}

// Pinged records that we ping the node now, so that Questionable returns another one next.
func (t *Table) Pinged(now mono.Time, addr netip.AddrPort) {
	if known, ok := t.byAddr[addr]; ok {
		t.node(known).Pinged = now
	}
}

// Failed records that the node did not answer a query. It removes the node after three
// unanswered queries in a row, or after two if a spare node can replace it.
func (t *Table) Failed(now mono.Time, addr netip.AddrPort) {
	known, ok := t.byAddr[addr]
	if !ok {
		return
	}
	n := t.node(known)
	n.Fails++
	n.Pinged = now
	t.index.update(n)
	b, i := t.bucketOf(known)
	b.weak = unsurveyed
	if n.Fails < maxFailures && (len(b.spare) == 0 || n.Fails < 2) {
		return
	}
	t.remove(known)
	for len(b.spare) > 0 && len(b.live) < capacity(i) {
		best := slices.MaxFunc(b.spare, func(x, y Node) int { return cmpWorth(&x, &y) })
		b.spare = slices.Delete(b.spare, find(b.spare, best.ID), find(b.spare, best.ID)+1)
		if best.Fails > 0 {
			t.forget(best)
			continue
		}
		t.insertLive(b, best, now)
		return
	}
}

// node returns the live or spare node with the id, or nil.
func (t *Table) node(x id.ID) *Node {
	b, _ := t.bucketOf(x)
	if i := find(b.live, x); i >= 0 {
		return &b.live[i]
	}
	if i := find(b.spare, x); i >= 0 {
		return &b.spare[i]
	}
	return nil
}

// Get returns the node at addr.
func (t *Table) Get(addr netip.AddrPort) (Node, bool) {
	known, ok := t.byAddr[addr]
	if !ok {
		return Node{}, false
	}
	return *t.node(known), true
}

func (t *Table) remove(x id.ID) {
	b, _ := t.bucketOf(x)
	if i := find(b.live, x); i >= 0 {
		n := b.live[i]
		b.live = slices.Delete(b.live, i, i+1)
		b.weak = unsurveyed
		t.live--
		t.index.remove(x)
		t.forget(n)
	} else if i := find(b.spare, x); i >= 0 {
		n := b.spare[i]
		b.spare = slices.Delete(b.spare, i, i+1)
		t.forget(n)
	}
}

// Closest appends to dst the k closest nodes to target for which keep is true, closest
// first. keep may be nil for all nodes. k is at most 32.
func (t *Table) Closest(dst []Node, target id.ID, k int, keep func(*Node) bool) []Node {
	c := t.closest(target, k, keep)
	for _, n := range c.nodes[:c.n] {
		dst = append(dst, *n)
	}
	return dst
}

// AppendClosest appends the compact node info (BEP 5: 26 bytes, BEP 32: 38 bytes) of the k
// good nodes closest to target, closest first.
func (t *Table) AppendClosest(dst []byte, now mono.Time, target id.ID, k int) []byte {
	return t.index.appendClosest(dst, now, target, k)
}

// AppendCompact appends the compact node info of one node.
func AppendCompact(dst []byte, node id.ID, addr netip.AddrPort) []byte {
	return addrs.Append(append(dst, node[:]...), addr)
}

// nearest collects the k nodes closest to a target, in order.
type nearest struct {
	target id.ID
	head   uint64 // of the target
	keep   func(*Node) bool
	k, n   int
	nodes  [maxClosest]*Node
	dists  [maxClosest]uint64 // the first 8 bytes of their distances
}

// maxClosest is the maximum of k in Closest.
const maxClosest = 32

// take adds a node if it is one of the k closest so far. For most nodes, the first 8 bytes
// of the distance show that it is not.
func (c *nearest) take(n *Node) {
	d := binary.BigEndian.Uint64(n.ID[:]) ^ c.head
	if c.n == c.k && d > c.dists[c.k-1] || c.keep != nil && !c.keep(n) {
		return
	}
	at := c.n
	for at > 0 && (d < c.dists[at-1] || d == c.dists[at-1] && c.target.CmpDistance(n.ID, c.nodes[at-1].ID) < 0) {
		at--
	}
	if at == c.k {
		return
	}
	if c.n < c.k {
		c.n++
	}
	for i := c.n - 1; i > at; i-- {
		c.nodes[i], c.dists[i] = c.nodes[i-1], c.dists[i-1]
	}
	c.nodes[at], c.dists[at] = n, d
}

func (t *Table) closest(target id.ID, k int, keep func(*Node) bool) (c nearest) {
	c = nearest{target: target, keep: keep, head: binary.BigEndian.Uint64(target[:]), k: min(k, maxClosest)}
	if k == 0 {
		return c
	}
	offer := func(b *bucket) {
		for i := range b.live {
			c.take(&b.live[i])
		}
	}
	// A node in the target's own bucket shares with the target the bit where both differ
	// from our id: it is closer than any in a deeper bucket, whose nodes differ from the
	// target at that bit first. Then each bucket towards 0 is farther than the one before.
	_, home := t.bucketOf(target)
	offer(&t.buckets[home])
	if c.n < k {
		for i := home + 1; i < numBuckets; i++ {
			offer(&t.buckets[i])
		}
	}
	for i := home - 1; i >= 0 && c.n < k; i-- {
		offer(&t.buckets[i])
	}
	return c
}
