package pex

import (
	"net/netip"

	"seedbed/internal/addrs"
)

// Rules say which addresses may be sent to and accepted from one peer.
type Rules struct {
	// Peer is the address under which the other end can be dialed. If it is private,
	// private addresses may be exchanged with it; if it is loopback, loopback addresses
	// too.
	Peer netip.AddrPort
	// Local allows private and loopback addresses for every peer, as in a lab.
	Local bool
	// Own lists our own addresses, as far as known.
	Own []netip.AddrPort
}

// Allow reports whether a may be sent to the peer or accepted from it.
func (r *Rules) Allow(a netip.AddrPort) bool {
	ip := a.Addr().Unmap()
	if a.Port() == 0 || a == r.Peer {
		return false
	}
	for _, own := range r.Own {
		if a == own {
			return false
		}
	}
	switch scope := addrs.ScopeOf(ip); {
	case scope == addrs.Public:
		return true
	case scope == addrs.Never, scope == addrs.LinkLocal && ip.Is6(): // unusable without the zone, which has no compact form
		return false
	case scope == addrs.Loopback:
		return r.Local || addrs.ScopeOf(r.Peer.Addr()) == addrs.Loopback
	}
	return r.Local || !addrs.IsPublic(r.Peer.Addr())
}
