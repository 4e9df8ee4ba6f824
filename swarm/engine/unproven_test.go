package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
)

func testBook(relaxed bool) book {
	return newBook(&Config{Relaxed: relaxed}, rand.New(rand.NewPCG(1, 2)))
}

func from(n int) netip.Addr { return netip.AddrFrom4([4]byte{20, byte(n >> 8), byte(n), 1}) }

func named(addr string, source Source, by int) Candidate {
	return Candidate{Addr: netip.MustParseAddrPort(addr), Source: source, From: from(by)}
}

// dialAll dials everything that the book offers now.
func dialAll(b *book, now mono.Time) (list []netip.AddrPort) {
	for {
		c := b.pick(now, false, false)
		if c == nil {
			return list
		}
		b.dial(c)
		list = append(list, c.addr)
	}
}

func TestUnprovenAddressesOfOneHostAreFewAndDialledOneAtATime(t *testing.T) {
	b := testBook(false)
	for port := range 4096 {
		b.add(0, named(fmt.Sprintf("8.8.8.8:%d", port+1), FromDHT, 1))
	}
	if n := b.known(); n != maxPortsPerHost {
		t.Errorf("%d addresses are kept", n)
	}
	var dials, lowest = 0, uint16(65535)
	for now := mono.Time(0); now < mono.Time(time.Minute); now += mono.Time(100 * time.Millisecond) {
		list := dialAll(&b, now)
		if len(list) > 1 {
			t.Fatalf("%v were dialled at once", list)
		}
		for _, a := range list {
			dials, lowest = dials+1, min(lowest, a.Port())
			b.dialFailed(now, a, FaultRefused, false)
		}
		b.add(now, named(fmt.Sprintf("8.8.8.8:%d", 1024+int(now/mono.Time(time.Millisecond))%60000), FromDHT, 1))
	}
	if dials == 0 || dials > 8 || lowest < MinUnprovenPort {
		t.Errorf("%d dials in a minute, the lowest port %d", dials, lowest)
	}
}

func TestWhichAddressesAreExempt(t *testing.T) {
	for _, tt := range []struct {
		name    string
		relaxed bool
		addr    string
		source  Source
		want    int // of 20 ports
	}{
		{"DHT", false, "8.8.8.8:%d", FromDHT, maxPortsPerHost},
		{"PEX", false, "8.8.8.8:%d", FromPEX, maxPortsPerHost},
		{"the local network", false, "192.168.1.5:%d", FromLSD, maxPortsPerHost},
		{"DHT and PEX", false, "8.8.8.8:%d", FromDHT | FromPEX, maxPortsPerHost},
		{"an IPv6 /64", false, "[2a00::%d]:6881", FromDHT, maxPortsPerHost},
		{"a private address from the public side", false, "10.0.0.1:%d", FromPEX, maxPortsPerHost},
		{"a public address in a laboratory", true, "8.8.8.8:%d", FromDHT, maxPortsPerHost},
		{"a reserved address", true, "240.0.0.1:%d", FromDHT, 0},
		{"a laboratory", true, "10.0.0.1:%d", FromDHT, 20},
		{"loopback", true, "127.0.0.1:%d", FromPEX, 20},
		{"the user", false, "8.8.8.8:%d", FromHint, 20},
		{"the user and the DHT", false, "8.8.8.8:%d", FromHint | FromDHT, 20},
		{"the peer itself", false, "8.8.8.8:%d", FromIncoming, 20},
		{"the last run", false, "8.8.8.8:%d", FromLastRun, 20},
	} {
		b := testBook(tt.relaxed)
		for i := range 20 {
			b.add(0, named(fmt.Sprintf(tt.addr, 2000+i), tt.source, i))
		}
		if n := b.known(); n != tt.want {
			t.Errorf("%s: %d of 20 addresses are kept, want %d", tt.name, n, tt.want)
		}
	}
	// An address that worked before stays exempt, whoever names it.
	b := testBook(false)
	b.add(0, named("8.8.8.8:2000", FromDHT, 1))
	b.dial(b.pick(0, false, false))
	b.dialSucceeded(0, netip.MustParseAddrPort("8.8.8.8:2000"), false)
	for i := range 20 {
		b.add(0, named(fmt.Sprintf("8.8.8.8:%d", 3000+i), FromDHT, 1))
	}
	if n := b.known(); n != 1+maxPortsPerHost {
		t.Errorf("%d addresses are kept, including one that worked", n)
	}
	// A hint confirms an address that was rejected before.
	if b.add(0, named("8.8.8.8:80", FromDHT, 1)); b.find(netip.MustParseAddrPort("8.8.8.8:80")) != nil {
		t.Error("an unproven port below 1024 was kept")
	}
	if b.add(0, named("8.8.8.8:80", FromHint, 0)); b.find(netip.MustParseAddrPort("8.8.8.8:80")) == nil {
		t.Error("the user's port 80 was not kept")
	}
}

