package dht

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/lookup"
	"seedbed/dht/table"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// trace records how a lookup went.
type trace struct {
	*lookup.Lookup
	peers []netip.AddrPort
	hops  int // from our table to the first node that knew a peer, otherwise to the closest
	asked int // queries, including those of side lookups
	took  time.Duration
}

// search is one lookup of a simNode, which works like traversal.
type search struct {
	trace
	c         *simNode
	cfg       lookup.Config
	target    id.ID
	method    string
	begun     mono.Time
	far       map[netip.AddrPort]int // hops to the nodes that others returned
	done      func(trace)
	over      bool
	restarted bool // restarted, because no node of the table answered
	widened   bool
	sides     int // side lookups that are running
	beside    []lookup.Node
}

// find runs one lookup until it ends.
func (c *simNode) find(target id.ID, method string, seeds []lookup.Node, done func(trace)) {
	start := seeds
	for _, n := range c.table.Closest(nil, target, startNodes, func(n *table.Node) bool { return n.Fails == 0 }) {
		start = append(start, lookup.Node{ID: n.ID, Addr: n.Addr, RTT: n.RTT})
	}
	s := &search{
		c: c, target: target, method: method, begun: c.w.now, done: done,
		cfg: lookup.Config{Own: c.table.ID(), Zone: lookup.Zone(c.table.Len(), c.table.Distance(lookup.Neighbours))},
		far: make(map[netip.AddrPort]int),
	}
	s.Lookup = lookup.New(s.cfg, target, start, c.w.now)
	s.pump()
}

func (s *search) pump() {
	if s.over || s.c.dead {
		return
	}
	now := s.c.w.now
	for {
		n, ok := s.Next(now)
		if !ok {
			break
		}
		s.asked++
		l := s.Lookup
		s.c.ask(n.Addr, s.method, s.target, "", func(m *krpc.Message) {
			if l == s.Lookup {
				s.take(n.Addr, m)
				s.pump()
			}
		})
	}
	if targets := s.SideTargets(); targets != nil && !s.widened && s.method != "find_node" {
		s.widened, s.sides = true, len(targets)
		for _, x := range targets {
			s.c.find(x, "find_node", nil, s.widen)
		}
	}
	switch {
	case s.Done() && s.Stats().Answered == 0 && !s.restarted:
		s.restarted = true
		s.Lookup = lookup.New(s.cfg, s.target, s.c.w.entryAddrs(), now)
		s.pump()
	case s.Done() && s.sides == 0:
		s.end()
	case s.Deadline() != mono.Never:
		s.c.w.after(s.Deadline().Sub(now), s.pump)
	}
}

// take handles a reply, or nil for a timeout.
func (s *search) take(from netip.AddrPort, m *krpc.Message) {
	if m == nil {
		s.Fail(s.c.w.now, from)
		return
	}
	values := slices.Collect(m.Response.Peers())
	named := compactNodes(m.Response.Nodes)
	for _, o := range named {
		if _, known := s.far[o.Addr]; !known {
			s.far[o.Addr] = s.far[from] + 1
		}
	}
	if len(values) > 0 && len(s.peers) == 0 {
		s.hops = s.far[from] + 1
	}
	s.peers = append(s.peers, s.Reply(s.c.w.now, from, m.Response.ID, named, values, m.Response.Token)...)
}

// widen handles the end of a side lookup.
func (s *search) widen(side trace) {
	s.asked += side.asked
	s.beside = append(s.beside, side.Closest()...)
	if s.sides--; s.sides == 0 {
		s.Widen(s.c.w.now, s.beside)
		s.pump()
	}
}

func (s *search) end() {
	s.over = true
	s.took = s.c.w.now.Sub(s.begun)
	if s.took > 10*time.Second || s.Stats().Asked > 128 {
		s.c.w.t.Fatalf("a lookup took %v and %+v", s.took, s.Stats())
	}
	if near := s.Closest(); len(s.peers) == 0 && len(near) > 0 {
		s.hops = s.far[near[0].Addr] + 1
	}
	s.done(s.trace)
}

func compact(b []byte) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(b[:4])
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[4:]))
}

func compactNodes(b []byte) (ns []lookup.Node) {
	for ; len(b) >= krpc.NodeLen4; b = b[krpc.NodeLen4:] {
		ns = append(ns, lookup.Node{ID: id.ID(b[:20]), Addr: compact(b[20:26])})
	}
	return ns
}
