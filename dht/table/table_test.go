package table

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

const minute = mono.Time(time.Minute)

// rid returns an id that shares exactly prefix leading bits with own.
func rid(r *rand.Rand, own id.ID, prefix int) id.ID {
	var x id.ID
	for i := range x {
		x[i] = byte(r.Uint32())
	}
	t := New(Config{ID: own})
	return t.inBucket(prefix, x)
}

func addr4(n uint32) netip.AddrPort {
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], n)
	return netip.AddrPortFrom(netip.AddrFrom4(ip), 6881)
}

// spread returns the nth of many addresses that do not share a /24.
func spread(n int) netip.AddrPort { return addr4(0x08000001 + uint32(n)<<8) }

// check compares the counters with the buckets.
func check(t interface{ Fatalf(string, ...any) }, tab *Table) {
	live, ips, nets, addrs := 0, map[netip.Addr]int{}, map[netip.Prefix]int{}, 0
	for i := range tab.buckets {
		b := &tab.buckets[i]
		live += len(b.live)
		if len(b.live) > capacity(i) || len(b.spare) > spares {
			t.Fatalf("bucket %d holds %d and %d spares", i, len(b.live), len(b.spare))
		}
		for _, n := range slices.Concat(b.live, b.spare) {
			if tab.own.CommonPrefix(n.ID) != i {
				t.Fatalf("node %v is in the wrong bucket", n.ID)
			}
			if tab.byAddr[n.Addr] != n.ID {
				t.Fatalf("node %v is not under its address", n.ID)
			}
			addrs++
			ips[n.Addr.Addr()]++
			nets[Subnet(n.Addr.Addr())]++
		}
	}
	if live != tab.Len() || addrs != len(tab.byAddr) {
		t.Fatalf("%d nodes and %d addresses in the buckets, %d and %d in the counters", live, addrs, tab.Len(), len(tab.byAddr))
	}
	if len(tab.index.nodes) != live || len(tab.index.heads) != live || !slices.IsSorted(tab.index.heads) {
		t.Fatalf("%d nodes and %d heads in the index, %d live", len(tab.index.nodes), len(tab.index.heads), live)
	}
	for i := range tab.buckets {
		for _, n := range tab.buckets[i].live {
			at, known := tab.index.find(n.ID)
			if e := tab.index.nodes[at]; !known || e.until != n.goodUntil() || !slices.Equal(e.info[:e.size], AppendCompact(nil, n.ID, n.Addr)) {
				t.Fatalf("node %v is %+v in the index", n, e)
			}
		}
	}
	if tab.relaxed {
		return
	}
	for ip, n := range ips {
		if n > 1 {
			t.Fatalf("%d nodes of %v", n, ip)
		}
	}
	for net, n := range nets {
		if n > perSubnet || tab.perNet[net] != n {
			t.Fatalf("%d nodes of %v, %d in the counters", n, net, tab.perNet[net])
		}
	}
	if len(nets) != len(tab.perNet) || len(ips) != len(tab.perIP) {
		t.Fatalf("the counters include addresses without a node")
	}
}

func TestTableAgainstNaiveTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		relaxed := rapid.Bool().Draw(rt, "relaxed")
		own := rid(r, id.ID{}, 1)
		tab := New(Config{ID: own, Relaxed: relaxed})
		now := minute
		var known []Node
		for range rapid.IntRange(0, 400).Draw(rt, "steps") {
			now += mono.Time(r.Int64N(int64(2 * time.Minute)))
			switch k := r.IntN(10); {
			case k < 6 || len(known) == 0:
				n := Node{ID: rid(r, own, min(r.IntN(8), r.IntN(8))), Addr: addr4(0x08080000 + r.Uint32N(600))}
				if tab.Wants(n.Addr, n.ID) {
					if got := tab.Replied(now, n.Addr, n.ID, time.Millisecond); got != Inserted {
						rt.Fatalf("a wanted node got outcome %d", got)
					}
				} else {
					tab.Replied(now, n.Addr, n.ID, time.Millisecond)
				}
				known = append(known, n)
			case k < 8:
				tab.Failed(now, known[r.IntN(len(known))].Addr)
			case k < 9:
				n := known[r.IntN(len(known))]
				tab.Replied(now, n.Addr, n.ID, time.Millisecond)
			default:
				n := known[r.IntN(len(known))]
				tab.Asked(now, n.Addr, n.ID)
			}
			if r.IntN(200) == 0 {
				own = rid(r, own, 3)
				tab.Rebase(now, own)
			}
		}
		check(rt, tab)
		for range 10 {
			target := rid(r, own, r.IntN(20))
			want := slices.DeleteFunc(tab.Nodes(), func(n Node) bool { return !n.Good(now) })
			slices.SortFunc(want, func(a, b Node) int { return target.CmpDistance(a.ID, b.ID) })
			want = want[:min(K, len(want))]
			got := tab.Closest(nil, target, K, func(n *Node) bool { return n.Good(now) })
			if !slices.Equal(got, want) {
				rt.Fatalf("the closest of %v:\n got %v\nwant %v", target, got, want)
			}
			var compact []byte
			for _, n := range want {
				compact = AppendCompact(compact, n.ID, n.Addr)
			}
			if !slices.Equal(tab.AppendClosest(nil, now, target, K), compact) {
				rt.Fatalf("compact form differs")
			}
		}
	})
}

func TestClosestReturnsKNodesIfThereAreAsMany(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	tab := New(Config{ID: rid(r, id.ID{}, 0)})
	for i := range 20 {
		tab.Replied(minute, spread(i), rid(r, tab.ID(), i%3), 0)
	}
	for _, k := range []int{0, 1, 8, 16, 20, 30} {
		if got := len(tab.Closest(nil, tab.ID(), k, nil)); got != min(k, 20) {
			t.Errorf("asked for %d of 20 nodes, got %d", k, got)
		}
	}
}

// BEP 5: "A good node is a node has responded to one of our queries within the
// last 15 minutes. A node is also good if it has ever responded to one of our
// queries and has sent us a query within the last 15 minutes."
func TestBEP5GoodNodes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	tab := New(Config{ID: rid(r, id.ID{}, 0)})
	n := rid(r, tab.ID(), 2)
	tab.Asked(minute, spread(1), n)
	if tab.Len() != 0 {
		t.Fatal("a query alone added a node")
	}
	tab.Replied(minute, spread(1), n, 0)
	if tab.Good(15*minute) != 1 || tab.Good(16*minute) != 0 {
		t.Fatal("a reply must keep a node good for 15 minutes")
	}
	tab.Asked(10*minute, spread(1), n)
	if tab.Good(24*minute) != 1 || tab.Good(25*minute) != 0 {
		t.Fatal("a query of a node that answered must keep it good for 15 minutes")
	}
}

// BEP 5: "Nodes become bad when they fail to respond to multiple queries in a row."
func TestBEP5BadNodesAreRemoved(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	tab := New(Config{ID: rid(r, id.ID{}, 0)})
	n := rid(r, tab.ID(), 2)
	tab.Replied(minute, spread(1), n, 0)
	for i := range maxFailures {
		if tab.Len() != 1 {
			t.Fatalf("gone after %d failures", i)
		}
		tab.Failed(2*minute, spread(1))
	}
	if tab.Len() != 0 {
		t.Fatal("still there after three failures in a row")
	}
	check(t, tab)
}

// BEP 5: "Once a bucket is full of good nodes, no more nodes are added": the
// next ones wait as spares, and one of them is added when a node fails.
func TestFullBucketKeepsSpares(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	tab := New(Config{ID: rid(r, id.ID{}, 0)})
	for i := range K {
		if got := tab.Replied(minute, spread(i), rid(r, tab.ID(), 10), 0); got != Inserted {
			t.Fatalf("node %d: %d", i, got)
		}
	}
	late := rid(r, tab.ID(), 10)
	if got := tab.Replied(minute, spread(100), late, 0); got != Spared {
		t.Fatalf("the ninth node of a bucket: %d", got)
	}
	tab.Failed(minute, spread(0))
	tab.Failed(minute, spread(0))
	if got := tab.Closest(nil, late, 1, nil); len(got) != 1 || got[0].ID != late {
		t.Fatal("the spare did not replace the failed node")
	}
	check(t, tab)
}

