package node

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/portmap"
	"seedbed/internal/reachability"
	"seedbed/internal/simnet"
)

// fakeMapper maps what the test says.
type fakeMapper struct {
	status  portmap.Status
	port    uint16 // of the last SetPort
	renewed int    // calls of Renew
}

func (m *fakeMapper) Status() portmap.Status { return m.status }
func (m *fakeMapper) SetPort(port uint16)    { m.port = port }
func (m *fakeMapper) Renew()                 { m.renewed++ }
func (m *fakeMapper) Close()                 {}

// maps makes the router forward external to internal, of which asked was asked for.
func (m *fakeMapper) maps(asked, internal uint16, external string) {
	local := netip.MustParseAddr("192.168.1.2")
	m.status = portmap.Status{Targets: []portmap.Target{{Local: local, Mappings: []portmap.Mapping{{
		Method: portmap.PCP, Protocol: portmap.TCP, Router: netip.MustParseAddr("192.168.1.1"), Asked: asked,
		Internal: netip.AddrPortFrom(local, internal), External: netip.MustParseAddrPort(external), Lease: time.Hour}}}}}
}

func TestPeersAreToldThePortThatTheRouterMaps(t *testing.T) {
	open := func(cfg Config) (*Node, *fakeMapper, uint16) {
		cfg.State, cfg.NoDHT, cfg.Listen = t.TempDir(), true, "127.0.0.1:0"
		n, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close(context.Background()) })
		if n.mapper != nil {
			t.Fatal("a loopback address is mapped")
		}
		m := &fakeMapper{}
		n.mapper = m
		return n, m, n.net.Port()
	}
	want := func(n *Node, v4, v6 uint16) {
		t.Helper()
		local := n.net.Port()
		if n.cfg.AnnouncePort != 0 {
			local = 0
		}
		if got := n.ports(); got != (addrs.Ports{V4: v4, V6: v6, Local: local}) {
			t.Errorf("%v, want %d and %d", got, v4, v6)
		}
	}
	n, m, port := open(Config{})
	mapped := n.Subscribe(Mapped)
	want(n, port, port)
	m.maps(port, port, "45.0.0.1:7777")
	for range 2 {
		if move := n.updateReach(); move != 0 {
			t.Errorf("moves to %d", move)
		}
	}
	want(n, 7777, port)
	<-mapped.Ready()
	if es := mapped.Take(); len(es) != 1 || es[0].Addr != "45.0.0.1:7777" || es[0].Mapping.Method != "PCP" {
		t.Errorf("%+v", es)
	}
	if own := n.own(); own[0] != netip.MustParseAddr("45.0.0.1") {
		t.Errorf("our address is %v", own)
	}
	// After a change of the port, the old mapping does not count until the router has mapped the new one.
	if err := n.SetPort(0); err != nil {
		t.Fatal(err)
	}
	now := n.net.Port()
	want(n, now, now)
	if m.port != now {
		t.Errorf("port %d is mapped, and we listen on %d", m.port, now)
	}
	// A router that forwards to another port of its choice is followed only if the user named it.
	m.maps(now, 4000, "45.0.0.1:4000")
	if move := n.updateReach(); move != 0 {
		t.Errorf("moves to %d", move)
	}
	want(n, now, now)
	m.status = portmap.Status{}
	n.updateReach()
	want(n, now, now)

	vpn, m, port := open(Config{PortMapGateway: netip.MustParseAddr("10.2.0.1")})
	m.maps(port, 4000, "45.0.0.1:4000")
	if first, again := vpn.updateReach(), vpn.updateReach(); first != 4000 || again != 0 {
		t.Errorf("moves to %d, then to %d", first, again)
	}

	given, m, port := open(Config{AnnouncePort: 9999})
	m.maps(port, port, "45.0.0.1:7777")
	given.updateReach()
	want(given, 9999, 9999)
	// Peers are told the same port, but we listen on another one.
	given.evidence.arrived(outsiders[0].Addr(), reachability.TCP)
	if v := given.Reachability(false).Verdict; v != reachability.Reachable {
		t.Fatal(v)
	}
	if err := given.SetPort(0); err != nil {
		t.Fatal(err)
	}
	if v := given.Reachability(false).Verdict; v != reachability.Unknown {
		t.Errorf("after a change of the port: %v", v)
	}
}

// A VPN server that chooses another port soon after the first is followed a little later.
func TestAPortThatChangesOftenIsFollowedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t, simnet.New(1, simnet.Link{Delay: ms}), 1, noDHT, func(c *Config) { c.PortMapGateway = netip.MustParseAddr("10.2.0.1") })
		m, changed := &fakeMapper{}, make(chan struct{}, 1)
		n.mapper = m
		n.wg.Go(func() { n.followMapper(changed) })
		moved := func(external string, after time.Duration) time.Time {
			synctest.Wait()
			m.maps(n.net.Port(), netip.MustParseAddrPort(external).Port(), external)
			nudge(changed)
			time.Sleep(after)
			synctest.Wait()
			return lastMove(n.Node)
		}
		first := moved("45.0.0.1:4000", time.Second)
		if soon := moved("45.0.0.1:5000", 10*time.Second); first.IsZero() || soon != first {
			t.Errorf("first at %v, then at %v", first, soon)
		}
		time.Sleep(2 * moveEvery)
		synctest.Wait()
		if lastMove(n.Node) == first {
			t.Error("it does not follow the second port")
		}
	})
}

// lastMove returns when a router last made the node listen on another port.
func lastMove(n *Node) time.Time {
	n.mapped.mu.Lock()
	defer n.mapped.mu.Unlock()
	return n.mapped.moved
}

func TestAGatewayIsOnTheLocalNetwork(t *testing.T) {
	for text, ok := range map[string]bool{"192.168.1.1": true, "fe80::1%eth0": true, "45.0.0.1": false, "fe80::1": false} {
		cfg := Config{State: t.TempDir(), PortMapGateway: netip.MustParseAddr(text)}
		if err := cfg.Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
