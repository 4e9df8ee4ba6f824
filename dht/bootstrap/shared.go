package bootstrap

import (
	"net/netip"

	"seedbed/dht/table"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Shared holds what the loops of a server share. The caller must hold its lock to use it.
type Shared struct {
	cfg     Config
	rings   [2]*Ring // IPv4, IPv6; nil if we have no socket of the family
	ids     [2]id.ID
	cookies cookies
	votes   [2]table.Votes
	seen    [2]netip.Addr
}

// NewShared returns a Shared with the state that an earlier run saved, if any.
func NewShared(cfg Config, now mono.Time, saved State) *Shared {
	cfg.validate()
	s := &Shared{cfg: cfg, cookies: newCookies(cfg.Rand), ids: saved.IDs}
	for f, has := range [2]bool{cfg.V4, cfg.V6} {
		if !has {
			continue
		}
		s.rings[f] = newRing(cfg, f == six)
		s.rings[f].restore(now, saved.Nodes[f], saved.Fresh)
		if s.ids[f].IsZero() {
			s.ids[f] = s.random()
		}
	}
	return s
}

const (
	four = 0
	six  = 1
)

func family(a netip.Addr) int {
	if a.Is4() {
		return four
	}
	return six
}

func (s *Shared) random() (v id.ID) {
	for i := range v {
		v[i] = byte(s.cfg.Rand.Uint32())
	}
	return v
}

// Ring returns the ring of a family, or nil without sockets.
func (s *Shared) Ring(v6 bool) *Ring {
	if v6 {
		return s.rings[six]
	}
	return s.rings[four]
}

// ID returns our node id in the DHT of a family.
func (s *Shared) ID(v6 bool) id.ID {
	if v6 {
		return s.ids[six]
	}
	return s.ids[four]
}

// External returns our address as the nodes that we ping report it, or the zero Addr until
// enough of them agree.
func (s *Shared) External(v6 bool) netip.Addr {
	if v6 {
		return s.seen[six]
	}
	return s.seen[four]
}

// SetExternal sets our address of one family, and a new id if ours does not match it (BEP
// 42).
func (s *Shared) SetExternal(a netip.Addr) {
	f := family(a)
	s.seen[f] = a
	if !table.Secure(s.ids[f], a) {
		s.ids[f] = table.SecureID(s.random(), a)
	}
}

// vote counts the address that a node reported as ours.
func (s *Shared) vote(voter netip.Addr, ours netip.AddrPort) {
	a := ours.Addr()
	f := family(a)
	if !ours.IsValid() || s.rings[f] == nil || !addrs.IsUsable(netip.AddrPortFrom(a, 1), s.cfg.Relaxed) {
		return
	}
	if settled, ok := s.votes[f].Add(voter, a); ok && settled != s.seen[f] {
		s.SetExternal(settled)
	}
}
