package addrs

import "net/netip"

// Ports are the ports at which peers reach us, one for each address family. They differ if a
// router maps the IPv4 port to another one. 0 means none.
type Ports struct {
	V4, V6 uint16
	// Local is the port for peers in the local network, which do not pass the router. 0 means
	// that it is the same as for others.
	Local uint16
}

// Of returns the port for one family.
func (p Ports) Of(v6 bool) uint16 {
	if v6 {
		return p.V6
	}
	return p.V4
}

// For returns the port at which a peer reaches us: most routers do not send what comes from the local
// network back to it, so a mapped port is of no use there.
func (p Ports) For(peer netip.Addr) uint16 {
	if p.Local != 0 && IsLocal(peer) {
		return p.Local
	}
	return p.Of(peer.Unmap().Is6())
}
