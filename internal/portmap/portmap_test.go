package portmap

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	home      = netip.MustParsePrefix("192.168.1.2/24")
	gatewayIP = netip.MustParseAddr("192.168.1.1")
	everyAddr = []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:6881"), netip.MustParseAddrPort("[::]:6881")}
	homeLink  = link{name: "eth0", metric: 100, v4: []netip.Prefix{home}, gw4: gatewayIP}
	both      = []string{"TCP 6881 -> 192.168.1.2:6881", "UDP 6881 -> 192.168.1.2:6881"}
)

// mapped runs test with a Mapper on one link to a router, after the first attempt has ended.
func mapped(t *testing.T, configure func(*fakeRouter, *Config), test func(t *testing.T, r *fakeRouter, m *Mapper)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRouter()
		sys := &fakeSystem{nics: []link{homeLink}, routers: map[netip.Addr]*fakeRouter{gatewayIP: r}}
		cfg := Config{Listen: everyAddr, system: sys}
		configure(r, &cfg)
		m := Start(cfg)
		time.Sleep(4 * time.Second)
		test(t, r, m)
		m.Close()
		if left := r.list(); len(left) > 0 && !strings.Contains(t.Name(), "Hostile") {
			t.Errorf("after Close the router has %q", left)
		}
		if len(sys.strays) > 0 {
			t.Errorf("asked %v", sys.strays)
		}
	})
}

func wantMaps(t *testing.T, r *fakeRouter, want ...string) {
	t.Helper()
	if got := r.list(); !slices.Equal(got, want) {
		t.Errorf("the router maps %q, want %q", got, want)
	}
}

func external(s Status, v6 bool) netip.AddrPort {
	m, _ := s.First(v6)
	return m.External
}

func wantExternal(t *testing.T, m *Mapper, method Method, want string) {
	t.Helper()
	s := m.Status()
	if got := external(s, false); got.String() != want || s.Targets[0].Mappings[0].Method != method || len(s.Targets[0].Mappings) != 2 || s.Targets[0].Mappings[0].Internal.String() != "192.168.1.2:6881" {
		t.Errorf("%+v, want %v by %v", s, want, method)
	}
}

