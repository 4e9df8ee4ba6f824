package table

import (
	"hash/crc32"
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
)

// Secure reports whether the id fits the address (BEP 42). Every id fits a private or
// loopback address.
func Secure(node id.ID, addr netip.Addr) bool {
	if addrs.IsLocal(addr) {
		return true
	}
	// BEP 42: the first 21 bits must match.
	h := prefix42(addr, node[19])
	return node[0] == byte(h>>24) && node[1] == byte(h>>16) && (node[2]^byte(h>>8))&0xf8 == 0
}

// SecureID returns an id that fits the address (BEP 42). It takes all other bits from
// random.
func SecureID(random id.ID, addr netip.Addr) id.ID {
	h := prefix42(addr, random[19])
	random[0], random[1] = byte(h>>24), byte(h>>16)
	random[2] = byte(h>>8)&0xf8 | random[2]&7
	return random
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// prefix42 returns BEP 42's crc32c((ip & mask) | (r << 29)). r is the low three bits of the
// id's last byte. Of an IPv6 address only the first 8 bytes are used.
func prefix42(addr netip.Addr, last byte) uint32 {
	addr = addr.Unmap()
	r := last & 7 << 5
	if addr.Is4() {
		ip := addr.As4()
		for i, m := range [4]byte{0x03, 0x0f, 0x3f, 0xff} {
			ip[i] &= m
		}
		ip[0] |= r
		return crc32.Checksum(ip[:], castagnoli)
	}
	ip := addr.As16()
	for i, m := range [8]byte{0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff} {
		ip[i] &= m
	}
	ip[0] |= r
	return crc32.Checksum(ip[:8], castagnoli)
}

// Subnet returns the prefix whose addresses probably have one owner: a /24 or /64.
func Subnet(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// admits reports whether the limits per IP address and subnet allow one more node at a.
func (t *Table) admits(a netip.Addr) bool {
	return t.relaxed || t.perIP[a] == 0 && t.perNet[Subnet(a)] < perSubnet
}

// count adds d, which is 1 or -1, to the counters of n's address and subnet.
func (t *Table) count(n Node, d int) {
	if d > 0 {
		t.byAddr[n.Addr] = n.ID
	} else {
		delete(t.byAddr, n.Addr)
	}
	if t.relaxed {
		return
	}
	ip, net := n.Addr.Addr(), Subnet(n.Addr.Addr())
	if t.perIP[ip] += d; t.perIP[ip] == 0 {
		delete(t.perIP, ip)
	}
	if t.perNet[net] += d; t.perNet[net] == 0 {
		delete(t.perNet, net)
	}
}

func (t *Table) forget(n Node) { t.count(n, -1) }
