package engine

import (
	"bytes"
	"hash/crc32"
	"net/netip"
	"slices"

	"seedbed/internal/addrs"
)

// Canonical peer priority (BEP 40): a number that both ends of a connection compute alike, and that
// is random for everyone else. At the connection limit, the connections of the highest
// priorities are kept, but only one of each site (siteOf) replaces another. So a new peer has the
// same chances as one that is connected already, and an attacker with few addresses cannot take all
// places.
//
// It decides only between addresses or connections that are otherwise equal, and only while
// we know our own address of that family. Otherwise chance decides.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// canonicalPriority returns the priority of a connection between a and b. It is 0, which stands
// for unknown, if they have different families.
func canonicalPriority(a, b netip.AddrPort) uint32 {
	x, y := a.Addr(), b.Addr()
	if x.BitLen() != y.BitLen() {
		return 0
	}
	if x == y { // BEP 40: "the port numbers (16-bit integers) should be used instead"
		p, q := min(a.Port(), b.Port()), max(a.Port(), b.Port())
		return crc32.Checksum([]byte{byte(p >> 8), byte(p), byte(q >> 8), byte(q)}, castagnoli)
	}
	m, n := x.AsSlice(), y.AsSlice()
	common := 0 // whole bytes
	for m[common] == n[common] {
		common++
	}
	// BEP 40: the mask is FF.FF.55.55 "unless the IP addresses are in the same /16", when it is
	// FF.FF.FF.55, and in the same /24 FF.FF.FF.FF. For IPv6 it begins with /48.
	whole := 2
	if x.Is6() {
		whole = 6
	}
	for i := max(whole, common+1); i < len(m); i++ {
		m[i], n[i] = m[i]&0x55, n[i]&0x55
	}
	if bytes.Compare(m, n) > 0 {
		m, n = n, m
	}
	return crc32.Checksum(slices.Concat(m, n), castagnoli)
}

// priority returns the priority of a connection to an address, or 0 if we do not know our own
// address.
func (b *book) priority(to netip.AddrPort) uint32 {
	own := b.self[0]
	if to.Addr().Is6() {
		own = b.self[1]
	}
	if !own.IsValid() || !to.IsValid() {
		return 0
	}
	return canonicalPriority(netip.AddrPortFrom(own, b.ports.Of(own.Is6())), to)
}

// prioritize computes the priorities of all addresses again, because our own has changed.
func (b *book) prioritize() {
	for i := range b.list {
		b.list[i].priority = b.priority(b.list[i].addr)
	}
}

// siteOf returns the network of which one connection may replace others by its priority: an
// address, or for public IPv6 addresses the /48 that one site has. On loopback it includes the port.
func siteOf(a netip.AddrPort) netip.AddrPort {
	key := banKey(a)
	if ip := key.Addr(); ip.Is6() && addrs.IsPublic(ip) {
		p, _ := ip.Prefix(48) // never fails for 48 bits of an IPv6 address
		return netip.AddrPortFrom(p.Addr(), 0)
	}
	return key
}

// hasPriority reports whether both priorities are known and x is higher than y.
func hasPriority(x, y uint32) bool { return x > y && y != 0 }
