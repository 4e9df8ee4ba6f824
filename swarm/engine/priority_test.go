package engine

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/addrs"
	"seedbed/swarm/wire"
)

func TestCanonicalPriorityOfBEP40(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want uint32
	}{
		// The examples of BEP 40.
		{"123.213.32.10:1", "98.76.54.32:2", 0xec2d7224},
		{"123.213.32.10:1", "123.213.32.234:2", 0x99568189},
		// "If the IP addresses are in the same /16, the mask to be used should be FF.FF.FF.55"
		{"98.76.20.0:1", "98.76.37.3:2", crc(98, 76, 20, 0, 98, 76, 37, 1)},
		// "If the IP addresses are the same, the port numbers should be used".
		{"1.2.3.4:6881", "1.2.3.4:258", crc(1, 2, 0x1a, 0xe1)},
		{"[2001:db8:aaff:ffff:ffff::ff]:1", "[2001:db9::]:2", crc(
			0x20, 1, 0xd, 0xb8, 0xaa, 0xff, 0x55, 0x55, 0x55, 0x55, 0, 0, 0, 0, 0, 0x55,
			0x20, 1, 0xd, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)},
		// "in the same /48": the mask begins with seven whole bytes, and with eight in the same /56.
		{"[2001:db8:0:ffff::]:1", "[2001:db8::]:2", crc(
			0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			0x20, 1, 0xd, 0xb8, 0, 0, 0xff, 0x55, 0, 0, 0, 0, 0, 0, 0, 0)},
		{"[2001:db8:0:ff:ff::]:1", "[2001:db8::]:2", crc(
			0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			0x20, 1, 0xd, 0xb8, 0, 0, 0, 0xff, 0, 0x55, 0, 0, 0, 0, 0, 0)},
		{"1.2.3.4:1", "[2001:db8::]:1", 0},
	} {
		a, b := netip.MustParseAddrPort(c.a), netip.MustParseAddrPort(c.b)
		if got := canonicalPriority(a, b); got != c.want {
			t.Errorf("%v and %v: %08x, want %08x", a, b, got, c.want)
		}
	}
}

// crc is a bitwise CRC32-C.
func crc(bytes ...byte) uint32 {
	x := ^uint32(0)
	for _, b := range bytes {
		x ^= uint32(b)
		for range 8 {
			x = x>>1 ^ 0x82f63b78*(x&1)
		}
	}
	return ^x
}

// BEP 40: "both the client and peer arrive at the same hash".
func TestBothEndsComputeTheSamePriority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addr := func(name string) netip.AddrPort {
			b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x55, 0xff}), 4, 4).Draw(t, name)
			if ip, _ := netip.AddrFromSlice(b); rapid.Bool().Draw(t, "IPv4") {
				return netip.AddrPortFrom(ip, uint16(b[0])+1)
			}
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0x20, 5: b[0], 6: b[1], 7: b[2], 15: b[3]}), 7)
		}
		a, b := addr("a"), addr("b")
		if canonicalPriority(a, b) != canonicalPriority(b, a) {
			t.Errorf("%v and %v differ", a, b)
		}
	})
}

// Of addresses that are equal otherwise, the one of the highest priority is dialed first. Without
// our own address, chance decides.
func TestHigherPriorityIsDialedFirst(t *testing.T) {
	for _, known := range []bool{false, true} {
		first := map[netip.AddrPort]bool{}
		for seed := range uint64(8) {
			b := newBook(&Config{Ports: addrs.Ports{V4: 6881, V6: 6881}}, rand.New(rand.NewPCG(seed, 2)))
			own := netip.MustParseAddr("45.0.0.1")
			var best netip.AddrPort
			for i := range 100 {
				a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(i), 7, byte(3 * i)}), 6881)
				if i == 50 && known {
					b.setSelf(own) // also for those that are known already
				}
				b.add(0, Candidate{Addr: a, Source: FromDHT, From: from(i)})
				if x := netip.AddrPortFrom(own, 6881); !best.IsValid() || canonicalPriority(x, a) > canonicalPriority(x, best) {
					best = a
				}
			}
			c := b.pick(0, false, false)
			first[c.addr] = true
			if known && c.addr != best {
				t.Errorf("%v is dialed first, not %v", c.addr, best)
			}
		}
		if !known && len(first) < 4 {
			t.Errorf("8 peers of a swarm dial only %d addresses first", len(first))
		}
	}
	// A better source counts for more.
	b := newBook(&Config{Ports: addrs.Ports{V4: 6881, V6: 6881}}, rand.New(rand.NewPCG(1, 2)))
	b.setSelf(netip.MustParseAddr("45.0.0.1"))
	for i := range 20 {
		b.add(0, Candidate{Addr: addrOf(i), Source: FromDHT, From: from(i)})
	}
	b.add(0, Candidate{Addr: addrOf(99), Source: FromLastRun})
	if c := b.pick(0, false, false); c.addr != addrOf(99) {
		t.Errorf("%v is dialed first", c.addr)
	}
}

