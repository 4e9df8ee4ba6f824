package announce

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

const (
	closest    = 8 // BEP 5: an announce goes to the K closest nodes
	alpha      = 3 // get_peers of one visit under way at a time
	maxAsked   = 32
	maxNear    = 32 // candidates
	startNodes = 16 // of the window

	maxPerReply = 16 // nodes taken from one reply
	maxValues   = 1024
	maxToken    = 128
	trust       = 3 // dead nodes in a row, none alive, that discredit a source

	// softTimeout is the patience of a visit out of turn. The walk has the
	// patience that saves packets.
	softTimeout = 600 * time.Millisecond
)

type standing uint8

const (
	heard  standing = iota // not asked yet
	asked                  // waits for an answer and holds a slot
	late                   // past the soft timeout: no slot, no place among the closest
	giving                 // answered with a token
	mute                   // answered without: BEP 5's right to announce is not ours
	dead                   // did not answer, or was discredited
	told                   // announced to
)

// candidate is a node near the infohash of a visit.
type candidate struct {
	Node
	net    uint64 // its /24 or /64
	state  standing
	source uint8 // who named it; 0: nobody did
	token  []byte
}

// start is a node to begin with whose id is not known yet.
type start struct {
	addr  netip.AddrPort
	state standing // heard, asked, late or dead
}

type source struct{ alive, dead uint8 }

// visit is the announce of one infohash: get_peers to the closest nodes until
// 8 of them have given a token, then announce_peer to these.
type visit struct {
	item    uint32
	gen     uint32 // how often this visit has been used before
	key     id.ID
	own     id.ID
	port    uint16
	whole   bool // we have all of it
	relaxed bool
	waiting bool // in Scheduler.ready
	extra   bool // out of turn

	near      []candidate // by distance, closest first
	seeds     [maxSeeds]start
	seedCount int
	sources   [maxAsked + 1]source
	values    map[netip.AddrPort]struct{}
	news      []netip.AddrPort

	asked    int // get_peers sent
	flying   int // of these, those that hold a slot
	answered int
	announce bool // the closest are known
	told     int  // announce_peer sent
	telling  int  // of these, under way
	accepted int
}

// reset makes the visit one of the infohash. Its room is used again.
func (v *visit) reset(item uint32, r *record, cfg *Config) {
	near, values, news := v.near, v.values, v.news
	clear(values)
	*v = visit{
		item: item, gen: v.gen, key: r.key, own: cfg.Own, port: r.port, whole: r.seed, relaxed: cfg.Relaxed,
		near: near[:0], values: values, news: news,
	}
}

func subnet(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return uint64(b[0])<<16 | uint64(b[1])<<8 | uint64(b[2])
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8])
}

func (v *visit) find(addr netip.AddrPort) *candidate {
	for i := range v.near {
		if v.near[i].Addr == addr {
			return &v.near[i]
		}
	}
	return nil
}

func (v *visit) seed(addr netip.AddrPort) int {
	return slices.IndexFunc(v.seeds[:v.seedCount], func(s start) bool { return s.addr == addr })
}

// insert puts a node in its place, unless it is there already under this or
// another id, or there are enough that are closer.
func (v *visit) insert(n Node, source uint8) *candidate {
	if n.ID == v.own || n.ID.IsZero() || !n.Addr.IsValid() {
		return nil
	}
	if len(v.near) == maxNear && v.key.CmpDistance(n.ID, v.near[maxNear-1].ID) > 0 {
		return nil
	}
	state := heard
	if i := v.seed(n.Addr); i >= 0 {
		if state = v.seeds[i].state; state == dead {
			return nil
		}
	}
	at := len(v.near)
	for i := range v.near {
		c := &v.near[i]
		if c.Addr == n.Addr || c.ID == n.ID {
			return nil
		}
		if at == len(v.near) && v.key.CmpDistance(n.ID, c.ID) < 0 {
			at = i
		}
	}
	if len(v.near) == maxNear && !v.evict(&at) {
		return nil
	}
	// The room of a token past the end is used again.
	v.near = slices.Grow(v.near, 1)[:len(v.near)+1]
	spare := v.near[len(v.near)-1].token[:0]
	copy(v.near[at+1:], v.near[at:])
	v.near[at] = candidate{Node: n, net: subnet(n.Addr.Addr()), state: state, source: source, token: spare}
	return &v.near[at]
}

// evict makes room by dropping the farthest candidate that nothing depends on.
func (v *visit) evict(at *int) bool {
	for i := len(v.near) - 1; i >= 0; i-- {
		if s := v.near[i].state; s == heard || s == dead {
			v.remove(i)
			if i < *at {
				*at--
			}
			return true
		}
	}
	return false
}

func (v *visit) remove(i int) {
	spare := v.near[i].token
	copy(v.near[i:], v.near[i+1:])
	v.near[len(v.near)-1].token = spare
	v.near = v.near[:len(v.near)-1]
}

