// Package lookup is one iterative lookup in the DHT (BEP 5): from the closest
// nodes that we know towards a target, collecting values and write tokens.
//
// It decides whom to ask and when the lookup is over; it never sends or asks
// for the time. The shell loops: Next until it yields nothing, send; Reply and
// Fail as answers come; wake at Deadline.
//
// Speed comes from four rules. Only the k closest candidates that are not
// known to be dead, and a few behind them while slots are free, are asked:
// queries are not wasted on the crowd further back. A candidate waits for a
// slot only while Alpha closer ones are asked: those at the start of the way,
// whose answers matter less with each better one, hold nobody up. A node that
// has not answered within about the 90th percentile of the round trips seen so
// far gives its slot and its place among the k to the next one, yet its late
// reply is still taken. And the lookup is over as soon as the k closest have
// answered, however many stragglers there are.
//
// What strangers send is bounded: the candidates kept, the queries made, the
// nodes taken from one reply, the values remembered. One /24 or /64 has one
// node asked at a time and one among the answers, each address is known under
// two ids at most, and when the first nodes that a source named are all dead,
// the rest of what it named is forgotten. A neighbourhood that is far denser than
// ours is taken for forged (forged.go): the lookup goes on to the nodes around it.
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
	Own        id.ID         // our id: nobody's answer makes us ask ourselves
	K          int           // 8: how many of the closest must have answered
	Alpha      int           // 8, or 3 if Sparing: queries to closer nodes that a candidate waits for; three times as many are under way at most
	Soft       time.Duration // 400 ms: soft timeout while no round trip is known
	Hard       time.Duration // 3 s: when a query has failed for good
	MaxQueries int           // 128: then the lookup ends with what it has
	Zone       uint64        // distance (its first 64 bits) within which K nodes are too many to be honest; 0: not known
	Relaxed    bool          // private network: many nodes may share a /24 or /64
	// Sparing is for an announce that nobody waits for: half the packets, twice the
	// time. No more than Alpha queries are under way, none of them to nodes behind
	// the k closest, and only an answer with a token counts: without one a node
	// takes no announce.
	Sparing bool
}