func TestEachMethodMapsBothProtocols(t *testing.T) {
	for _, c := range []struct {
		method    Method
		configure func(*fakeRouter)
	}{
		{PCP, func(r *fakeRouter) { r.hasPCP, r.hasNATPMP, r.igd = true, true, 2 }}, // the first that works
		{NATPMP, func(r *fakeRouter) { r.hasNATPMP, r.igd = true, 1 }},
		{UPnP, func(r *fakeRouter) { r.igd = 1 }},
		{UPnP, func(r *fakeRouter) { r.igd = 2 }},
		{UPnP, func(r *fakeRouter) { r.igd, r.isSilent = 1, true }},
		{UPnP, func(r *fakeRouter) { r.igd, r.noEntries = 1, true }},
		{UPnP, func(r *fakeRouter) { r.igd, r.hasPCP, r.refuses = 1, true, 2 }}, // refused by PCP
	} {
		mapped(t, func(r *fakeRouter, _ *Config) { c.configure(r) }, func(t *testing.T, r *fakeRouter, m *Mapper) {
			wantMaps(t, r, both...)
			wantExternal(t, m, c.method, "45.0.0.1:6881")
			if s := m.Status(); s.Targets[0].Err != nil || s.Targets[0].Advice != "" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// RFC 6887, 9: a NAT-PMP server answers in its version, and the client falls back at once.
func TestFallingBackToNATPMPTakesNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRouter()
		r.hasNATPMP = true
		changed := make(chan time.Duration, 10)
		begun := time.Now()
		m := Start(Config{Listen: everyAddr, system: &fakeSystem{nics: []link{homeLink}, routers: map[netip.Addr]*fakeRouter{gatewayIP: r}},
			Changed: func() { changed <- time.Since(begun) }})
		<-changed // the target
		if took := <-changed; took != 0 {
			t.Errorf("mapped after %v", took)
		}
		m.Close()
	})
}

func TestMappingsAreRenewedUntilTheEnd(t *testing.T) {
	for _, lease := range []time.Duration{time.Minute, time.Hour} { // VPN servers grant a minute
		mapped(t, func(r *fakeRouter, _ *Config) { r.hasPCP, r.maxLease = true, lease }, func(t *testing.T, r *fakeRouter, m *Mapper) {
			before := r.count("MAP")
			for range 40 {
				time.Sleep(lease / 4)
				wantMaps(t, r, both...)
			}
			// Each renewal is two requests, after 1/2 to 5/8 of the lease or after 1 to 9/8 minutes.
			most := max(20, int(10*lease/pollRenew))
			if n := (r.count("MAP") - before) / 2; n < most*8/10 || n > most {
				t.Errorf("%d renewals in 10 leases of %v", n, lease)
			}
		})
	}
}

func TestARouterThatLostTheMappingsIsAskedAgain(t *testing.T) {
	for _, configure := range []func(*fakeRouter){
		func(r *fakeRouter) { r.hasPCP = true },
		func(r *fakeRouter) { r.hasNATPMP = true },
		func(r *fakeRouter) { r.igd = 1 },
		func(r *fakeRouter) { r.igd, r.onlyPermanent = 1, true },
	} {
		mapped(t, func(r *fakeRouter, _ *Config) { configure(r) }, func(t *testing.T, r *fakeRouter, m *Mapper) {
			time.Sleep(5 * time.Minute)
			r.restart()
			time.Sleep(61 * time.Second)
			wantMaps(t, r, both...)
		})
	}
}

// A new external address is noticed, because most routers then have lost what they mapped.
func TestANewExternalAddressIsNoticed(t *testing.T) {
	for _, configure := range []func(*fakeRouter){
		func(r *fakeRouter) { r.hasNATPMP = true },
		func(r *fakeRouter) { r.igd = 2 },
	} {
		mapped(t, func(r *fakeRouter, _ *Config) { configure(r) }, func(t *testing.T, r *fakeRouter, m *Mapper) {
			r.do(func() { r.external = netip.MustParseAddr("45.0.0.9") })
			time.Sleep(61 * time.Second)
			if s := m.Status(); external(s, false).String() != "45.0.0.9:6881" {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A router that is switched off and on again is asked until it answers.
func TestARouterThatComesBackIsFound(t *testing.T) {
	mapped(t, func(r *fakeRouter, _ *Config) { r.hasPCP = true }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		r.do(func() { r.isSilent = true })
		time.Sleep(time.Minute)
		if s := m.Status(); external(s, false).IsValid() || s.Targets[0].Err == nil {
			t.Errorf("the router is silent: %+v", s)
		}
		r.restart()
		r.do(func() { r.isSilent = false })
		time.Sleep(2 * time.Minute)
		wantMaps(t, r, both...)
		wantExternal(t, m, PCP, "45.0.0.1:6881")
	})
}

// A port that another device has is left alone, and TCP and UDP get one other port.
func TestATakenPortIsNotStolen(t *testing.T) {
	other := fakeMapping{client: "192.168.1.77", port: 6881}
	for name, configure := range map[string]func(*fakeRouter){
		"PCP":                  func(r *fakeRouter) { r.hasPCP = true },
		"NAT-PMP":              func(r *fakeRouter) { r.hasNATPMP = true },
		"UPnP":                 func(r *fakeRouter) { r.igd = 1 },
		"UPnP without entries": func(r *fakeRouter) { r.igd, r.noEntries = 2, true },
	} {
		for _, protocol := range []string{"TCP", "UDP"} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				mapped(t, func(r *fakeRouter, _ *Config) { configure(r); r.maps[protocol+" 6881"] = other }, func(t *testing.T, r *fakeRouter, m *Mapper) {
					port := m.Status()
					ext := external(port, false).Port()
					want := []string{protocol + " 6881 -> 192.168.1.77:6881", fmt.Sprintf("TCP %d -> 192.168.1.2:6881", ext), fmt.Sprintf("UDP %d -> 192.168.1.2:6881", ext)}
					slices.Sort(want)
					if ext == 6881 || ext == 0 {
						t.Errorf("external port %d", ext)
					}
					wantMaps(t, r, want...)
					r.do(func() { delete(r.maps, protocol+" 6881") })
				})
			})
		}
	}
}

func TestPermanentMappingsAreRemovedAtTheEnd(t *testing.T) {
	mapped(t, func(r *fakeRouter, _ *Config) { r.igd, r.onlyPermanent = 1, true }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		wantMaps(t, r, both...)
		if s := m.Status(); s.Targets[0].Mappings[0].Lease != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAnotherPortIsMappedAndTheOldOneIsNot(t *testing.T) {
	for _, configure := range []func(*fakeRouter){func(r *fakeRouter) { r.hasPCP = true }, func(r *fakeRouter) { r.hasNATPMP = true }, func(r *fakeRouter) { r.igd = 1 }} {
		mapped(t, func(r *fakeRouter, _ *Config) { configure(r) }, func(t *testing.T, r *fakeRouter, m *Mapper) {
			m.SetPort(7000)
			time.Sleep(4 * time.Second)
			wantMaps(t, r, "TCP 7000 -> 192.168.1.2:7000", "UDP 7000 -> 192.168.1.2:7000")
		})
	}
}

// VPN servers with NAT-PMP choose the port and grant a minute.
func TestAVPNServerMapsThePortOfItsChoice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vpn := netip.MustParseAddr("10.2.0.1")
		r := newRouter()
		r.hasNATPMP, r.vpn, r.maxLease = true, true, time.Minute
		sys := &fakeSystem{nics: []link{homeLink, {name: "wg0", v4: []netip.Prefix{netip.MustParsePrefix("10.2.0.2/32")}}}, routers: map[netip.Addr]*fakeRouter{vpn: r}}
		m := Start(Config{Listen: everyAddr, Gateway: vpn, system: sys})
		for range 10 {
			time.Sleep(40 * time.Second)
			wantMaps(t, r, fmt.Sprintf("TCP %d -> 10.2.0.2:0", vpnPort), fmt.Sprintf("UDP %d -> 10.2.0.2:0", vpnPort))
			if s := m.Status(); external(s, false).Port() != vpnPort || s.Targets[0].Mappings[0].Internal.Port() != vpnPort || s.Targets[0].Mappings[0].Asked != 6881 || s.Targets[0].Interface != "wg0" {
				t.Errorf("%+v", s)
			}
		}
		m.Close()
		if len(sys.strays) > 0 {
			t.Errorf("asked %v", sys.strays)
		}
	})
}

// The sockets are bound to the interface that the user chose, so a request to the router of another
// one would go into the wrong network.
func TestOnlyTheRouterOfTheChosenInterfaceIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newRouter(), newRouter()
		near.hasPCP, far.hasPCP = true, true
		farIP := netip.MustParseAddr("10.9.0.1")
		chosen := link{name: "eth1", metric: 200, v4: []netip.Prefix{netip.MustParsePrefix("10.9.0.2/24")}, gw4: farIP}
		sys := &fakeSystem{nics: []link{homeLink, chosen}, routers: map[netip.Addr]*fakeRouter{gatewayIP: near, farIP: far}}
		m := Start(Config{Listen: everyAddr, Interface: "eth1", system: sys})
		time.Sleep(4 * time.Second)
		wantMaps(t, near)
		wantMaps(t, far, "TCP 6881 -> 10.9.0.2:6881", "UDP 6881 -> 10.9.0.2:6881")
		if s := m.Status(); len(s.Targets) != 1 || s.Targets[0].Interface != "eth1" {
			t.Errorf("%+v", s)
		}
		sys.setLinks(homeLink) // the VPN is down
		time.Sleep(watchEvery)
		if s := m.Status(); len(s.Targets) > 0 {
			t.Errorf("%+v", s)
		}
		m.Close()
		wantMaps(t, near)
	})
}

