package bootstrap

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

const (
	second = mono.Time(time.Second)
	minute = 60 * second
)

func config() Config {
	return Config{V4: true, V6: true, Rand: rand.New(rand.NewPCG(1, 2))}
}

func ring(cfg Config, v6 bool) *Ring {
	cfg.validate()
	return newRing(cfg, v6)
}

// node4 returns the ith of many public addresses.
func node4(i int) netip.AddrPort {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 0x0b000000+uint32(i))
	return netip.AddrPortFrom(netip.AddrFrom4(b), 6881)
}

func nodeID(i int) (v id.ID) {
	binary.BigEndian.PutUint64(v[:], uint64(i)*0x9e3779b97f4a7c15)
	return v
}

// consistent checks the invariants.
func (r *Ring) consistent(t rapid.TB) {
	if len(r.nodes) != len(r.meta)*r.stride || len(r.places) != len(r.meta) || len(r.meta) > r.size || r.size > r.cfg.MaxNodes {
		t.Fatalf("%d bytes, %d places, %d nodes, size %d", len(r.nodes), len(r.places), len(r.meta), r.size)
	}
	for i := range r.meta {
		if at, ok := r.places[placeKey(compactAddr(r.node(i)), r.cfg.Relaxed)]; !ok || int(at) != i {
			t.Fatalf("node %d is at %d, %v", i, at, ok)
		}
	}
}

func TestOneNodeForAnIPv4AddressAndAnIPv6Slash48(t *testing.T) {
	for _, c := range []struct {
		x, y string
		len  int
	}{
		{"11.0.0.1:1", "11.0.0.1:2", 1},
		{"11.0.0.1:1", "11.0.0.2:1", 2},
		{"[2a00:1:2:3::1]:1", "[2a00:1:2:4::1]:1", 1},
		{"[2a00:1:2:3::1]:1", "[2a00:1:3:3::1]:1", 2},
	} {
		x, y := netip.MustParseAddrPort(c.x), netip.MustParseAddrPort(c.y)
		r := ring(config(), x.Addr().Is6())
		r.Add(0, nodeID(1), x)
		r.Add(0, nodeID(2), y)
		if r.Len() != c.len || compactAddr(r.node(0)) != x {
			t.Errorf("%v: %d nodes", c, r.Len())
		}
		r.consistent(t)
	}
}

func TestAPrivateNetworkHasManyNodesAtAnAddress(t *testing.T) {
	cfg := config()
	cfg.Relaxed = true
	for _, ip := range []string{"127.0.0.1", "::1"} {
		a := netip.MustParseAddr(ip)
		r := ring(cfg, a.Is6())
		for i := range 50 {
			r.Add(0, nodeID(i), netip.AddrPortFrom(a, uint16(1000+i)))
		}
		if r.Len() != 50 {
			t.Error(ip, r.Len())
		}
		r.consistent(t)
	}
}

func TestANodeThatAnswersAgainIsUpdated(t *testing.T) {
	r := ring(config(), false)
	a := node4(1)
	r.Add(0, nodeID(1), a)
	if r.Add(minute, nodeID(1), a) || r.Len() != 1 || id.ID(r.node(0)[:20]) != nodeID(1) || r.meta[0].verified != 60 {
		t.Fatal("not renewed")
	}
	// Another port of the address is refused as long as the first one answers.
	b := netip.AddrPortFrom(a.Addr(), 1)
	r.Add(2*minute, nodeID(3), b)
	if compactAddr(r.node(0)) != a {
		t.Fatal("replaced")
	}
	r.meta[0].tries = 1
	r.Add(3*minute, nodeID(3), b)
	if compactAddr(r.node(0)) != b {
		t.Fatal("a silent node was not replaced")
	}
	r.consistent(t)
}

func TestANodeThatChangesItsIDIsRemoved(t *testing.T) {
	r := ring(config(), false)
	for i := range 3 {
		r.Add(0, nodeID(i), node4(i))
	}
	if r.Add(minute, nodeID(9), node4(1)) || r.Len() != 2 {
		t.Fatal("a node that changed its id was not removed")
	}
	r.consistent(t)
	if !r.Add(20*minute, nodeID(9), node4(1)) || r.Len() != 3 || id.ID(r.node(2)[:20]) != nodeID(9) {
		t.Fatal("it cannot be added again")
	}
	r.consistent(t)
}

