package pex

import (
	"net/netip"

	"seedbed/internal/addrs"
)

// Rules say which addresses one peer is told and which of its are believed.
type Rules struct {
	// Peer is the other end, by the address under which it can be dialled. One on
	// a private network may be told, and may tell, of that network's addresses;
	// one on this machine of loopback too.
	Peer netip.AddrPort
	// Local lets private and loopback addresses through whoever the peer is.
	// Labs live there.
	Local bool
	// Own are our own addresses, as far as they are known.
	Own []netip.AddrPort
}

// Allow reports whether a may be told to the peer, or believed from it.
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
	case scope == addrs.Never, scope == addrs.LinkLocal && ip.Is6(): // of no use without the zone, which has no compact form
		return false
	case scope == addrs.Loopback:
		return r.Local || addrs.ScopeOf(r.Peer.Addr()) == addrs.Loopback
	}
	return r.Local || !addrs.IsPublic(r.Peer.Addr())
}