func TestNothingWorksAndTheReasonIsSaid(t *testing.T) {
	mapped(t, func(r *fakeRouter, _ *Config) { r.isSilent = true }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		s := m.Status()
		if s.Targets[0].Err == nil || s.Targets[0].Err.Error() != "PCP: no answer; NAT-PMP: no answer; UPnP: no answer" ||
			s.Targets[0].Advice != "enable UPnP, NAT-PMP or PCP in the router at 192.168.1.1, or forward TCP and UDP port 6881 to 192.168.1.2 there" {
			t.Errorf("%+v", s)
		}
	})
	mapped(t, func(r *fakeRouter, c *Config) { r.hasPCP, r.refuses, c.Methods = true, 2, []Method{PCP} }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		if s := m.Status(); s.Targets[0].Err.Error() != "PCP: the router refuses: it does not allow this host to map ports" || r.count("search") > 0 {
			t.Errorf("%+v", s)
		}
	})
	// A router behind another NAT maps, and yet nobody reaches us.
	mapped(t, func(r *fakeRouter, _ *Config) { r.hasPCP, r.external = true, netip.MustParseAddr("100.64.1.1") }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		if s := m.Status(); !strings.Contains(s.Targets[0].Advice, "is itself behind a NAT") {
			t.Errorf("%+v", s)
		}
	})
}

// The attempts become rare if no router answers.
func TestRoutersThatDoNotAnswerAreAskedLessAndLess(t *testing.T) {
	mapped(t, func(r *fakeRouter, _ *Config) { r.isSilent = true }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		time.Sleep(time.Hour)
		before := r.count("search")
		time.Sleep(2 * time.Hour)
		// 12 attempts, each with 3 searches for 4 types, to all devices and to the gateway.
		if n := (r.count("search") - before) / (3 * 4 * 2); n < 10 || n > 12 {
			t.Errorf("%d attempts in 2 hours", n)
		}
	})
}

