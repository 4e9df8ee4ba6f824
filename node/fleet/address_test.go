package fleet

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/netx"
)

// A node tells the others no loopback address unless all of them are on its machine.
func TestSourcesOnOtherMachines(t *testing.T) {
	sourceOf := func(to netip.AddrPort) netip.Addr {
		if to.Addr().IsLoopback() {
			return netip.MustParseAddr("127.0.0.1")
		}
		return netip.MustParseAddr("192.0.2.1")
	}
	for _, c := range []struct{ to, want []string }{
		{[]string{"127.0.1.1:7946", "192.0.2.2:7946"}, []string{"192.0.2.1"}},
		{[]string{"127.0.0.1:1", "127.0.0.2:1"}, []string{"127.0.0.1", "127.0.0.1"}},
	} {
		var r resolved
		for _, a := range c.to {
			r.list = append(r.list, netip.MustParseAddrPort(a))
		}
		var got []string
		for _, ip := range (&r).sourcesOf(sourceOf).list {
			got = append(got, ip.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("to %v: %v", c.to, got)
		}
	}
	r := resolved{list: []netip.AddrPort{netip.MustParseAddrPort("127.0.1.1:7946")}, err: errMessage}
	if s := r.sourcesOf(sourceOf); s.isComplete || len(s.list) > 0 {
		t.Errorf("while the others cannot be resolved: %+v", s)
	}
}

func TestTheAddressFollowsTheNetwork(t *testing.T) {
	ip := netip.MustParseAddr
	paths := func(internet string, locals ...string) (p netx.Paths) {
		if internet != "" {
			p.Internet[0] = netx.Local{Prefix: netip.PrefixFrom(ip(internet), 24)}
		}
		for _, l := range locals {
			p.Locals = append(p.Locals, netx.Local{Prefix: netip.PrefixFrom(ip(l), 24)})
		}
		return p
	}
	from := func(isComplete bool, list ...string) (s sources) {
		for _, l := range list {
			s.list = append(s.list, ip(l))
		}
		s.isComplete = isComplete
		return s
	}
	for _, c := range []struct {
		what, current string
		s             sources
		p             netx.Paths
		want          string
	}{
		{"the network is not up at the start", "", from(false), paths(""), "127.0.0.1"},
		{"then it is", "127.0.0.1", from(true, "10.0.0.5"), paths("10.0.0.5", "10.0.0.5"), "10.0.0.5"},
		{"without members", "127.0.0.1", from(true), paths("10.0.0.5", "10.0.0.5"), "10.0.0.5"},
		{"DHCP gives another address", "10.0.0.5", from(true, "10.0.0.9"), paths("10.0.0.9", "10.0.0.9"), "10.0.0.9"},
		{"the network is away for a while", "10.0.0.5", from(false), paths(""), "10.0.0.5"},
		{"the name server is away for a while", "10.0.0.5", from(false), paths("192.0.2.1", "10.0.0.5", "192.0.2.1"), "10.0.0.5"},
		{"names resolve in another order", "10.0.0.5", from(true, "10.1.0.5", "10.0.0.5"), paths("10.0.0.5", "10.0.0.5", "10.1.0.5"), "10.0.0.5"},
		{"the others are in another network", "192.0.2.1", from(true, "10.0.0.5"), paths("192.0.2.1", "10.0.0.5", "192.0.2.1"), "10.0.0.5"},
		{"all are on this machine", "127.0.0.1", from(true, "127.0.0.1"), paths("192.0.2.1", "192.0.2.1"), "127.0.0.1"},
	} {
		var current netip.Addr
		if c.current != "" {
			current = ip(c.current)
		}
		if got := chooseAddress(current, c.s, c.p); got != ip(c.want) {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// A node whose address changes is reached at the new one, and no torrent moves.
func TestAChangedAddressIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 12)
		r.startThree(1)
		f := r.nodes[3].Fleet
		wrong := netip.MustParseAddrPort("10.77.0.1:7946")
		f.updateAddressTo(wrong)
		r.until(30*time.Second, "the right address is told", func() bool {
			for num := 1; num <= 3; num++ {
				s := r.nodes[num].Status()
				if len(s.Members) != 3 || s.Members[2].Addr != fleetAddr(3) || !s.Members[2].Live {
					return false
				}
			}
			return true
		})
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			if !r.divided(1, 2, 3) {
				t.Fatal("torrents moved")
			}
		}
	})
}
