package dht

import (
	"net"
	"net/netip"
	"testing"

	"github.com/anacrolix/dht/v2"
	akrpc "github.com/anacrolix/dht/v2/krpc"
	"pgregory.net/rapid"

	"seedbed/dht/table"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
)

// Our BEP 42 implementation agrees with that of anacrolix/dht.
func TestBEP42AgainstAnacrolix(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.SampledFrom([]int{4, 16}).Draw(rt, "size")
		ip := rapid.SliceOfN(rapid.Byte(), size, size).Draw(rt, "ip")
		addr, _ := netip.AddrFromSlice(ip)
		if addr.Is4In6() {
			return
		}
		seed := id.ID(rapid.SliceOfN(rapid.Byte(), id.Len, id.Len).Draw(rt, "seed"))
		ours := table.SecureID(seed, addr)
		theirs := akrpc.ID(seed)
		dht.SecureNodeId(&theirs, net.IP(ip))
		if ours != id.ID(theirs) {
			rt.Fatalf("%v: %v, theirs %v", addr, ours, theirs)
		}
		if !table.Secure(ours, addr) || !addrs.IsLocal(addr) && table.Secure(seed, addr) != dht.NodeIdSecure(seed, net.IP(ip)) {
			rt.Fatalf("%v: table.Secure and the library disagree", addr)
		}
	})
}
