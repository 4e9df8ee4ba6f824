package portmap

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestWhatIsMapped(t *testing.T) {
	p := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	a := netip.MustParseAddr
	v6 := link{name: "eth0", gw6: a("fe80::1%eth0"), v6: []netip.Addr{a("fe80::2"), a("fd00::2"), a("2a00:1450::2")}}
	for _, c := range []struct {
		name   string
		link   link
		listen string
		want   string // local and gateway
	}{
		{"home", homeLink, "0.0.0.0:1", "192.168.1.2 192.168.1.1"},
		{"home, with that address", homeLink, "192.168.1.2:1", "192.168.1.2 192.168.1.1"},
		{"home, with another address", homeLink, "192.168.1.3:1", ""},
		{"home, with loopback", homeLink, "127.0.0.1:1", ""},
		{"home, with IPv6 only", homeLink, "[::]:1", ""},
		{"public address", link{v4: p("45.0.0.5/24"), gw4: a("45.0.0.1")}, "0.0.0.0:1", ""},
		{"carrier-grade NAT", link{v4: p("100.64.0.5/10"), gw4: a("100.64.0.1")}, "0.0.0.0:1", "100.64.0.5 100.64.0.1"},
		{"no gateway", link{v4: p("192.168.1.2/24")}, "0.0.0.0:1", ""},
		{"gateway that is not on the link", link{v4: p("192.168.1.2/24"), gw4: a("192.168.2.1")}, "0.0.0.0:1", ""},
		{"gateway on the internet", link{v4: p("192.168.1.2/0"), gw4: a("45.0.0.1")}, "0.0.0.0:1", ""},
		{"IPv6", v6, "[::]:1", "2a00:1450::2 fe80::1%eth0"},
		{"IPv6, with that address", v6, "[2a00:1450::2]:1", "2a00:1450::2 fe80::1%eth0"},
		{"IPv6, with a local address", v6, "[fd00::2]:1", ""},
		{"IPv6 gateway on the internet", link{gw6: a("2a00:1450::1"), v6: v6.v6}, "[::]:1", ""},
	} {
		got := ""
		for _, t := range targetsOf([]link{c.link}, []netip.AddrPort{netip.MustParseAddrPort(c.listen)}) {
			got += fmt.Sprint(t.local, " ", t.gateway)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for listen, want := range map[string]bool{"127.0.0.1:1": false, "[::1]:1": false, "45.0.0.1:1": false, "0.0.0.0:1": true, "10.0.0.1:1": true, "[::]:1": true, "[2a00:1450::2]:1": true, "[fe80::1]:1": false} {
		if got := IsNeeded([]netip.AddrPort{netip.MustParseAddrPort(listen)}); got != want {
			t.Errorf("%s: %v", listen, got)
		}
	}
	if ts := givenTarget([]link{homeLink}, home.Addr(), a("45.0.0.1"), everyAddr); ts != nil {
		t.Errorf("a gateway on the internet is asked: %v", ts)
	}
	var many []link
	for i := range 20 {
		many = append(many, link{name: fmt.Sprint(i), v4: p(fmt.Sprintf("10.%d.0.2/16", i)), gw4: a(fmt.Sprintf("10.%d.0.1", i))})
	}
	if ts := targetsOf(many, everyAddr); len(ts) != maxTargets {
		t.Errorf("%d targets", len(ts))
	}
}
