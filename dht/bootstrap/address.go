package bootstrap

import (
	"encoding/binary"
	"net/netip"

	"seedbed/dht/krpc"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
)

// isMartian reports whether no node can have this address. Private addresses are not
// martian, because we can reply to them. Public addresses with a port below 1024 are: if
// the source is forged, a reply would go to a DNS or NTP server.
func isMartian(a netip.AddrPort) bool {
	return !addrs.IsNode(a, true)
}

// isReturnable reports whether a node at the address can be returned to other nodes.
func isReturnable(a netip.AddrPort, relaxed bool) bool {
	return addrs.IsNode(a, relaxed)
}

// placeKey returns the key of a place in the ring, of which each node takes one. It is an
// IPv4 address or an IPv6 /48, and in a private network the address and port.
func placeKey(a netip.AddrPort, relaxed bool) uint64 {
	if a.Addr().Is4() {
		b := a.Addr().As4()
		ip := uint64(binary.BigEndian.Uint32(b[:]))
		if relaxed {
			return ip<<16 | uint64(a.Port())
		}
		return ip
	}
	b := a.Addr().As16()
	hi, lo := binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	if relaxed {
		return mix(hi ^ mix(lo^uint64(a.Port())))
	}
	return hi >> 16
}

// mix spreads the bits of x over the word (the finalizer of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// compactAddr returns the address in compact node info.
func compactAddr(node []byte) netip.AddrPort { return addrs.Parse(node[id.Len:]) }

func nodeLen(v6 bool) int {
	if v6 {
		return krpc.NodeLen6
	}
	return krpc.NodeLen4
}