func TestOneSourceCannotFillTheBook(t *testing.T) {
	b := testBook(false)
	for i := range 1000 {
		b.add(0, named(fmt.Sprintf("8.%d.%d.8:6881", i>>8, i&255), FromPEX, 1))
	}
	if n := b.known(); n != maxPerSource {
		t.Errorf("%d addresses of one source are kept", n)
	}
	if !b.add(0, named("9.9.9.9:6881", FromPEX, 2)) {
		t.Error("another source was rejected")
	}
	// Addresses that have failed often no longer count, so an honest source that named
	// dead peers can name others.
	now, dials := mono.Time(0), 0
	for range 2 * countedFails {
		for _, a := range dialAll(&b, now) {
			b.dialFailed(now, a, FaultRefused, false)
			dials++
		}
		now = now.Add(24 * time.Hour)
	}
	if dials < countedFails*maxPerSource {
		t.Fatalf("%d dials", dials)
	}
	if !b.add(now, named("8.9.9.8:6881", FromPEX, 1)) {
		t.Error("a source of failed addresses is rejected forever")
	}
}

// A liar names port after port of an honest peer's address, before the honest sources and
// continuously. The honest peer is still dialed soon.
func TestALiarCannotHideAPeerBehindItsAddress(t *testing.T) {
	for _, first := range []bool{false, true} {
		for _, sources := range []int{1, 3} {
			b := testBook(false)
			honest := netip.MustParseAddrPort("8.8.8.8:50000")
			lie := 0
			lies := func(now mono.Time, n int) {
				for range n {
					lie++
					b.add(now, named(fmt.Sprintf("8.8.8.8:%d", 1024+lie%40000), FromDHT, 1))
				}
			}
			truth := func(now mono.Time) {
				for s := range sources {
					b.add(now, Candidate{Addr: honest, Source: FromDHT, From: from(10 + s)})
				}
			}
			if first {
				truth(0)
			}
			lies(0, 1000)
			found := mono.Time(-1)
			for now := mono.Time(0); found < 0 && now < mono.Time(10*time.Minute); now += mono.Time(time.Second) {
				for _, a := range dialAll(&b, now) {
					if a == honest {
						found = now
					}
					b.dialFailed(now, a, FaultRefused, false)
				}
				lies(now, 100)
				if now%mono.Time(15*time.Second) == 0 { // the next lookup
					truth(now)
				}
			}
			limit := time.Minute
			if sources > 1 {
				limit = 3 * time.Second
			}
			if found < 0 || time.Duration(found) > limit {
				t.Errorf("named first %v by %d sources: dialled after %v, want at most %v", first, sources, time.Duration(found), limit)
			}
		}
	}
}

// checkUnproven compares the counts with the list.
func checkUnproven(t *rapid.T, b *book) {
	kept, dialing, named := map[netip.Addr]int{}, map[netip.Addr]int{}, map[sourceID]int{}
	all := 0
	for i := range b.list {
		c := &b.list[i]
		if b.index[c.addr] != int32(i) {
			t.Fatalf("%v is at %d, not at %d", c.addr, i, b.index[c.addr])
		}
		if c.state == candDialing {
			all++
		}
		if c.counted {
			named[c.first]++
		}
		if c.unproven != b.isUnproven(c) {
			t.Fatalf("%v counted as unproven: %v", c.addr, c.unproven)
		}
		if !c.unproven {
			continue
		}
		if c.addr.Port() < MinUnprovenPort {
			t.Fatalf("%v was kept", c.addr)
		}
		h := hostKey(c.addr.Addr())
		kept[h]++
		if c.state == candDialing {
			dialing[h]++
		}
	}
	if len(b.list) != len(b.index) || all != b.dialing || len(kept) != len(b.unproven.hosts) || len(named) != len(b.unproven.named) {
		t.Fatalf("%d listed, %d found; %d dialling, %d counted; %d hosts, %d counted; %d sources, %d counted", len(b.list), len(b.index),
			all, b.dialing, len(kept), len(b.unproven.hosts), len(named), len(b.unproven.named))
	}
	for k, h := range b.unproven.hosts {
		if len(h.kept) != kept[k] || kept[k] > maxPortsPerHost || dialing[k] > 1 || h.dialing != (dialing[k] == 1) {
			t.Fatalf("%v: %v with %d, dialling %d, %v", k, h.kept, kept[k], dialing[k], h.dialing)
		}
	}
	for s, n := range named {
		if b.unproven.named[s] != n || s != 0 && n > maxPerSource {
			t.Fatalf("%d addresses of %d, %d counted", n, s, b.unproven.named[s])
		}
	}
}

func TestBookCountsAreConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := testBook(rapid.Bool().Draw(t, "relaxed"))
		now := mono.Time(0)
		addr := rapid.Custom(func(t *rapid.T) netip.AddrPort {
			ip := rapid.SampledFrom([]string{"8.8.8.8", "9.9.9.9", "10.0.0.1", "2a00::1", "2a00::2", "::ffff:8.8.8.8"}).Draw(t, "ip")
			return netip.AddrPortFrom(netip.MustParseAddr(ip), rapid.SampledFrom([]uint16{80, 1024, 2000, 3000, 4000, 5000}).Draw(t, "port"))
		})
		known := func(t *rapid.T, state candState) *candidate {
			for i := range b.list {
				if c := &b.list[(i+rapid.IntRange(0, 20).Draw(t, "skip"))%len(b.list)]; c.state == state {
					return c
				}
			}
			return nil
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				b.add(now, Candidate{
					Addr: addr.Draw(t, "addr"), From: from(rapid.IntRange(0, 4).Draw(t, "from")),
					Source: rapid.SampledFrom([]Source{FromDHT, FromDHT, FromPEX, FromPEX, FromLSD, FromHint, FromIncoming}).Draw(t, "source"),
				})
			},
			"dial": func(*rapid.T) {
				if c := b.pick(now, false, false); c != nil {
					b.dial(c)
				}
			},
			"fail": func(t *rapid.T) {
				if c := known(t, candDialing); c != nil {
					b.dialFailed(now, c.addr, FaultRefused, false)
				}
			},
			"succeed": func(t *rapid.T) {
				if c := known(t, candDialing); c != nil {
					b.dialSucceeded(now, c.addr, false)
				}
			},
			"part": func(t *rapid.T) {
				if c := known(t, candConnected); c != nil {
					b.disconnected(now, c.addr, rapid.SampledFrom([]Fault{FaultNone, FaultProtocol, FaultSelf}).Draw(t, "fault"), true, false, false)
				}
			},
			"join": func(t *rapid.T) { b.addIncoming(now, addr.Draw(t, "addr")) },
			"ban": func(t *rapid.T) {
				b.ban(now, banKey(addr.Draw(t, "addr")), now.Add(time.Minute))
			},
			"private": func(t *rapid.T) {
				if rapid.IntRange(0, 50).Draw(t, "rarely") == 0 {
					b.setPrivate()
				}
			},
			"wait": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds")) * time.Second)
			},
			"": func(t *rapid.T) { checkUnproven(t, &b) },
		})
	})
}

func TestBansExpire(t *testing.T) {
	b := testBook(false)
	minute := mono.Time(time.Minute)
	seed, other := named("8.8.8.8:6881", FromHint, 0), named("9.9.9.9:6881", FromDHT, 1)
	b.add(0, seed)
	b.add(0, other)
	for _, k := range []Candidate{seed, other} {
		if !b.ban(0, banKey(k.Addr), minute) {
			t.Error("already banned")
		}
	}
	if b.ban(minute/2, banKey(seed.Addr), minute/2) || b.bans.count(minute-1) != 2 || b.bans.count(minute) != 0 {
		t.Error("a ban was shortened or miscounted:", b.bans.count(minute-1), b.bans.count(minute))
	}
	if list := dialAll(&b, minute-1); len(list) > 0 || !b.isBanned(minute-1, seed.Addr) {
		t.Error("dialled while banned:", list)
	}
	if b.add(minute-1, other) || b.isBanned(minute, seed.Addr) {
		t.Error("added too early, or banned too long")
	}
	if list := dialAll(&b, minute); len(list) != 1 || list[0] != seed.Addr {
		t.Error("after the ban of the user's peer:", list)
	}
	// If there are too many bans, the oldest is forgotten.
	for i := range maxBans {
		b.ban(minute, banKey(addrOf(i)), mono.Never)
	}
	if b.isBanned(minute-1, seed.Addr) || !b.isBanned(minute, addrOf(0)) || len(b.bans.until) != maxBans || addrs.IsPublic(addrOf(0).Addr()) {
		t.Error(len(b.bans.until))
	}
}
