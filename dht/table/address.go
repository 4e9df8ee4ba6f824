package table

import (
	"net/netip"

	"github.com/anacrolix/dht/v2"
	"github.com/anacrolix/dht/v2/krpc"

	"seedbed/internal/id"
)

// Secure reports whether BEP 42 ties the id to the address. Private and
// loopback addresses fit every id.
func Secure(node id.ID, addr netip.Addr) bool {
	return Local(addr) || dht.NodeIdSecure(node, addr.AsSlice())
}

// SecureID is an id that BEP 42 ties to the address; the bits that it leaves
// open are those of random.
func SecureID(random id.ID, addr netip.Addr) id.ID {
	x := krpc.ID(random)
	dht.SecureNodeId(&x, addr.AsSlice())
	return id.ID(x)
}

// Local reports whether the address belongs to a private network, this link or
// this machine, where the rules against forged neighbourhoods do not apply.
func Local(a netip.Addr) bool {
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}

// Usable reports whether a node can be asked at the address: a port, a unicast
// address and, unless relaxed, one of the public internet.
func Usable(a netip.AddrPort, relaxed bool) bool {
	ip := a.Addr()
	switch {
	case !a.IsValid(), a.Port() == 0, ip.Is4In6(), ip.IsMulticast(), ip.IsUnspecified():
		return false
	case ip.Is4() && (ip.As4()[0] == 0 || ip.As4()[0] >= 240):
		return false // "this network" and reserved, broadcast among them
	}
	return relaxed || !Local(ip)
}

// Subnet is the neighbourhood that one owner is likely to hold whole: /24 or /64.
func Subnet(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p, _ := a.WithZone("").Prefix(bits)
	return p
}

// admits reports whether the limits per address leave room for one more there.
func (t *Table) admits(a netip.Addr) bool {
	return t.relaxed || t.perIP[a] == 0 && t.perNet[Subnet(a)] < perSubnet
}

// count adds d nodes like n to the books.
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
