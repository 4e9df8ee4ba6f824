package bootstrap

import (
	"encoding/binary"
	"net/netip"

	"seedbed/dht/krpc"
	"seedbed/dht/table"
	"seedbed/internal/id"
)

// Routable reports whether a packet to the address can cross the internet: a
// node elsewhere cannot be told to others.
func Routable(a netip.Addr) bool {
	if !a.Is4() {
		b := a.As16()
		if b[0]&0xe0 != 0x20 { // 2000::/3 is all that is given out
			return false
		}
		switch binary.BigEndian.Uint32(b[:]) {
		case 0x2001_0db8, // documentation
			0x2001_0000: // Teredo
			return false
		}
		return b[0] != 0x20 || b[1] != 0x02 // 6to4
	}
	b := a.As4()
	switch b[0] {
	case 0, 10, 127: // this network, private, loopback
		return false
	case 100:
		return b[1]&0xc0 != 64 // shared by carriers (RFC 6598)
	case 169:
		return b[1] != 254 // this link
	case 172:
		return b[1]&0xf0 != 16 // private
	case 192:
		return b[1] != 168 && !(b[1] == 0 && (b[2] == 0 || b[2] == 2)) // private, protocols, documentation
	case 198:
		return b[1]&0xfe != 18 && !(b[1] == 51 && b[2] == 100) // benchmarks, documentation
	case 203:
		return !(b[1] == 0 && b[2] == 113) // documentation
	}
	return b[0] < 224 // multicast, reserved, broadcast
}

// martian reports whether no node can have sent from this address. Private
// addresses are not martian: who can reach us from one can be answered.
func martian(a netip.AddrPort) bool {
	return !table.Usable(a, true)
}

// kept reports whether a node at the address can be told to others.
func kept(a netip.AddrPort, relaxed bool) bool {
	if relaxed {
		return table.Usable(a, true)
	}
	return a.Port() != 0 && Routable(a.Addr())
}

// place is what holds one entry of the ring: an IPv4 address or an IPv6 /48,
// and in a private network an address and port.
func place(a netip.AddrPort, relaxed bool) uint64 {
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

// appendAddr appends a compact address.
func appendAddr(dst []byte, a netip.AddrPort) []byte {
	if a.Addr().Is4() {
		b := a.Addr().As4()
		dst = append(dst, b[:]...)
	} else {
		b := a.Addr().As16()
		dst = append(dst, b[:]...)
	}
	return binary.BigEndian.AppendUint16(dst, a.Port())
}

// compactAddr reads the address of compact node info.
func compactAddr(node []byte) netip.AddrPort {
	port := binary.BigEndian.Uint16(node[len(node)-2:])
	if len(node) == krpc.NodeLen4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(node[id.Len:])), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(node[id.Len:])), port)
}

func nodeLen(v6 bool) int {
	if v6 {
		return krpc.NodeLen6
	}
	return krpc.NodeLen4
}