func TestARingGrowsWhenNodesWouldBeReplacedTooSoon(t *testing.T) {
	cfg := config()
	cfg.MaxNodes = 1000
	r := ring(cfg, false)
	i := 0
	add := func(now mono.Time) { r.Add(now, nodeID(i), node4(i)); i++ }
	for range MinRing {
		add(0)
	}
	if r.Size() != MinRing || r.Len() != MinRing {
		t.Fatal(r.Size(), r.Len())
	}
	add(14 * minute)
	if r.Size() != 2*MinRing {
		t.Fatal("a node was replaced after 14 minutes")
	}
	for range MinRing - 1 {
		add(14 * minute)
	}
	add(15 * minute)
	if r.Size() != 2*MinRing || r.Len() != 2*MinRing || compactAddr(r.node(0)) != node4(i-1) {
		t.Fatal("the oldest node was not replaced after 15 minutes")
	}
	for range 5000 {
		add(16 * minute)
	}
	if r.Size() != 1000 || r.Len() != 1000 {
		t.Fatal(r.Size(), r.Len())
	}
	r.consistent(t)
}

func TestASilentNodeIsPingedAndRemoved(t *testing.T) {
	r := ring(config(), false)
	for i := range 3 {
		r.Add(0, nodeID(i), node4(i))
	}
	if _, ok := r.Silent(14 * minute); ok {
		t.Fatal("asked too early")
	}
	now := 15 * minute
	for try := range maxTries {
		asked := map[netip.AddrPort]bool{}
		for {
			a, ok := r.Silent(now)
			if !ok {
				break
			}
			if asked[a] {
				t.Fatal("asked twice at once", a)
			}
			asked[a] = true
		}
		if want := 3 - min(try, 1); len(asked) != want {
			t.Fatal(try, asked)
		}
		r.Add(now, nodeID(1), node4(1)) // this one answers
		now += mono.Time(replyTimeout)
	}
	r.Silent(now)
	if r.Len() != 1 || compactAddr(r.node(0)) != node4(1) {
		t.Fatal("silent nodes were not removed:", r.Len())
	}
	r.consistent(t)
	r.meta[0].tries, r.meta[0].asked = maxTries, 0
	if _, ok := r.Silent(2 * now); ok || r.Len() != 0 {
		t.Fatal("the last one")
	}
	r.consistent(t)
}

// twin is a naive implementation of a ring.
type twin struct {
	nodes []netip.AddrPort
	since []int32
	size  int
	next  int
}

func (w *twin) add(s int32, a netip.AddrPort, turn int32, most int) {
	for _, n := range w.nodes {
		if n.Addr() == a.Addr() {
			return
		}
	}
	if len(w.nodes) == w.size && s-w.since[w.next] < turn {
		w.size = min(2*w.size, most)
	}
	if len(w.nodes) < w.size {
		w.nodes, w.since = append(w.nodes, a), append(w.since, s)
		return
	}
	w.nodes[w.next], w.since[w.next] = a, s
	w.next = (w.next + 1) % w.size
}

func TestRingAgainstNaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := config()
		cfg.MaxNodes = rapid.IntRange(MinRing, 3*MinRing).Draw(t, "max")
		r, w := ring(cfg, false), twin{size: MinRing}
		s := int32(0)
		for range rapid.IntRange(0, 5).Draw(t, "waves") {
			for range rapid.IntRange(0, 300).Draw(t, "nodes") {
				a := node4(rapid.IntRange(0, 1000).Draw(t, "node"))
				r.Add(mono.Time(s)*second, nodeID(1), a)
				w.add(s, a, 15*60, cfg.MaxNodes)
			}
			s += rapid.Int32Range(0, 1000).Draw(t, "pause")
		}
		r.consistent(t)
		if r.Len() != len(w.nodes) || r.Size() != w.size {
			t.Fatal(r.Len(), len(w.nodes), r.Size(), w.size)
		}
		for i, a := range w.nodes {
			if compactAddr(r.node(i)) != a {
				t.Fatal(i, a)
			}
		}
	})
}

func TestWindowsCoverTheRing(t *testing.T) {
	for _, n := range []int{0, 1, 3, 8, 9, 50, 512, 513, 2000} {
		r := ring(config(), false)
		r.size = 4096
		for i := range n {
			r.Add(0, nodeID(i), node4(i))
		}
		var p page
		seen := map[netip.AddrPort]int{}
		const rounds = 2000
		for i := range rounds {
			p.fill(r)
			k := K
			if i%3 == 0 {
				k = kSmall
			}
			w := p.window(k)
			if len(w) != min(k, n)*r.stride {
				t.Fatalf("%d nodes: a window of %d bytes", n, len(w))
			}
			in := map[netip.AddrPort]bool{}
			for ; len(w) > 0; w = w[r.stride:] {
				in[compactAddr(w[:r.stride])] = true
				seen[compactAddr(w[:r.stride])]++
			}
			if len(in) != min(k, n) {
				t.Fatalf("%d nodes: one twice in a window", n)
			}
		}
		if len(seen) != n {
			t.Errorf("%d of %d nodes were returned", len(seen), n)
		}
		for a, c := range seen {
			if want := rounds * 6 / n; n > K && (c < want/3 || c > want*3) {
				t.Errorf("%d nodes: %v returned %d times, want about %d", n, a, c, want)
				break
			}
		}
	}
}

