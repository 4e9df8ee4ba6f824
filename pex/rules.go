package pex

import "net/netip"

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
	switch scopeOf(ip) {
	case public:
		return true
	case private:
		return r.Local || scopeOf(r.Peer.Addr().Unmap()) != public
	case loopback:
		return r.Local || scopeOf(r.Peer.Addr().Unmap()) == loopback
	}
	return false
}

// scope is how far an address reaches.
type scope uint8

const (
	martian  scope = iota // nobody can be there
	loopback              // this machine
	private               // this network
	public
)

var (
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")     // RFC 1122, "this network"
	shared      = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598, carriers' NAT
	reserved    = netip.MustParsePrefix("240.0.0.0/4")   // RFC 1112, and broadcast
)

func scopeOf(ip netip.Addr) scope {
	switch {
	case !ip.IsValid(), ip.IsUnspecified(), ip.IsMulticast(), thisNetwork.Contains(ip), reserved.Contains(ip):
		return martian
	case ip.IsLoopback():
		return loopback
	case ip.Is6() && ip.IsLinkLocalUnicast():
		return martian // of no use without the zone, which nobody can tell
	case ip.IsPrivate(), ip.IsLinkLocalUnicast(), shared.Contains(ip):
		return private
	}
	return public
}
