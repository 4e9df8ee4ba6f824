package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"seedbed/pex"
	"seedbed/swarm/wire"
)

// Peers are told of the partners by PEX, once, and when that ends. Nobody dials them for that.
func TestPeersAreToldOfPartners(t *testing.T) {
	r := newPunchRig(t, Config{})
	c := r.joins(EvConnected{Addr: public(1), Incoming: true})
	var added []pex.Peer
	var dropped []netip.AddrPort
	wait := func(d time.Duration) {
		r.step(&EvSent{Conn: c})
		cmds := r.wait(d)
		if n := len(of(cmds, CmdDial)); n > 0 {
			t.Errorf("%d dials", n)
		}
		added, dropped = nil, nil
		for _, m := range sent(t, cmds, c) {
			if m.Type == wire.Extended && m.Ext == 6 {
				u, err := pex.Parse(m.Payload)
				if err != nil {
					t.Fatal(err)
				}
				added, dropped = append(added, u.Added...), append(dropped, u.Dropped...)
			}
		}
	}
	wait(20 * time.Second)
	one, two := public(101), public(102)
	r.step(&EvPartners{Addrs: []netip.AddrPort{one, two}})
	wait(70 * time.Second)
	if len(added) != 2 || !slices.ContainsFunc(added, func(p pex.Peer) bool { return p.Addr == one && p.Flags == pex.Seed|pex.Reachable }) || len(dropped) > 0 {
		t.Fatalf("told of %v, without %v", added, dropped)
	}
	r.step(&EvPartners{Addrs: []netip.AddrPort{two}})
	wait(70 * time.Second)
	if len(added) != 0 || !slices.Equal(dropped, []netip.AddrPort{one}) {
		t.Fatalf("then of %v, without %v", added, dropped)
	}
}