// BEP 42: "When a DHT node ... fills its routing table, prefer nodes whose id is valid".
func TestBEP42ValidIDsArePreferred(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	addr := spread(77)
	secure := SecureID(rid(r, id.ID{}, 0), addr.Addr())
	own := rid(r, secure, 12)
	tab := New(Config{ID: own})
	for i := range K {
		tab.Replied(minute, spread(i), rid(r, own, 12), 0)
	}
	if !tab.Wants(addr, secure) {
		t.Fatal("a valid id is not wanted in a bucket of invalid ones")
	}
	if got := tab.Replied(minute, addr, secure, 0); got != Inserted {
		t.Fatalf("a valid id against invalid ones: %d", got)
	}
	check(t, tab)
}

// The table of examples in BEP 42.
func TestBEP42Examples(t *testing.T) {
	for _, c := range []struct {
		ip   string
		rand byte
		head string
	}{
		{"124.31.75.21", 1, "5fbfbf"},
		{"21.75.31.124", 86, "5a3ce9"},
		{"65.23.51.170", 22, "a5d432"},
		{"84.124.73.14", 65, "1b0321"},
		{"43.213.53.83", 90, "e56f6c"},
	} {
		var seed id.ID
		seed[19] = c.rand
		ip := netip.MustParseAddr(c.ip)
		got := SecureID(seed, ip)
		if head := got.String()[:5]; head != c.head[:5] {
			t.Errorf("%s: %s, want %s", c.ip, head, c.head[:5])
		}
		if !Secure(got, ip) || Secure(got, netip.MustParseAddr("9.9.9.9")) {
			t.Errorf("%s: the id must fit this address and no other", c.ip)
		}
	}
}

func TestANodeThatChangesItsIDIsDropped(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	tab := New(Config{ID: rid(r, id.ID{}, 0)})
	tab.Replied(minute, spread(1), rid(r, tab.ID(), 1), 0)
	if got := tab.Replied(minute, spread(1), rid(r, tab.ID(), 2), 0); got != Dropped || tab.Len() != 0 {
		t.Fatalf("outcome %d, %d nodes", got, tab.Len())
	}
	check(t, tab)
}

func TestAnIDIsNotTakenFromANodeThatAnswers(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	tab := New(Config{ID: rid(r, id.ID{}, 0)})
	n := rid(r, tab.ID(), 1)
	tab.Replied(minute, spread(1), n, 0)
	if got := tab.Replied(minute, spread(2), n, 0); got != Refused {
		t.Fatalf("an impostor: outcome %d", got)
	}
	tab.Failed(minute, spread(1))
	if got := tab.Replied(minute, spread(2), n, 0); got != Inserted {
		t.Fatalf("the same node at a new address: outcome %d", got)
	}
	check(t, tab)
}

func TestOneNodePerAddressUnlessRelaxed(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for _, relaxed := range []bool{false, true} {
		tab := New(Config{ID: rid(r, id.ID{}, 0), Relaxed: relaxed})
		for port := range uint16(20) {
			a := netip.AddrPortFrom(netip.MustParseAddr("8.8.8.8"), 5000+port)
			tab.Replied(minute, a, rid(r, tab.ID(), 0), 0)
			a6 := netip.AddrPortFrom(netip.MustParseAddr("2a01:db8::").Next(), 5000+port)
			tab.Replied(minute, a6, rid(r, tab.ID(), 0), 0)
		}
		for i := range uint32(20) {
			tab.Replied(minute, addr4(0x09090900+i), rid(r, tab.ID(), 0), 0)
		}
		want := 1 + 1 + perSubnet
		if relaxed {
			want = 60
		}
		if tab.Len() != want {
			t.Errorf("relaxed %v: %d nodes, want %d", relaxed, tab.Len(), want)
		}
	}
}

