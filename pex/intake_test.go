package pex

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"seedbed/internal/mono"
)

func accept(t *testing.T, in *Intake, now mono.Time, u Update, want []Peer) {
	t.Helper()
	got, err := in.Accept(now, u)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, sameAddr); d != "" {
		t.Fatal(d)
	}
}

func TestIntakeOfBEP11(t *testing.T) {
	t.Run("except for the initial message at most 50 entries", func(t *testing.T) {
		var in Intake
		accept(t, &in, 0, Update{Added: peers(0, 120)}, peers(0, 120))
		accept(t, &in, minute, Update{Added: peers(120, 180)}, peers(120, 170))
	})
	t.Run("at most 200 stand at a time", func(t *testing.T) {
		var in Intake
		accept(t, &in, 0, Update{Added: peers(0, 199)}, peers(0, 199))
		accept(t, &in, minute, Update{Added: peers(199, 210)}, peers(199, 200))
		accept(t, &in, 2*minute, Update{Added: peers(210, 215), Dropped: []netip.AddrPort{nth(3), nth(7)}}, peers(210, 212))
		if len(in.announced) != 200 {
			t.Error(len(in.announced))
		}
	})
	t.Run("each once, unless dropped", func(t *testing.T) {
		var in Intake
		accept(t, &in, 0, Update{Added: append(peers(0, 3), peers(0, 2)...)}, peers(0, 3))
		accept(t, &in, minute, Update{Added: peers(0, 4)}, peers(3, 4))
		accept(t, &in, 2*minute, Update{Dropped: []netip.AddrPort{nth(0)}}, nil)
		accept(t, &in, 3*minute, Update{Added: peers(0, 1)}, peers(0, 1))
	})
	t.Run("duplicate IP addresses with different ports are ignored", func(t *testing.T) {
		var in Intake
		two := []Peer{{Addr: addr("1.2.3.4:1")}, {Addr: addr("1.2.3.4:2")}}
		accept(t, &in, 0, Update{Added: two}, two[:1])
		// Unless they are local.
		near := Intake{Rules: Rules{Local: true}}
		two = []Peer{{Addr: addr("127.0.0.1:1")}, {Addr: addr("127.0.0.1:2")}}
		accept(t, &near, 0, Update{Added: two}, two)
	})
	t.Run("only a few early messages are accepted", func(t *testing.T) {
		var in Intake
		for i := range maxEarly {
			accept(t, &in, 0, Update{Added: peers(i, i+1)}, peers(i, i+1))
		}
		accept(t, &in, 0, Update{Added: peers(50, 60)}, nil)
		accept(t, &in, minute, Update{Added: peers(50, 60)}, peers(50, 60))
		// Messages a minute apart are always accepted.
		for i := range 100 {
			accept(t, &in, mono.Time(2+i)*minute, Update{Added: peers(100+i, 101+i), Dropped: []netip.AddrPort{nth(99 + i)}}, peers(100+i, 101+i))
		}
	})
	t.Run("egregious violation is an error", func(t *testing.T) {
		var in Intake
		for i := range maxEarly + maxIgnored {
			if _, err := in.Accept(0, Update{}); err != nil {
				t.Fatal(i, err)
			}
		}
		if _, err := in.Accept(0, Update{}); kindOf(err) != Flood {
			t.Error(err)
		}
	})
}

func TestRules(t *testing.T) {
	const pub, priv, loop = "8.8.8.8:1", "192.168.0.9:1", "127.0.0.1:1"
	for _, tt := range []struct {
		addr string
		ok   [3]bool
	}{
		{addr: "1.2.3.4:6881", ok: [3]bool{true, true, true}},
		{addr: "[2a00::1]:6881", ok: [3]bool{true, true, true}},
		{addr: "[2001:db8::1]:6881", ok: [3]bool{false, true, true}},
		{addr: "10.1.2.3:6881", ok: [3]bool{false, true, true}},
		{addr: "172.16.0.1:6881", ok: [3]bool{false, true, true}},
		{addr: "192.168.1.1:6881", ok: [3]bool{false, true, true}},
		{addr: "100.64.0.1:6881", ok: [3]bool{false, true, true}},
		{addr: "169.254.3.4:6881", ok: [3]bool{false, true, true}},
		{addr: "[fd00::1]:6881", ok: [3]bool{false, true, true}},
		{addr: "[::ffff:10.1.2.3]:6881", ok: [3]bool{false, true, true}},
		{addr: "127.0.0.1:6881", ok: [3]bool{false, false, true}},
		{addr: "[::1]:6881", ok: [3]bool{false, false, true}},
		{addr: "1.2.3.4:0"},
		{addr: "0.0.0.0:6881"},
		{addr: "0.1.2.3:6881"},
		{addr: "224.0.0.1:6881"},
		{addr: "239.255.255.250:6881"},
		{addr: "240.0.0.1:6881"},
		{addr: "255.255.255.255:6881"},
		{addr: "[::]:6881"},
		{addr: "[ff02::1]:6881"},
		{addr: "[fe80::1]:6881"},
		{addr: "[::ffff:0.0.0.0]:6881"},
	} {
		for i, peer := range []string{pub, priv, loop} {
			r := Rules{Peer: addr(peer)}
			if got := r.Allow(addr(tt.addr)); got != tt.ok[i] {
				t.Errorf("%s with a peer at %s: %v", tt.addr, peer, got)
			}
		}
		r := Rules{Peer: addr(pub), Local: true}
		if got := r.Allow(addr(tt.addr)); got != tt.ok[2] {
			t.Errorf("%s with Local: %v", tt.addr, got)
		}
	}
	if (&Rules{}).Allow(netip.AddrPort{}) {
		t.Error("no address is allowed")
	}
	r := Rules{Peer: nth(1), Own: []netip.AddrPort{nth(2)}}
	for i, ok := range []bool{true, false, false, true} {
		if r.Allow(nth(i)) != ok {
			t.Errorf("%d: %v", i, !ok)
		}
	}
}