func TestPinholes(t *testing.T) {
	local := netip.MustParseAddr("2a00:1450::2")
	gw6 := netip.MustParseAddr("fe80::1%eth0")
	l := link{name: "eth0", v4: homeLink.v4, gw4: gatewayIP, v6: []netip.Addr{netip.MustParseAddr("fe80::2"), local}, gw6: gw6}
	want := []string{"protocol 17 -> [2a00:1450::2]:6881", "protocol 6 -> [2a00:1450::2]:6881"}
	synctest.Test(t, func(t *testing.T) {
		r := newRouter()
		r.igd = 2
		m := Start(Config{Listen: everyAddr[1:], system: &fakeSystem{nics: []link{l}, routers: map[netip.Addr]*fakeRouter{gatewayIP: r, gw6: newRouter()}}})
		time.Sleep(4 * time.Second)
		wantMaps(t, r, want...)
		if s := m.Status(); external(s, true) != netip.AddrPortFrom(local, 6881) {
			t.Errorf("%+v", s)
		}
		r.restart()
		time.Sleep(61 * time.Second)
		wantMaps(t, r, want...)
		time.Sleep(3 * time.Hour)
		wantMaps(t, r, want...)
		if n := r.count("AddPinhole"); n != 4 {
			t.Errorf("%d pinholes were added: renewing must not add any", n)
		}
		m.Close()
		wantMaps(t, r)
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRouter()
		r.hasPCP = true
		m := Start(Config{Listen: everyAddr[1:], system: &fakeSystem{nics: []link{l}, routers: map[netip.Addr]*fakeRouter{gw6: r}}})
		time.Sleep(4 * time.Second)
		wantMaps(t, r, "TCP 6881 -> 2a00:1450::2:6881", "UDP 6881 -> 2a00:1450::2:6881")
		m.Close()
		wantMaps(t, r)
	})
}

// Every gateway of every interface is asked. An interface that goes takes its target along, and one
// that comes is noticed.
func TestSeveralRoutersAndChangesOfNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		second := netip.MustParseAddr("192.168.1.7") // another device on the same network
		wifi := link{name: "wlan0", metric: 600, v4: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/8")}, gw4: netip.MustParseAddr("10.0.0.1")}
		a, b, c := newRouter(), newRouter(), newRouter()
		a.igd, b.igd, c.hasPCP = 1, 2, true
		sys := &fakeSystem{nics: []link{wifi, homeLink}, routers: map[netip.Addr]*fakeRouter{gatewayIP: a, second: b, wifi.gw4: c}}
		m := Start(Config{Listen: everyAddr, system: sys})
		time.Sleep(4 * time.Second)
		wantMaps(t, a, both...)
		wantMaps(t, b, both...)
		wantMaps(t, c, "TCP 6881 -> 10.0.0.5:6881", "UDP 6881 -> 10.0.0.5:6881")
		if s := m.Status(); len(s.Targets) != 2 || s.Targets[0].Interface != "eth0" || len(s.Targets[0].Mappings) != 4 {
			t.Errorf("%+v", s)
		}
		sys.setLinks(homeLink)
		time.Sleep(6 * time.Second)
		wantMaps(t, c)
		moved := wifi
		moved.v4 = []netip.Prefix{netip.MustParsePrefix("10.0.0.6/8")}
		sys.setLinks(moved)
		time.Sleep(10 * time.Second)
		wantMaps(t, c, "TCP 6881 -> 10.0.0.6:6881", "UDP 6881 -> 10.0.0.6:6881")
		if s := m.Status(); len(s.Targets) != 1 {
			t.Errorf("%+v", s)
		}
		m.Close()
		wantMaps(t, c)
	})
}

// A router that does not answer any more does not hold up the end.
func TestCloseIsBounded(t *testing.T) {
	for _, configure := range []func(*fakeRouter){func(r *fakeRouter) { r.hasPCP = true }, func(r *fakeRouter) { r.igd = 1 }} {
		synctest.Test(t, func(t *testing.T) {
			r := newRouter()
			configure(r)
			m := Start(Config{Listen: everyAddr, system: &fakeSystem{nics: []link{homeLink}, routers: map[netip.Addr]*fakeRouter{gatewayIP: r}}})
			time.Sleep(4 * time.Second)
			wantMaps(t, r, both...)
			r.do(func() { r.isSilent, r.isSlow = true, true })
			begun := time.Now()
			m.Close()
			if took := time.Since(begun); took > removeTimeout+500*time.Millisecond {
				t.Errorf("Close took %v", took)
			}
		})
	}
}
