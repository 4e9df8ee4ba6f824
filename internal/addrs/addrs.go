// Package addrs provides the compact form of addresses and the special-purpose ranges.
// Every package that learns addresses from the network uses it.
//
// ScopeOf classifies an address by the IANA special-purpose registries for IPv4 and IPv6.
// IsUsable, IsPublic and IsLocal are built on it.
package addrs

import (
	"encoding/binary"
	"net/netip"
)

// Scope says how far an address reaches.
type Scope uint8

const (
	// Never is the scope of addresses that are not unicast or that no host may have:
	// unspecified, multicast, reserved, discard, and forms of IPv4 addresses that no host
	// listens on.
	Never Scope = iota
	Loopback
	LinkLocal
	// Private is an address of a network behind a router: RFC 1918, carrier-grade NAT,
	// unique local and site-local addresses.
	Private
	// Special is an address that a host may have in a lab or through a tunnel, and that
	// is not passed on to others: documentation, benchmarks, protocol assignments,
	// Teredo, 6to4, unassigned IPv6.
	Special
	Public
)

var scopeNames = [...]string{"never", "loopback", "link-local", "private", "special", "public"}

func (s Scope) String() string { return scopeNames[s] }

// block is a special-purpose range. If several contain an address, the first in the table
// applies.
type block struct {
	prefix netip.Prefix
	scope  Scope
}

func blocks(scope Scope, prefixes ...string) (bs []block) {
	for _, p := range prefixes {
		bs = append(bs, block{netip.MustParsePrefix(p), scope})
	}
	return bs
}

func join(lists ...[]block) (all []block) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// special4 is multicast and the IANA IPv4 special-purpose registry without the ranges
// that it calls globally reachable.
var special4 = join(
	blocks(Never, "0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"),
	blocks(Loopback, "127.0.0.0/8"),
	blocks(LinkLocal, "169.254.0.0/16"),
	blocks(Private, "10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16"),
	blocks(Special,
		"192.0.0.0/24",    // IETF protocol assignments (RFC 6890)
		"192.0.2.0/24",    // documentation (RFC 5737)
		"192.88.99.0/24",  // 6to4 relays, deprecated (RFC 7526)
		"198.18.0.0/15",   // benchmarks (RFC 2544)
		"198.51.100.0/24", // documentation
		"203.0.113.0/24",  // documentation
	),
)

// special6 is the same for IPv6. Of the addresses that it does not list, only those in
// 2000::/3 are public, because nothing else is allocated.
var special6 = join(
	blocks(Loopback, "::1/128"),
	blocks(Never,
		"::/96",           // unspecified, and IPv4-compatible addresses (RFC 4291)
		"::ffff:0:0:0/96", // IPv4-translated addresses (RFC 2765)
		"100::/64",        // discard (RFC 6666)
		"100:0:0:1::/64",  // dummy prefix (RFC 9780)
		"5f00::/16",       // segment identifiers (RFC 9602)
		"ff00::/8",        // multicast
	),
	blocks(LinkLocal, "fe80::/10"),
	blocks(Private, "fc00::/7", "fec0::/10"), // unique local, site local (RFC 3879)
	blocks(Special,
		"64:ff9b:1::/48", // translation inside a network (RFC 8215)
		"2001::/23",      // protocol assignments: Teredo, ORCHID, benchmarks (RFC 2928)
		"2001:db8::/32",  // documentation (RFC 3849)
		"2002::/16",      // 6to4 (RFC 3056)
		"3fff::/20",      // documentation (RFC 9637)
	),
)

// first4 holds, by first byte, the scope of addresses whose first byte determines it;
// mixed is true for the others. It saves most lookups in special4.
var first4 = func() (first [256]struct {
	scope Scope
	mixed bool
}) {
	for i := range first {
		first[i].scope = Public
		for _, b := range special4 {
			if ip := b.prefix.Addr().As4(); b.prefix.Bits() > 8 && int(ip[0]) == i {
				first[i].mixed = true
			} else if b.prefix.Contains(netip.AddrFrom4([4]byte{byte(i)})) {
				first[i].scope = b.scope
			}
		}
	}
	return first
}()

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	globalIPv6 = netip.MustParsePrefix("2000::/3")
)

