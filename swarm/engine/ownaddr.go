package engine

import (
	"net/netip"

	"seedbed/internal/addrs"
)

// isSelf reports whether an address is our own, as far as that is known.
func (b *book) isSelf(a netip.AddrPort) bool {
	return a.Port() == b.ports.Of(a.Addr().Is6()) && (a.Addr() == b.self[0] || a.Addr() == b.self[1])
}

// setPorts changes the ports of our own addresses.
func (b *book) setPorts(ports addrs.Ports) {
	b.ports = ports
	b.prioritize()
}

// setSelf sets our own address of one family, which is never dialed.
func (b *book) setSelf(ip netip.Addr) {
	ip = ip.Unmap()
	family := 0
	if ip.Is6() {
		family = 1
	}
	b.self[family] = ip
	b.prioritize()
	if c := b.find(netip.AddrPortFrom(ip, b.ports.Of(ip.Is6()))); c != nil && c.state == candIdle {
		c.state = candSelf
	}
}