// A host that connects often, or from many addresses of its IPv6 network, does not take the places
// of others by a high priority.
func TestASiteReplacesOneConnectionByItsPriority(t *testing.T) {
	for name, addrOfSite := range map[string]func(n int) netip.AddrPort{
		"an IPv4 address": func(n int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, 7}), uint16(n))
		},
		"an IPv6 network": func(n int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0x0b, 0xa8, 0, 1, 6: byte(n), 12: byte(n >> 8)}), 6881)
		},
	} {
		seed := seeding(t, Config{MaxConns: 20}, 50)
		seed.step(&EvExternal{Addr: netip.MustParseAddr("2a00:9::1")})
		byPriority(seed, 20, func() Conn { return seed.leecher(true) })
		for range 4 {
			seed.wait(idleFor / 2)
			for c := range seed.n {
				seed.msg(c+1, wire.Msg{Type: wire.KeepAlive})
			}
		}
		honest := slices.Clone(seed.e.peers)
		for _, p := range honest { // all of them take what they can get
			p.choke.stalls, p.choke.total = 0, 1<<20
		}
		isHigh := func(a netip.AddrPort) bool { // higher than half of them
			n := 0
			for _, p := range honest {
				if seed.e.book.priority(a) > seed.e.priorityOf(p) {
					n++
				}
			}
			return n > len(honest)/2
		}
		for i := byte(1); !isHigh(addrOfSite(1)); i++ { // the site cannot choose it, but may be lucky
			seed.step(&EvExternal{Addr: netip.AddrFrom4([4]byte{45, 0, i, 1})})
			seed.step(&EvExternal{Addr: netip.AddrFrom16([16]byte{0x2a, 0, i})})
		}
		replaced := 0
		for n := range 1000 {
			if a := addrOfSite(n + 1); isHigh(a) && replaced < 10 {
				c := seed.join(EvConnected{Incoming: true, Addr: a})
				if closed(seed.drain(), c) == FaultNone {
					replaced++
				}
			}
		}
		if replaced != 1 {
			t.Errorf("%s replaced %d connections", name, replaced)
		}
	}
}

// byPriority connects n leechers to a rig that knows its own address, and returns the
// connections with the lowest and the highest priority.
func byPriority(r *rig, n int, join func() Conn) (low, high Conn) {
	r.step(&EvExternal{Addr: netip.MustParseAddr("45.0.0.1")})
	for range n {
		c := join()
		p := r.e.priorityOf(r.e.conns[c])
		if low == 0 || p < r.e.priorityOf(r.e.conns[low]) {
			low = c
		}
		if high == 0 || p > r.e.priorityOf(r.e.conns[high]) {
			high = c
		}
	}
	return low, high
}

func TestOfEquallyUselessConnectionsTheLowestPriorityIsReplaced(t *testing.T) {
	r := newRig(t, Config{MaxConns: 20, Budget: 64}, 50, 64<<10)
	low, _ := byPriority(r, 20, r.mute)
	r.wait(2 * idleFor)
	c := r.join(EvConnected{Incoming: true})
	if cmds := r.drain(); closed(cmds, low) == FaultNone || closed(cmds, c) != FaultNone {
		t.Error("another connection than that of the lowest priority was closed")
	}
}

// BEP 40: at the limit, a new connection replaces one of lower priority, even if all are
// useful. It never replaces one that delivers.
func TestAtTheLimitTheHighestPrioritiesAreKept(t *testing.T) {
	seed := seeding(t, Config{MaxConns: 20}, 50)
	low, _ := byPriority(seed, 20, func() Conn { return seed.leecher(true) })
	lowest := seed.e.priorityOf(seed.e.conns[low])
	arrive := func(r *rig, higher bool) (Conn, []Command) {
		for n := 1000; ; n++ {
			if p := r.e.book.priority(addrOf(n)); (p > lowest) == higher {
				c := r.join(EvConnected{Incoming: true, Addr: addrOf(n)})
				return c, r.drain()
			}
		}
	}
	seed.drain()
	if c, cmds := arrive(seed, true); closed(cmds, c) != FaultUseless {
		t.Error("it replaced a connection that is new")
	}
	for range 4 {
		seed.wait(idleFor / 2)
		for c := range seed.n {
			seed.msg(c+1, wire.Msg{Type: wire.KeepAlive})
		}
	}
	for _, p := range seed.e.peers { // all of them take what they can get
		p.choke.stalls, p.choke.total = 0, 1<<20
	}
	if c, cmds := arrive(seed, false); closed(cmds, c) != FaultUseless {
		t.Error("a connection of the lowest priority was accepted")
	}
	if c, cmds := arrive(seed, true); closed(cmds, c) != FaultNone || closed(cmds, low) != FaultUseless {
		t.Error("it did not replace the connection of the lowest priority")
	}

	leech := newRig(t, Config{MaxConns: 3, Budget: 64}, 50, 64<<10)
	low, _ = byPriority(leech, 3, func() Conn { c := leech.seed(true); leech.give(c, leech.drain()); return c })
	lowest = leech.e.priorityOf(leech.e.conns[low])
	for range 5 {
		leech.wait(20 * time.Second)
		for c := range leech.n {
			leech.msg(c+1, wire.Msg{Type: wire.KeepAlive})
			if l := leech.e.conns[c+1].down.outstanding.oldest; l != nil {
				leech.block(BlockEvent{Kind: BlockArrived, Conn: c + 1, Block: l.chunk.piece.blockOf(l.block), Slot: l.chunk.slot})
			}
		}
	}
	if c, cmds := arrive(leech, true); closed(cmds, c) != FaultUseless {
		t.Error("it replaced a connection that delivers")
	}
}