// ScopeOf returns the scope of an address. An IPv4-mapped address has the scope of the
// IPv4 address, because a socket connects to that one.
func ScopeOf(ip netip.Addr) Scope {
	if !ip.IsValid() {
		return Never
	}
	if ip = ip.Unmap(); ip.Is4() {
		f := &first4[ip.As4()[0]]
		if !f.mixed {
			return f.scope
		}
		return scopeIn(special4, ip, Public)
	}
	ip = ip.WithZone("")
	switch {
	case globalIPv6.Contains(ip):
		return scopeIn(special6, ip, Public)
	case nat64.Contains(ip):
		// RFC 6052, 3.1: the prefix must not be used for IPv4 addresses that are not
		// global.
		if ScopeOf(Host(ip)) != Public {
			return Never
		}
		return Public
	}
	return scopeIn(special6, ip, Special)
}

// scopeIn returns the scope of the first range in list that contains ip, or other.
func scopeIn(list []block, ip netip.Addr, other Scope) Scope {
	for i := range list {
		if list[i].prefix.Contains(ip) {
			return list[i].scope
		}
	}
	return other
}

// IsPublic reports whether ip can be a host on the public internet.
func IsPublic(ip netip.Addr) bool { return ScopeOf(ip) == Public }

// IsLocal reports whether ip belongs to this machine, this link or a private network. BEP
// 42 and the limits per address do not apply to such addresses.
func IsLocal(ip netip.Addr) bool {
	s := ScopeOf(ip)
	return s == Loopback || s == LinkLocal || s == Private
}

// IsUsable reports whether a packet may be sent to a: it has a port, a host may have the
// address and, unless relaxed is true, the address is public. An IPv4-mapped address is
// not usable: BEP 32 does not allow it.
func IsUsable(a netip.AddrPort, relaxed bool) bool {
	if a.Port() == 0 || a.Addr().Is4In6() {
		return false
	}
	s := ScopeOf(a.Addr())
	return s == Public || relaxed && s != Never
}

// minNodePort is the first port that a program can use without privileges. No DHT node uses
// lower ports. Attackers announce them to direct traffic at services there (DNS, NTP, SSH).
const minNodePort = 1024

// IsNode reports whether queries may be sent to a as a DHT node that others have named: a is
// usable and its port is 1024 or above. If relaxed is true, a local address may have any port.
func IsNode(a netip.AddrPort, relaxed bool) bool {
	return IsUsable(a, relaxed) && (a.Port() >= minNodePort || relaxed && IsLocal(a.Addr()))
}

// Host returns the address at which a packet to ip arrives: ip without its zone, or the
// IPv4 address if ip is mapped or translated (NAT64). Limits per address count this one.
func Host(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if ip.Is6() && nat64.Contains(ip) {
		b := ip.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return ip
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// ClientNet returns the network that one client of a server has: an IPv4 address, an IPv6 network of
// 64 bits, or all loopback addresses, which are 127.0.0.0/8 here. The address must be valid.
func ClientNet(ip netip.Addr) netip.Prefix {
	ip = Host(ip)
	if ip.IsLoopback() {
		return loopback
	}
	p, _ := ip.Prefix(min(ip.BitLen(), 64)) // valid for both families
	return p
}

// Lengths of a compact address with its port (BEP 5, BEP 32), in bytes.
const (
	Len4 = 4 + 2
	Len6 = 16 + 2
)

// Append appends the compact form of a: 6 bytes for IPv4 (including IPv4-mapped
// addresses), 18 for IPv6. The port is big-endian.
func Append(dst []byte, a netip.AddrPort) []byte {
	return binary.BigEndian.AppendUint16(AppendIP(dst, a.Addr()), a.Port())
}

// AppendIP appends the 4 or 16 bytes of ip.
func AppendIP(dst []byte, ip netip.Addr) []byte {
	if ip = ip.Unmap(); ip.Is4() {
		b := ip.As4()
		return append(dst, b[:]...)
	}
	b := ip.As16()
	return append(dst, b[:]...)
}

// Parse parses a compact address of 6 or 18 bytes. It returns the zero AddrPort for any
// other length. An IPv4-mapped address becomes IPv4, so that a host has one form.
func Parse(b []byte) netip.AddrPort {
	n := len(b) - 2
	if n != 4 && n != 16 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ParseIP(b[:n]), binary.BigEndian.Uint16(b[n:]))
}

// ParseIP parses an address of 4 or 16 bytes. It returns the zero Addr for any other
// length.
func ParseIP(b []byte) netip.Addr {
	ip, _ := netip.AddrFromSlice(b)
	return ip.Unmap()
}