// next is the packet that the visit wants sent now.
func (v *visit) next() (Query, bool) {
	if !v.announce {
		if addr, ok := v.pick(); ok {
			v.asked++
			v.flying++
			return Query{Kind: GetPeers, Infohash: v.key, Addr: addr}, true
		}
		if v.flying > 0 {
			return Query{}, false
		}
		v.announce = true
	}
	for i := range v.near {
		if c := &v.near[i]; c.state == giving && v.told < closest {
			c.state = told
			v.told++
			v.telling++
			return Query{Kind: AnnouncePeer, Infohash: v.key, Addr: c.Addr, Port: v.port, Seed: v.whole, Token: c.token}, true
		}
	}
	return Query{}, false
}

// over reports whether nothing is left to do or to wait for.
func (v *visit) over() bool { return v.announce && v.telling == 0 }

// pick is the next node to ask: first those of the last announce, whose
// distance is not known yet but was small; then the closest.
func (v *visit) pick() (netip.AddrPort, bool) {
	if v.flying >= alpha || v.asked >= maxAsked {
		return netip.AddrPort{}, false
	}
	for i := range v.seeds[:v.seedCount] {
		if s := &v.seeds[i]; s.state == heard && v.find(s.addr) == nil {
			s.state = asked
			return s.addr, true
		}
	}
	counted := 0
	for i := range v.near {
		switch c := &v.near[i]; c.state {
		case giving, asked:
			if counted++; counted == closest {
				return netip.AddrPort{}, false
			}
		case heard:
			if !v.crowded(c) {
				c.state = asked
				return c.Addr, true
			}
		}
	}
	return netip.AddrPort{}, false
}

// crowded reports whether the candidate's neighbourhood has had its turn: a
// /24 or /64 is asked once.
func (v *visit) crowded(c *candidate) bool {
	if v.relaxed {
		return false
	}
	for i := range v.near {
		if o := &v.near[i]; o != c && o.net == c.net && (o.state == asked || o.state == giving) {
			return true
		}
	}
	return false
}

// answer takes the answer to a get_peers, and returns the peers that are new to
// this visit.
func (v *visit) answer(b *book, now mono.Time, addr netip.AddrPort, node id.ID, nodes []Node, values []netip.AddrPort, token []byte) []netip.AddrPort {
	v.answered++
	c := v.find(addr)
	if c != nil && c.ID != node {
		// It is not who it was said to be, and counts where it says it is.
		v.discredit(c.source)
		v.remove(slices.IndexFunc(v.near, func(o candidate) bool { return o.Addr == addr }))
		c = nil
	}
	if c == nil {
		c = v.insert(Node{node, addr}, 0)
	} else {
		v.sources[c.source].alive++
	}
	if c != nil {
		c.state = mute
		if len(token) > 0 && len(token) <= maxToken {
			c.state, c.token = giving, append(c.token[:0], token...)
		}
	}
	for _, n := range nodes[:min(len(nodes), maxPerReply)] {
		if !b.shunned(now, n.Addr) {
			v.insert(n, uint8(v.answered))
		}
	}
	v.news = v.news[:0]
	for _, p := range values {
		if _, ok := v.values[p]; ok || len(v.values) >= maxValues {
			continue
		}
		if v.values == nil {
			v.values = make(map[netip.AddrPort]struct{})
		}
		v.values[p] = struct{}{}
		v.news = append(v.news, p)
	}
	return v.news
}

// late gives the slot of a node on that has not answered within the soft timeout.
func (v *visit) late(addr netip.AddrPort) {
	v.flying--
	if i := v.seed(addr); i >= 0 {
		v.seeds[i].state = late
	}
	if c := v.find(addr); c != nil && c.state == asked {
		c.state = late
	}
}

// silent records that a node did not answer its get_peers.
func (v *visit) silent(addr netip.AddrPort) {
	if i := v.seed(addr); i >= 0 {
		v.seeds[i].state = dead
	}
	if c := v.find(addr); c != nil && (c.state == asked || c.state == late) {
		c.state = dead
		v.discredit(c.source)
	}
}

// discredit counts a dead node against who named it. A source of nothing but
// dead nodes loses what it still has among the candidates.
func (v *visit) discredit(from uint8) {
	s := &v.sources[from]
	if s.dead++; from == 0 || s.alive > 0 || s.dead < trust {
		return
	}
	for i := range v.near {
		if c := &v.near[i]; c.source == from && c.state == heard {
			c.state = dead
		}
	}
}

// remember keeps the closest nodes that were announced to for the next visit.
func (v *visit) remember(s *seeds) {
	var addrs [closest]netip.AddrPort
	n := 0
	for i := range v.near {
		if v.near[i].state == told {
			addrs[n] = v.near[i].Addr
			n++
		}
	}
	s.set(addrs[:n])
}
