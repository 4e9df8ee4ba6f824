// Package lookup is one iterative lookup in the DHT (BEP 5): it starts at the closest nodes
// that we know, moves towards a target, and collects values and write tokens.
//
// It decides which node to ask next and when the lookup is over. It never sends, and never
// reads the clock. The caller runs this loop: call Next until it returns nothing, and send;
// call Reply and Fail as answers come; call Next again at Deadline.
//
// Four rules make it fast:
//
//   - Only the k closest candidates that are not known to be dead are asked, and a few
//     behind them while slots are free. No queries are wasted on candidates further back.
//   - A candidate waits for a slot only while Alpha closer ones are being asked. Nodes at
//     the start of the way hold nobody up: their answers lose value with each better one.
//   - A node that has not answered within about the 90th percentile of the round trips so
//     far gives its slot, and its place among the k, to the next one. A late reply is
//     still used.
//   - The lookup is over as soon as the k closest have answered, even if others have not.
//
// Limits bound what other nodes can make it do: the candidates kept, the queries sent, the
// nodes taken from one reply, the values remembered. In one /24 or /64 one node is asked at
// a time and one answer counts. Each address is known under at most two ids. When the first
// nodes that a source named are all dead, the rest of what it named is dropped. A
// neighbourhood that is far denser than ours is considered forged (forged.go): the lookup
// then also asks the nodes around it.
package lookup