func TestPageIsUpdatedAfterAChange(t *testing.T) {
	r := ring(config(), false)
	var p page
	p.fill(r)
	r.Add(0, nodeID(1), node4(1))
	p.fill(r)
	if w := p.window(K); len(w) != r.stride {
		t.Fatal(w)
	}
	r.remove(0)
	p.fill(r)
	if w := p.window(K); len(w) != 0 {
		t.Fatal(w)
	}
}

func TestCandidatesAgainstNaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 200
		v6 := rapid.Bool().Draw(t, "v6")
		c := newCandidates(v6, most)
		random := rand.New(rand.NewPCG(1, 2))
		type entry struct {
			due mono.Time
			a   netip.AddrPort
		}
		var twin []entry
		now := mono.Time(0)
		for i := range rapid.IntRange(0, 600).Draw(t, "steps") {
			now += mono.Time(rapid.IntRange(0, 3).Draw(t, "time"))
			if rapid.IntRange(0, 2).Draw(t, "what") > 0 {
				a := node4(i)
				if v6 {
					a = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x2a, 15: byte(i)}), uint16(i))
				}
				if c.add(now+10, a, random) {
					twin = append(twin, entry{now + 10, a})
				} else if len(twin) <= most/2 {
					t.Fatal("refused while half empty")
				}
				continue
			}
			if due := len(twin) > 0 && twin[0].due <= now; due != c.due(now) {
				t.Fatal("due", due)
			} else if due {
				if a := c.pop(); a != twin[0].a {
					t.Fatal(a, twin[0].a)
				}
				twin = twin[1:]
			}
		}
		if c.n != len(twin) || c.n > most {
			t.Fatal(c.n, len(twin))
		}
	})
}

func TestIsPublic(t *testing.T) {
	for a, want := range map[string]bool{
		"8.8.8.8": true, "100.63.1.1": true, "100.64.0.1": false, "10.1.1.1": false, "127.0.0.1": false,
		"169.254.1.1": false, "172.15.0.1": true, "172.16.0.1": false, "172.32.0.1": true, "192.168.1.1": false,
		"192.0.2.1": false, "192.0.3.1": true, "198.18.0.1": false, "198.20.0.1": true, "198.51.100.1": false,
		"203.0.113.9": false, "203.0.114.9": true, "224.0.0.1": false, "255.255.255.255": false, "0.1.2.3": false,
		"2a00::1": true, "2001:db8::1": false, "2001::1": false, "2001:470::1": true, "2002::1": false,
		"fe80::1": false, "fc00::1": false, "ff02::1": false, "::1": false, "::": false,
	} {
		if addrs.IsPublic(netip.MustParseAddr(a)) != want {
			t.Error(a, !want)
		}
	}
}

func TestCookieIsBoundToAddressAndTime(t *testing.T) {
	c := newCookies(rand.New(rand.NewPCG(1, 2)))
	other := newCookies(rand.New(rand.NewPCG(3, 4)))
	a, now := node4(1), 1000*second
	x := c.cookie(now, a)
	for _, v := range []struct {
		what string
		c    *cookies
		now  mono.Time
		a    netip.AddrPort
		t    []byte
		want bool
	}{
		{"at once", &c, now, a, x[:], true},
		{"after 8 seconds", &c, now + 8*second, a, x[:], true},
		{"after 16 seconds", &c, now + 16*second, a, x[:], false},
		{"before it was made", &c, now - 16*second, a, x[:], false},
		{"from another address", &c, now, node4(2), x[:], false},
		{"from another port", &c, now, netip.AddrPortFrom(a.Addr(), 1), x[:], false},
		{"of another server", &other, now, a, x[:], false},
		{"cut", &c, now, a, x[:7], false},
		{"none", &c, now, a, nil, false},
	} {
		if v.c.valid(v.now, v.a, v.t) != v.want {
			t.Error(v.what, !v.want)
		}
	}
}