const (
	ahead         = 2 // candidates behind the k closest that may use free slots
	wide          = 3 // times Alpha: queries under way
	maxCandidates = 192
	maxSeeds      = 64   // start addresses without an id
	maxAtOnce     = 24   // of these, asked at the same time
	maxPerReply   = 20   // nodes taken from one reply
	maxValues     = 4096 // values that are remembered to not yield them twice
	minSoft       = 25 * time.Millisecond
	trust         = 4 // dead nodes in a row, none alive, that discredit a source; of a sparing lookup one less
	inForged      = 2 // times K: nodes of a forged neighbourhood that are asked
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

// Node is a node as a lookup takes and gives it.
type Node struct {
	ID    id.ID // zero: not known yet (a bootstrap address)
	Addr  netip.AddrPort
	RTT   time.Duration // zero: not known; else it helps to choose timeouts
	Token []byte        // of nodes that answered: the right to announce
}

type state uint8

const (
	fresh    state = iota
	asked          // waits for an answer and holds a slot
	late           // past the soft timeout: no slot, no place among the k
	answered       // its answer is in
	dead           // failed, or discredited
)

type candidate struct {
	Node
	state  state
	sent   mono.Time
	source int  // index into sources of who named it; -1: a start node
	beside bool // of a forged neighbourhood: asked and returned in any case
}

// source is the record of one node that named others.
type source struct{ alive, dead int }

// Stats counts what a lookup did.
type Stats struct {
	Asked, Answered, Failed, Late int
	Values                        int // distinct values
	Refused                       int // nodes and replies that the limits turned away
}

// Lookup is one lookup. It is not safe for concurrent use.
type Lookup struct {
	cfg        Config
	target     id.ID
	seeds      []*candidate // start addresses without an id, in order
	list       []*candidate // candidates by distance, closest first
	flight     map[netip.AddrPort]*candidate
	sources    []source
	rtt        quantile
	values     map[netip.AddrPort]struct{}
	slots      int // candidates in state asked
	seedsAsked int
	zone       int  // answers from within cfg.Zone
	zoneAsked  int  // queries there
	forged     bool // these are too many
	stats      Stats
	now        mono.Time // the latest moment that we were told of
	done       bool
}

// New begins a lookup of target from the start nodes, those without an id
// first.
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

// Add gives the lookup more start nodes, such as bootstrap hosts whose names
// have just been resolved.
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

// Astray reports whether the lookup is over with fewer than k answers while
// nodes that it was told of are silent: the few that it knew told it of the dead.
func (l *Lookup) Astray() bool {
	return l.done && l.stats.Answered > 0 && l.stats.Asked < l.cfg.MaxQueries && l.stats.Asked > l.stats.Answered && len(l.Closest()) < l.cfg.K
}

// Again goes on with a lookup that went astray: the start addresses are asked once
// more. What a bootstrap host names is never the same.
func (l *Lookup) Again(start []netip.AddrPort) {
	l.seeds = slices.DeleteFunc(l.seeds, func(c *candidate) bool { return c.state == dead })
	for _, a := range start[:min(len(start), maxSeeds-len(l.seeds))] {
		if l.flight[a] == nil {
			l.seeds = append(l.seeds, &candidate{Node: Node{Addr: a}, source: -1})
			l.done = false
		}
	}
}

// insert puts a node that we heard of in its place.
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

func (l *Lookup) place(c *candidate) {
	at, _ := slices.BinarySearchFunc(l.list, c, func(a, b *candidate) int {
		return l.target.CmpDistance(a.ID, b.ID)
	})
	l.list = slices.Insert(l.list, at, c)
	if len(l.list) <= maxCandidates {
		return
	}
	// The farthest goes, but of forged nodes, which lie closest, sooner one of those.
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

// Next is the node to ask now, if any. The caller sends it a query and reports
// Reply or Fail for its address.
func (l *Lookup) Next(now mono.Time) (Node, bool) {
	l.expire(now)
	slots := l.cfg.Alpha
	if !l.cfg.Sparing {
		slots *= wide
		if l.stats.Answered == 0 {
			slots += maxAtOnce // start addresses go out beside the rest
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

// pick is the next candidate worth a query: the closest fresh one among the
// first that count, else a start address whose id we do not know.
func (l *Lookup) pick() *candidate {
	if l.stats.Answered == 0 || l.cfg.Sparing {
		// Nobody has answered yet. Every start address is asked at once, and known
		// nodes beside them: none waits for the silence of another. Those of a sparing
		// lookup were the closest the last time.
		if l.seedsAsked < maxAtOnce {
			if c := l.seed(); c != nil {
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
			if l.flight[c.Addr] != nil || l.crowded(c) || zone && l.zoneAsked >= inForged*l.cfg.K {
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
			return l.besides()
		}
	}
	if c := l.besides(); c != nil {
		return c
	}
	return l.seed()
}

// counts reports whether an answer is one that the lookup looks for.
func (l *Lookup) counts(c *candidate) bool { return !l.cfg.Sparing || len(c.Token) > 0 }

// besides is the next of the nodes beside a forged neighbourhood.
func (l *Lookup) besides() *candidate {
	for _, c := range l.list {
		if c.beside && c.state == fresh && l.flight[c.Addr] == nil {
			return c
		}
	}
	return nil
}

// seed is the next start address that has not been asked.
func (l *Lookup) seed() *candidate {
	for _, c := range l.seeds {
		if c.state == fresh && l.flight[c.Addr] == nil {
			return c
		}
	}
	return nil
}

// crowded reports whether the candidate's neighbourhood has had its turn.
func (l *Lookup) crowded(c *candidate) bool {
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

// Reply takes the answer of the node at addr: its id, the nodes that it named,
// values and a token. It returns the values that are new. A reply that nobody
// waits for is ignored.
func (l *Lookup) Reply(now mono.Time, addr netip.AddrPort, node id.ID, nodes []Node, values []netip.AddrPort, token []byte) (news []netip.AddrPort) {
	c := l.flight[addr]
	if c == nil {
		l.stats.Refused++
		return nil
	}
	l.land(c)
	l.rtt.add(now.Sub(c.sent))
	if c.ID != node {
		// A bootstrap address tells its id, or the node is not who it was said
		// to be: it counts where it says it is.
		if c = l.rehome(c, node); c == nil {
			return nil
		}
	}
	c.state, c.Token = answered, slices.Clone(token)
	l.stats.Answered++
	l.watch(c)
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

// rehome moves a node to the place of the id that it answered with. It is nil
// when that id is taken or ours.
func (l *Lookup) rehome(c *candidate, node id.ID) *candidate {
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

// land takes a candidate out of the air.
func (l *Lookup) land(c *candidate) {
	delete(l.flight, c.Addr)
	if c.state == asked {
		l.slots--
	}
}

// Fail records that the node at addr will not answer.
func (l *Lookup) Fail(now mono.Time, addr netip.AddrPort) {
	if c := l.flight[addr]; c != nil {
		l.fail(c)
		l.settle(now)
	}
}

func (l *Lookup) fail(c *candidate) {
	l.land(c)
	c.state = dead
	l.stats.Failed++
	l.discredit(c)
}

// discredit counts a dead candidate against who named it. A source of nothing
// but dead nodes loses what it still has in the list.
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

// Done reports whether the lookup is over. Replies that come later are still
// taken: they can add values and tokens.
func (l *Lookup) Done() bool { return l.done }

// Stats is what the lookup did so far.
func (l *Lookup) Stats() Stats { return l.stats }