import (
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Config of a lookup; zero fields take the defaults named here.
type Config struct {
	Own        id.ID         // our id: a node that has it is never asked
	K          int           // 8: how many of the closest nodes must answer
	Alpha      int           // 8, or 3 if Sparing: a candidate waits while so many closer ones are asked; at most 3 times Alpha are asked at once
	Soft       time.Duration // 400 ms: the soft timeout while no round trip is known
	Hard       time.Duration // 3 s: after this time a query has failed
	MaxQueries int           // 128: after so many queries the lookup ends with what it has
	Zone       uint64        // distance (its first 64 bits) within which K nodes prove a forgery; 0: unknown
	Relaxed    bool          // private network: many nodes may share a /24 or /64
	// Sparing is for an announce that nobody waits for. It takes half the packets and
	// more time: at most Alpha queries are under way, and none goes to a node behind the
	// k closest. Only an answer with a token counts, because a node without a token takes
	// no announce.
	Sparing bool
}

const (
	ahead         = 2 // candidates behind the k closest that may be asked too
	wide          = 3 // at most wide*Alpha queries are under way
	maxCandidates = 192
	maxSeeds      = 64   // start addresses whose id is unknown
	maxAtOnce     = 24   // of these, asked at the same time
	maxPerReply   = 20   // nodes taken from one reply
	maxValues     = 4096 // values remembered, so that none is returned twice
	minSoft       = 25 * time.Millisecond
	trust         = 4 // so many dead nodes and none alive discredit their source; one less if Sparing
	inForged      = 2 // at most inForged*K nodes of a forged neighbourhood are asked
)

func (c *Config) defaults() {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	set(&c.K, 8)
	if c.Sparing {
		set(&c.Alpha, 3)
	}
	set(&c.Alpha, 8)
	set(&c.MaxQueries, 128)
	if c.Soft == 0 {
		c.Soft = 400 * time.Millisecond
	}
	if c.Hard == 0 {
		c.Hard = 3 * time.Second
	}
}

// Node is a node of the DHT.
type Node struct {
	ID    id.ID // zero: unknown (a bootstrap address)
	Addr  netip.AddrPort
	RTT   time.Duration // zero: unknown; otherwise the timeouts learn from it
	Token []byte        // the token that it gave, of nodes that answered
}

type state uint8

const (
	fresh state = iota
	asked       // it holds a slot until it answers
	late        // past the soft timeout: it has no slot and no place among the k
	answered
	dead // it failed, or its source is discredited
)

type candidate struct {
	Node
	state  state
	sent   mono.Time
	source int  // index in sources of the node that named it; -1: a start node
	beside bool // it lies beside a forged neighbourhood: it is asked and returned in any case
}

// source counts what became of the nodes that one node named.
type source struct{ alive, dead int }

// Stats counts what a lookup did.
type Stats struct {
	Asked, Answered, Failed, Late int
	Values                        int // distinct values
	Refused                       int // nodes and replies that a limit refused
}

// Lookup is one lookup. It is not safe for concurrent use.
type Lookup struct {
	cfg        Config
	target     id.ID
	seeds      []*candidate // start addresses whose id is unknown, in order
	list       []*candidate // candidates, closest first
	flight     map[netip.AddrPort]*candidate
	sources    []source
	rtt        quantile
	values     map[netip.AddrPort]struct{}
	slots      int // candidates in state asked
	seedsAsked int
	zone       int  // answers from within cfg.Zone
	zoneAsked  int  // queries sent there
	forged     bool // zone has reached K: the neighbourhood is forged
	stats      Stats
	now        mono.Time // the latest time that a caller passed
	done       bool
}

// New starts a lookup of target at the start nodes.
func New(cfg Config, target id.ID, start []Node, now mono.Time) *Lookup {
	cfg.defaults()
	l := &Lookup{
		cfg: cfg, target: target,
		flight: make(map[netip.AddrPort]*candidate),
		values: make(map[netip.AddrPort]struct{}),
	}
	l.Add(start)
	return l
}

// Add adds start nodes, such as bootstrap hosts whose names have just been resolved.
func (l *Lookup) Add(start []Node) {
	for _, n := range start {
		if n.RTT > 0 && n.RTT < l.cfg.Hard {
			l.rtt.add(n.RTT)
		}
		if !n.ID.IsZero() {
			l.insert(n, -1)
			continue
		}
		known := slices.ContainsFunc(l.seeds, func(c *candidate) bool { return c.Addr == n.Addr }) ||
			slices.ContainsFunc(l.list, func(c *candidate) bool { return c.Addr == n.Addr })
		if !known && len(l.seeds) < maxSeeds {
			l.seeds = append(l.seeds, &candidate{Node: n, source: -1})
		}
	}
}

// Astray reports whether the lookup is over with fewer than k answers although other nodes
// were named: the few nodes that it knew named dead ones.
func (l *Lookup) Astray() bool {
	return l.done && l.stats.Answered > 0 && l.stats.Asked < l.cfg.MaxQueries && l.stats.Asked > l.stats.Answered && len(l.Closest()) < l.cfg.K
}

// Again continues a lookup that went astray: it asks the start addresses once more. A
// bootstrap host names other nodes each time.
func (l *Lookup) Again(start []netip.AddrPort) {
	l.seeds = slices.DeleteFunc(l.seeds, func(c *candidate) bool { return c.state == dead })
	for _, a := range start[:min(len(start), maxSeeds-len(l.seeds))] {
		if l.flight[a] == nil {
			l.seeds = append(l.seeds, &candidate{Node: Node{Addr: a}, source: -1})
			l.done = false
		}
	}
}

// insert adds a node that another one named.
func (l *Lookup) insert(n Node, source int) {
	if n.ID == l.cfg.Own || !n.Addr.IsValid() {
		l.stats.Refused++
		return
	}
	same := 0
	for _, c := range l.list {
		if c.Addr == n.Addr {
			if c.ID == n.ID || c.state == answered {
				return
			}
			same++
		}
	}
	if same >= 2 {
		l.stats.Refused++
		return
	}
	l.place(&candidate{Node: n, source: source})
}

// place adds c to the list, and drops another candidate if the list is full.
func (l *Lookup) place(c *candidate) {
	at, _ := slices.BinarySearchFunc(l.list, c, func(a, b *candidate) int {
		return l.target.CmpDistance(a.ID, b.ID)
	})
	l.list = slices.Insert(l.list, at, c)
	if len(l.list) <= maxCandidates {
		return
	}
	// The farthest one is dropped, but a forged node before any other.
	spare := -1
	for i, c := range l.list {
		if c.state != fresh && c.state != dead {
			continue
		}
		if !l.inZone(c) && spare >= 0 && l.inZone(l.list[spare]) {
			break
		}
		spare = i
	}
	if spare >= 0 {
		l.list = slices.Delete(l.list, spare, spare+1)
	}
}

// Next returns the node to ask now, if there is one. The caller sends the query, and calls
// Reply or Fail with its address.
func (l *Lookup) Next(now mono.Time) (Node, bool) {
	l.expire(now)
	slots := l.cfg.Alpha
	if !l.cfg.Sparing {
		slots *= wide
		if l.stats.Answered == 0 {
			slots += maxAtOnce // start addresses are asked beside the others
		}
	}
	if l.done || l.slots >= slots || l.stats.Asked >= l.cfg.MaxQueries {
		return Node{}, false
	}
	c := l.pick()
	if c == nil {
		return Node{}, false
	}
	if c.ID.IsZero() {
		l.seedsAsked++
	}
	c.state, c.sent = asked, now
	if distance(l.target, c.ID) < l.cfg.Zone {
		l.zoneAsked++
	}
	l.flight[c.Addr] = c
	l.slots++
	l.stats.Asked++
	return c.Node, true
}

// pick returns the candidate to ask next: the closest fresh one among the first that
// count, otherwise a start address whose id is unknown.
func (l *Lookup) pick() *candidate {
	if l.stats.Answered == 0 || l.cfg.Sparing {
		// While no node has answered, all start addresses are asked at once, and known
		// nodes beside them, so that none waits for the timeout of another. The start
		// addresses of a sparing lookup were the closest nodes at the last announce.
		if l.seedsAsked < maxAtOnce {
			if c := l.nextSeed(); c != nil {
				return c
			}
		}
	}
	window, closer, most := 0, 0, l.cfg.K
	if !l.cfg.Sparing {
		most += ahead
	}
	for _, c := range l.list {
		zone := l.inZone(c)
		switch {
		case c.state == fresh:
			if l.flight[c.Addr] != nil || l.isSubnetUsed(c) || zone && l.zoneAsked >= inForged*l.cfg.K {
				continue
			}
			return c
		case zone:
		case c.state == answered:
			if l.counts(c) {
				window++
			}
		case c.state == asked:
			window++
			closer++
		}
		if window == most || closer == l.cfg.Alpha {
			return l.nextBeside()
		}
	}
	if c := l.nextBeside(); c != nil {
		return c
	}
	return l.nextSeed()
}

// counts reports whether the answer of c is one of the k that the lookup needs.
func (l *Lookup) counts(c *candidate) bool { return !l.cfg.Sparing || len(c.Token) > 0 }

// nextBeside returns the next node beside a forged neighbourhood.
func (l *Lookup) nextBeside() *candidate {
	for _, c := range l.list {
		if c.beside && c.state == fresh && l.flight[c.Addr] == nil {
			return c
		}
	}
	return nil
}

// nextSeed returns the next start address that has not been asked.
func (l *Lookup) nextSeed() *candidate {
	for _, c := range l.seeds {
		if c.state == fresh && l.flight[c.Addr] == nil {
			return c
		}
	}
	return nil
}

// isSubnetUsed reports whether another node of the candidate's /24 or /64 is being asked or
// has answered.
func (l *Lookup) isSubnetUsed(c *candidate) bool {
	if l.cfg.Relaxed {
		return false
	}
	net := subnet(c.Addr.Addr())
	for _, o := range l.list {
		if o != c && (o.state == asked || o.state == answered) && subnet(o.Addr.Addr()) == net {
			return true
		}
	}
	return false
}

func subnet(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, _ := a.Prefix(bits)
	return p
}

// Reply takes the answer of the node at addr: its id, the nodes that it named, values and a
// token. It returns the values that are new. An unexpected reply is ignored.
func (l *Lookup) Reply(now mono.Time, addr netip.AddrPort, node id.ID, nodes []Node, values []netip.AddrPort, token []byte) (news []netip.AddrPort) {
	c := l.flight[addr]
	if c == nil {
		l.stats.Refused++
		return nil
	}
	l.endFlight(c)
	l.rtt.add(now.Sub(c.sent))
	if c.ID != node {
		// A bootstrap address gave its id, or the node has another id than the one that
		// was named. It counts under the id that it gave.
		if c = l.moveTo(c, node); c == nil {
			return nil
		}
	}
	c.state, c.Token = answered, slices.Clone(token)
	l.stats.Answered++
	l.countZone(c)
	if c.source >= 0 {
		l.sources[c.source].alive++
	}
	if len(nodes) > maxPerReply {
		l.stats.Refused += len(nodes) - maxPerReply
		nodes = nodes[:maxPerReply]
	}
	if len(nodes) > 0 {
		l.sources = append(l.sources, source{})
		for _, n := range nodes {
			n.Token, n.RTT = nil, 0
			if !n.ID.IsZero() {
				l.insert(n, len(l.sources)-1)
			}
		}
	}
	for _, v := range values {
		if _, ok := l.values[v]; ok || len(l.values) >= maxValues {
			continue
		}
		l.values[v] = struct{}{}
		news = append(news, v)
	}
	l.stats.Values = len(l.values)
	l.settle(now)
	return news
}

// moveTo moves a node to the place of the id that it answered with. It returns nil if that
// id is taken, or ours.
func (l *Lookup) moveTo(c *candidate, node id.ID) *candidate {
	known := !c.ID.IsZero()
	if known {
		c.state = dead
		l.discredit(c)
	} else {
		l.seeds = slices.DeleteFunc(l.seeds, func(s *candidate) bool { return s == c })
	}
	if node == l.cfg.Own || node.IsZero() {
		l.stats.Refused++
		return nil
	}
	for _, o := range l.list {
		if o.ID != node || o.state == dead {
			continue
		}
		if o.Addr == c.Addr {
			return o
		}
		if o.state == answered {
			l.stats.Refused++
			return nil
		}
	}
	n := &candidate{Node: Node{ID: node, Addr: c.Addr}, sent: c.sent, source: -1}
	n.state = answered
	l.place(n)
	return n
}

// endFlight ends the query to a candidate.
func (l *Lookup) endFlight(c *candidate) {
	delete(l.flight, c.Addr)
	if c.state == asked {
		l.slots--
	}
}

// Fail records that the node at addr has not answered.
func (l *Lookup) Fail(now mono.Time, addr netip.AddrPort) {
	if c := l.flight[addr]; c != nil {
		l.fail(c)
		l.settle(now)
	}
}

func (l *Lookup) fail(c *candidate) {
	l.endFlight(c)
	c.state = dead
	l.stats.Failed++
	l.discredit(c)
}

// discredit counts a dead candidate against the node that named it. When a source has named
// dead nodes only, its other candidates are dropped.
func (l *Lookup) discredit(c *candidate) {
	if c.source < 0 {
		return
	}
	s := &l.sources[c.source]
	most := trust
	if l.cfg.Sparing {
		most--
	}
	if s.dead++; s.alive > 0 || s.dead < most {
		return
	}
	for _, o := range l.list {
		if o.source == c.source && o.state == fresh {
			o.state = dead
			l.stats.Refused++
		}
	}
}

// Done reports whether the lookup is over. Later replies are still taken: they can add
// values and tokens.
func (l *Lookup) Done() bool { return l.done }

// Stats returns the counters of the lookup.
func (l *Lookup) Stats() Stats { return l.stats }
