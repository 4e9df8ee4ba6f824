// Package lookup implements one iterative lookup in the DHT (BEP 5). A lookup starts at the
// closest nodes that we know, moves towards a target, and collects values and write tokens.
//
// It decides which node to ask next and when the lookup is over. It never sends, and never
// reads the clock. The caller runs this loop: call Next until it returns nothing, and send;
// call Reply and Fail as answers come; call Next again at Deadline.
//
// Four rules make it fast:
//
//   - Only the k closest candidates that are not known to be dead are asked, and up to two
//     more while slots are free. No query goes to a candidate that is farther away.
//   - A candidate waits for a slot only while Alpha closer ones are being asked. So slow
//     nodes that are far from the target do not delay closer ones.
//   - A node that has not answered within about the 90th percentile of the round trips so
//     far loses its slot, and its place among the k, to the next one. A late reply is still
//     used.
//   - The lookup is over as soon as the k closest have answered, even if others have not.
//
// Limits bound what other nodes can make it do: the candidates kept, the queries sent, the
// nodes taken from one reply, the values remembered. Of the nodes in one /24 or /64, only
// one is asked at a time and only one answer counts. Each address is known under at most
// two ids. When the first nodes that a source named are all dead, the rest of what it named
// is dropped. If there are far more nodes near the target than near our own id, they are
// considered forged (forged.go). The lookup then also asks the nodes around them.
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
	Alpha      int           // 8, or 3 if Sparing: a candidate waits while this many closer ones are being asked; at most 3*Alpha are asked at once
	Soft       time.Duration // 400 ms: the soft timeout while no round trip is known
	Hard       time.Duration // 3 s: after this time a query has failed
	MaxQueries int           // 128: after this many queries the lookup ends with what it has
	Zone       uint64        // distance (its first 64 bits) within which K nodes prove a forgery; 0: unknown
	Relaxed    bool          // private network: many nodes may share a /24 or /64
	// Sparing is for announces in the background. The lookup takes half the packets and
	// more time: at most Alpha queries are pending, all to the k closest nodes. Only an
	// answer with a token counts, because a node that gave no token accepts no announce. If
	// the first two nodes that a source named are silent, the others are asked last.
	Sparing bool
}

const (
	extraAsked    = 2 // candidates after the k closest that may be asked too
	alphaFactor   = 3 // at most alphaFactor*Alpha queries are pending
	maxCandidates = 192
	maxSeeds      = 64   // start addresses whose id is unknown
	maxAtOnce     = 24   // of these, asked at the same time
	maxPerReply   = 20   // nodes taken from one reply
	maxValues     = 4096 // values remembered, so that none is returned twice
	minSoft       = 25 * time.Millisecond
	maxDeadNamed  = 4 // number of dead nodes, with none alive, after which the other nodes of their source are dropped; one less if Sparing
	maxLateNamed  = 2 // number of late or dead nodes, with none alive, after which a sparing lookup asks the other named nodes last
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
	Token []byte        // the token that the node gave in its answer
}

type state uint8

const (
	fresh state = iota
	asked       // queried: it has a slot until it answers
	late        // past the soft timeout: it has no slot and no place among the k
	answered
	dead // it did not answer, or its source named dead nodes only
)

type candidate struct {
	Node
	state  state
	sent   mono.Time
	source int  // index in sources of the node that named it; -1: a start node
	beside bool // added by Widen: it is asked and returned in any case
}

// source counts the live, the dead and the late nodes among those that one node named.
type source struct{ alive, dead, late int }

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

// IsIncomplete reports whether the lookup ended with fewer than k answers because too many
// of the nodes that it found are dead.
func (l *Lookup) IsIncomplete() bool {
	return l.done && l.stats.Answered > 0 && l.stats.Asked < l.cfg.MaxQueries && l.stats.Asked > l.stats.Answered && len(l.Closest()) < l.cfg.K
}

// Restart continues an incomplete lookup: it asks the start addresses once more. A
// bootstrap host returns other nodes each time.
func (l *Lookup) Restart(start []netip.AddrPort) {
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
	// The farthest candidate is dropped. If there are forged nodes, the farthest of them
	// is.
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

// Reply takes the answer of the node at addr: its id, the nodes that it named, values and a
// token. It returns the values that no earlier reply contained. An unexpected reply is
// ignored.
func (l *Lookup) Reply(now mono.Time, addr netip.AddrPort, node id.ID, nodes []Node, values []netip.AddrPort, token []byte) (added []netip.AddrPort) {
	c := l.flight[addr]
	if c == nil {
		l.stats.Refused++
		return nil
	}
	l.endFlight(c)
	l.rtt.add(now.Sub(c.sent))
	if c.ID != node {
		// A bootstrap address replied with its id, or a node has another id than the reply
		// that named it said. The node counts under the id in its own reply.
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
		added = append(added, v)
	}
	l.stats.Values = len(l.values)
	l.settle(now)
	return added
}

// moveTo moves a node to the position of the id in its reply. It returns nil if another
// node has that id, or if it is ours.
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
	if c.state == late && c.source >= 0 {
		l.sources[c.source].late--
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

// discredit counts a dead candidate against the node that named it. If a source has named
// only dead nodes so far, its other candidates are dropped.
func (l *Lookup) discredit(c *candidate) {
	if c.source < 0 {
		return
	}
	s := &l.sources[c.source]
	most := maxDeadNamed
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
