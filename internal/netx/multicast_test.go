package netx

import (
	"net"
	"net/netip"
	"slices"
	"testing"
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func TestWhichInterfacesHaveALocalNetwork(t *testing.T) {
	const ethernet = net.FlagUp | net.FlagBroadcast | net.FlagMulticast
	four, six := netip.MustParseAddr("239.192.152.143"), netip.MustParseAddr("ff15::efc0:988f")
	all := []string{"0.0.0.0", "::"}
	home := prefixes("192.168.1.5/24", "fe80::1/64", "2a02::5/64")
	for _, c := range []struct {
		name   string
		flags  net.Flags
		addrs  []netip.Prefix
		group  netip.Addr
		listen []string
		want   string // the source address; "": not used
	}{
		{"IPv4 at home", ethernet, home, four, all, "0.0.0.0"},
		{"IPv6 at home", ethernet, home, six, all, "::"},
		{"down", ethernet &^ net.FlagUp, home, four, all, ""},
		{"without multicast", ethernet &^ net.FlagMulticast, home, four, all, ""},
		{"loopback", ethernet | net.FlagLoopback, home, four, all, ""},
		{"VPN tunnel", ethernet | net.FlagPointToPoint, home, four, all, ""},
		{"no IPv6", ethernet, prefixes("192.168.1.5/24"), six, all, ""},
		{"only link-local IPv6", ethernet, prefixes("192.168.1.5/24", "fe80::1/64"), six, all, ""},
		{"we listen on its address", ethernet, home, four, []string{"192.168.1.5"}, "192.168.1.5"},
		{"we listen on another address", ethernet, home, four, []string{"192.168.1.6"}, ""},
		{"we listen on loopback", ethernet, home, four, []string{"127.0.0.1", "::1"}, ""},
		{"we listen on the other family", ethernet, home, four, []string{"::"}, ""},
		{"two addresses", ethernet, prefixes("10.0.0.1/8", "192.168.1.5/24"), four, []string{"192.168.1.5"}, "192.168.1.5"},
	} {
		var listen []netip.Addr
		for _, a := range c.listen {
			listen = append(listen, netip.MustParseAddr(a))
		}
		l, ok := lanOf(&net.Interface{Index: 3, Name: "x", Flags: c.flags}, c.addrs, c.group, listen)
		if got := l.source; ok != (c.want != "") || ok && (got.String() != c.want || l.index != 3 || l.name != "x") {
			t.Errorf("%s: %+v, %v", c.name, l, ok)
		}
		for _, p := range l.prefixes {
			if !slices.Contains(c.addrs, p) || p.Addr().Is4() != c.group.Is4() {
				t.Errorf("%s: prefix %v", c.name, p)
			}
		}
	}
}

func TestOnlyNeighborsAreBelieved(t *testing.T) {
	joined := []lan{
		{index: 2, prefixes: prefixes("192.168.1.5/24", "2a02:1::5/64")},
		{index: 5, prefixes: prefixes("45.0.0.9/24")},
	}
	for _, c := range []struct {
		from  string
		index int
		want  bool
	}{
		{"192.168.1.77", 2, true},
		{"192.168.1.5", 2, true}, // another program of this machine
		{"10.9.8.7", 2, true},    // another network of the same site
		{"45.0.0.77", 5, true},
		{"45.0.0.77", 2, false}, // of another interface
		{"45.0.0.77", 0, true},  // the system does not say by which interface
		{"45.0.1.77", 0, false},
		{"192.168.1.77", 3, false}, // an interface that we have not joined
		{"8.8.8.8", 2, false},
		{"2a02:1::77", 2, true},
		{"2a02:2::77", 2, false},
		{"fd00::1", 2, true},
		{"fe80::1", 2, false},
		{"127.0.0.1", 2, false},
		{"224.0.0.1", 2, false},
		{"0.0.0.0", 2, false},
	} {
		if got := isNeighbor(joined, c.index, netip.MustParseAddr(c.from)); got != c.want {
			t.Errorf("%s by interface %d: %v", c.from, c.index, got)
		}
	}
}