func TestIsUsable(t *testing.T) {
	for a, want := range map[string][2]bool{ // strict, relaxed
		"8.8.8.8:1":           {true, true},
		"8.8.8.8:0":           {false, false},
		"0.1.2.3:1":           {false, false},
		"127.0.0.1:1":         {false, true},
		"10.0.0.1:1":          {false, true},
		"224.0.0.1:1":         {false, false},
		"255.255.255.255:1":   {false, false},
		"[2a00::1]:1":         {true, true},
		"[2001:db8::1]:1":     {false, true},
		"[::1]:1":             {false, true},
		"[::]:1":              {false, false},
		"[fd00::1]:1":         {false, true},
		"[::ffff:8.8.8.8]:12": {false, false},
		"[ff02::1]:1":         {false, false},
	} {
		ap := netip.MustParseAddrPort(a)
		if got := [2]bool{addrs.IsUsable(ap, false), addrs.IsUsable(ap, true)}; got != want {
			t.Errorf("%s: strict and relaxed %v, want %v", a, got, want)
		}
	}
}

// BEP 5: "Buckets that have not been changed in 15 minutes should be
// 'refreshed'. This is done by picking a random ID in the range of the bucket".
func TestBEP5StalestBucketIsRefreshedFirst(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	tab := New(Config{ID: rid(r, id.ID{}, 0)})
	if _, ok := tab.Refresh(60*minute, id.ID{}); ok {
		t.Fatal("an empty table has nothing to refresh")
	}
	for b, at := range []mono.Time{9, 3, 6} {
		tab.Replied(at*minute, spread(b), rid(r, tab.ID(), b), 0)
	}
	var order []int
	for range 10 {
		x, ok := tab.Refresh(30*minute, rid(r, tab.ID(), 50))
		if !ok {
			break
		}
		order = append(order, tab.ID().CommonPrefix(x))
	}
	if !slices.Equal(order, []int{3, 1, 2, 0}) {
		t.Fatalf("buckets were refreshed in the order %v", order)
	}
}

func TestQuestionableNodesStalestFirst(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 20))
	tab := New(Config{ID: rid(r, id.ID{}, 0)})
	for i, at := range []mono.Time{5, 2, 4, 40} {
		tab.Replied(at*minute, spread(i), rid(r, tab.ID(), 1), 0)
	}
	var got []netip.AddrPort
	for {
		n, ok := tab.Questionable(41 * minute)
		if !ok {
			break
		}
		tab.Pinged(41*minute, n.Addr)
		got = append(got, n.Addr)
	}
	if want := []netip.AddrPort{spread(1), spread(2), spread(0)}; !slices.Equal(got, want) {
		t.Fatalf("pinged %v, want %v", got, want)
	}
}

func full(b *testing.B) (*Table, []id.ID) {
	r := rand.New(rand.NewPCG(21, 22))
	tab := New(Config{ID: rid(r, id.ID{}, 0)})
	for i := range 4000 {
		tab.Replied(minute, spread(i), rid(r, tab.ID(), min(i%16, r.IntN(16))), 0)
	}
	targets := make([]id.ID, 256)
	for i := range targets {
		for j := range targets[i] {
			targets[i][j] = byte(r.Uint32())
		}
	}
	b.ReportMetric(float64(tab.Len()), "nodes")
	return tab, targets
}

func BenchmarkAppendClosest(b *testing.B) {
	tab, targets := full(b)
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		dst = tab.AppendClosest(dst[:0], minute, targets[i%256], K)
	}
}

func BenchmarkReplied(b *testing.B) {
	tab, _ := full(b)
	ns := tab.Nodes()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		n := &ns[i%len(ns)]
		tab.Replied(minute, n.Addr, n.ID, time.Millisecond)
	}
}
