package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

const minute = mono.Time(time.Minute)

func rnd() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func hash(n int) (h id.ID) {
	binary.BigEndian.PutUint64(h[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(h[8:], uint64(n))
	return h
}

// peer4 and peer6 are the nth peer of a family.
func peer4(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(1 + n>>24), byte(n >> 16), byte(n >> 8), byte(n)}), uint16(1+n%65535))
}

func peer6(n int) netip.AddrPort {
	a := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint32(a[4:], uint32(n))
	return netip.AddrPortFrom(netip.AddrFrom16(a), uint16(1+n%65535))
}

// decode parses a sample.
func decode(b []byte, v6 bool) (ps []netip.AddrPort) {
	n := 4
	if v6 {
		n = 16
	}
	for ; len(b) > 0; b = b[n+2:] {
		a, _ := netip.AddrFromSlice(b[:n])
		ps = append(ps, netip.AddrPortFrom(a, binary.BigEndian.Uint16(b[n:])))
	}
	slices.SortFunc(ps, netip.AddrPort.Compare)
	return ps
}

func (s *Store) all(now mono.Time, h id.ID, v6 bool) []netip.AddrPort {
	return decode(s.Sample(nil, now, h, v6, 1<<20, false), v6)
}

func TestPeersAreReturnedInTheFamilyOfTheirAddress(t *testing.T) {
	s := New(Config{}, 0, rnd())
	a, b := netip.MustParseAddrPort("192.0.2.1:6881"), netip.MustParseAddrPort("[2001:db8::1]:51413")
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.2]:1")
	for _, p := range []netip.AddrPort{a, b, mapped} {
		if !s.Announce(0, hash(1), p, false) {
			t.Error("refused", p)
		}
	}
	if got := s.all(0, hash(1), false); !slices.Equal(got, []netip.AddrPort{a, netip.MustParseAddrPort("192.0.2.2:1")}) {
		t.Error(got)
	}
	if got := s.all(0, hash(1), true); !slices.Equal(got, []netip.AddrPort{b}) {
		t.Error(got)
	}
	if got := s.all(0, hash(2), false); got != nil {
		t.Error(got)
	}
}

func TestPeersExpireAfter45Minutes(t *testing.T) {
	s := New(Config{}, 0, rnd())
	s.Announce(0, hash(1), peer4(1), false)
	s.Announce(20*minute, hash(1), peer4(2), false)
	s.Announce(30*minute, hash(1), peer4(1), false) // again
	s.Announce(30*minute, hash(2), peer6(1), false)
	for _, c := range []struct {
		now  mono.Time
		want int
	}{{45*minute + 1, 2}, {65*minute - 1, 2}, {65 * minute, 1}, {75*minute - 1, 1}, {75 * minute, 0}} {
		if got := s.all(c.now, hash(1), false); len(got) != c.want {
			t.Errorf("at %v: %v", time.Duration(c.now), got)
		}
	}
	if h, p := s.Len(); h != 2 || p != 2 {
		t.Error("swept early or late:", h, p)
	}
	s.all(80*minute, hash(1), false)
	if h, p := s.Len(); h != 0 || p != 0 {
		t.Error("not swept:", h, p)
	}
}

func TestExpiredPeersDoNotComeBackHoursLater(t *testing.T) {
	s := New(Config{}, 0, rnd())
	s.Announce(0, hash(1), peer4(1), false)
	for _, h := range []mono.Time{9, 10, 18, 19, 100} {
		probe := *s
		if got := probe.all(h*60*minute+7*mono.Time(time.Minute), hash(1), false); got != nil {
			t.Errorf("after %d hours: %v", h, got)
		}
		if probe.Full(h*60*minute, hash(1), peer4(2).Addr()) {
			t.Errorf("full after %d hours", h)
		}
	}
}

func TestBEP33InfohashAndIPAreUnique(t *testing.T) {
	a, b := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.1:2")
	s := New(Config{}, 0, rnd())
	s.Announce(0, hash(1), a, false)
	s.Announce(0, hash(1), b, true)
	if got := s.all(0, hash(1), false); !slices.Equal(got, []netip.AddrPort{b}) {
		t.Error(got)
	}
	s = New(Config{ManyPerIP: true}, 0, rnd())
	s.Announce(0, hash(1), a, false)
	s.Announce(0, hash(1), b, true)
	s.Announce(0, hash(1), b, true)
	if got := s.all(0, hash(1), false); !slices.Equal(got, []netip.AddrPort{a, b}) {
		t.Error(got)
	}
}

func TestBEP33NoseedFillsTheListWithOthersFirst(t *testing.T) {
	s := New(Config{}, 0, rnd())
	for i := range 20 {
		s.Announce(0, hash(1), peer4(i), i%4 == 0) // 5 seeds
	}
	isSeed := func(p netip.AddrPort) bool { return p.Addr().As4()[3]%4 == 0 }
	for n := range 25 {
		got := decode(s.Sample(nil, 0, hash(1), false, n, true), false)
		seeds := 0
		for _, p := range got {
			if isSeed(p) {
				seeds++
			}
		}
		if len(got) != min(n, 20) || seeds != max(0, min(n, 20)-15) {
			t.Errorf("%d of %d are seeds, asked for %d", seeds, len(got), n)
		}
	}
	// BEP 33: port numbers, seed status and other values may be updated.
	s.Announce(0, hash(1), peer4(0), false)
	if got := decode(s.Sample(nil, 0, hash(1), false, 16, true), false); !slices.Contains(got, peer4(0)) {
		t.Error("a peer that is no longer a seed still counts as one")
	}
}

func TestFullUntilPeersExpire(t *testing.T) {
	s := New(Config{Peers: 3}, 0, rnd())
	for i := range 3 {
		if s.Full(0, hash(1), peer4(i).Addr()) || !s.Announce(mono.Time(i)*minute, hash(1), peer4(i), false) {
			t.Error("refused", i)
		}
	}
	if !s.Full(2*minute, hash(1), peer4(9).Addr()) || s.Announce(2*minute, hash(1), peer4(9), false) {
		t.Error("a fourth of three")
	}
	if s.Full(2*minute, hash(1), peer6(9).Addr()) || s.Full(2*minute, hash(2), peer4(9).Addr()) {
		t.Error("another table is full as well")
	}
	if s.Full(2*minute, hash(1), peer4(2).Addr()) || !s.Announce(2*minute, hash(1), peer4(2), true) {
		t.Error("a peer that is kept cannot announce again")
	}
	if s.Full(45*minute, hash(1), peer4(9).Addr()) || !s.Announce(45*minute, hash(1), peer4(9), false) {
		t.Error("no room after one has expired")
	}
	if _, n := s.Len(); n != 3 {
		t.Error(n)
	}
}

func TestAMillionAnnouncesStayWithinTheLimits(t *testing.T) {
	n := 500_000 // twice
	if testing.Short() {
		n = 50_000
	}
	s := New(Config{Infohashes: 100, Peers: 50}, 0, rnd())
	r := rnd()
	now := func(i int) mono.Time { return mono.Time(i) * mono.Time(time.Millisecond) }
	for i := range n {
		s.Announce(now(i), hash(r.IntN(1000)), peer4(r.IntN(1<<20)), false)
		s.Announce(now(i), hash(7), peer4(i), false)
		if h, p := s.Len(); h > 100 || p > 100*50 {
			t.Fatal(h, p)
		}
	}
	if h, _ := s.Len(); h != 100 {
		t.Error(h)
	}
	if got := s.all(now(n), hash(7), false); len(got) != 50 {
		t.Error(len(got))
	}
	size := 0
	for _, sh := range s.v4.lru.Values() {
		size += cap(sh.b)
	}
	if most := 100 * (headLen + 51*s.v4.rec) * 5 / 4; size > most {
		t.Errorf("%d bytes of lists, at most %d expected", size, most)
	}
}

// apart returns n infohashes, each in its own shard.
func apart(s *Store, n int) (hs []id.ID) {
	taken := map[uint32]bool{}
	for i := 0; len(hs) < n; i++ {
		h := hash(i)
		if key := s.v4.key(&h); !taken[key] {
			taken[key] = true
			hs = append(hs, h)
		}
	}
	return hs
}

func TestTheLeastRecentlyUsedInfohashIsEvicted(t *testing.T) {
	s := New(Config{Infohashes: 3 * perShard}, 0, rnd())
	hs := apart(s, 3)
	for i, h := range hs {
		s.Announce(0, h, peer4(i), false)
	}
	s.all(0, hs[0], false) // a query for it
	s.all(6*minute, hash(9999), false)
	s.v4.evict()
	if len(s.all(6*minute, hs[0], false)) != 1 || len(s.all(6*minute, hs[1], false)) != 0 || len(s.all(6*minute, hs[2], false)) != 1 {
		t.Error("another one was evicted")
	}
}

func TestFullWhenThereAreTooManyInfohashes(t *testing.T) {
	s := New(Config{Infohashes: 30}, 0, rnd())
	for i := range 30 {
		if s.Full(0, hash(i), peer4(i).Addr()) {
			t.Fatal("full with", i)
		}
		s.Announce(0, hash(i), peer4(i), false)
	}
	if !s.Full(0, hash(30), peer4(30).Addr()) || s.Full(0, hash(30), peer6(30).Addr()) || s.Full(0, hash(29), peer4(30).Addr()) {
		t.Error("Full is wrong for a new infohash or for a known one")
	}
	// A source with an older token replaces another entry.
	if !s.Announce(0, hash(30), peer4(30), false) || len(s.all(0, hash(30), false)) != 1 {
		t.Error("refused")
	}
	if n, peers := s.Len(); n != 30 || peers != 30 {
		t.Error(n, peers)
	}
	if s.Full(50*minute, hash(31), peer4(31).Addr()) {
		t.Error("full although all peers have expired")
	}
}

func TestSamplesAreFair(t *testing.T) {
	s := New(Config{}, 0, rnd())
	const peers, n, rounds = 40, 8, 20_000
	for i := range peers {
		s.Announce(0, hash(1), peer4(i), i < 20)
	}
	for _, noSeed := range []bool{false, true} {
		seen := map[netip.AddrPort]int{}
		for range rounds {
			got := decode(s.Sample(nil, 0, hash(1), false, n, noSeed), false)
			if len(slices.Compact(got)) != n {
				t.Fatal(got)
			}
			for _, p := range got {
				seen[p]++
			}
		}
		of := peers
		if noSeed {
			of = 20
		}
		want := rounds * n / of
		for p, k := range seen {
			if k < want*9/10 || k > want*11/10 {
				t.Errorf("%v: %d times, want about %d", p, k, want)
			}
		}
		if len(seen) != of {
			t.Error(len(seen))
		}
	}
}

// twin is a naive implementation of the store.
type twin struct {
	cfg   Config
	key   func(*id.ID) uint32 // of a shard
	order []uint32            // shards, least recently used first
	lists []id.ID             // infohashes, least recently announced first
	peers map[id.ID][]twinPeer
}

type twinPeer struct {
	addr netip.AddrPort
	at   mono.Time
}

func (w *twin) touch(h id.ID) {
	key := w.key(&h)
	w.order = append(slices.DeleteFunc(w.order, func(o uint32) bool { return o == key }), key)
}

func (w *twin) evict() {
	for _, key := range w.order {
		for i, h := range w.lists {
			if w.key(&h) == key {
				delete(w.peers, h)
				w.lists = slices.Delete(w.lists, i, i+1)
				return
			}
		}
	}
}

func (w *twin) expire(now mono.Time) {
	for h, ps := range w.peers {
		w.peers[h] = slices.DeleteFunc(ps, func(p twinPeer) bool { return now.Sub(p.at) >= Lifetime })
	}
}

func (w *twin) announce(now mono.Time, h id.ID, a netip.AddrPort) bool {
	w.expire(now)
	if _, ok := w.peers[h]; !ok && len(w.peers) == w.cfg.Infohashes {
		w.evict()
	}
	w.touch(h)
	w.lists = append(slices.DeleteFunc(w.lists, func(o id.ID) bool { return o == h }), h)
	ps := slices.DeleteFunc(w.peers[h], func(p twinPeer) bool {
		return p.addr == a || !w.cfg.ManyPerIP && p.addr.Addr() == a.Addr()
	})
	defer func() { w.peers[h] = ps }()
	if len(ps) == w.cfg.Peers {
		return false
	}
	ps = append(ps, twinPeer{a, now})
	return true
}

// TestAgainstNaiveTwin either keeps all infohashes or stops the clock. The twin has no
// sweeps, so their timing must not affect what is evicted.
func TestAgainstNaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := Config{Infohashes: rapid.IntRange(1, 30).Draw(t, "infohashes"), Peers: rapid.IntRange(1, 6).Draw(t, "peers"), ManyPerIP: rapid.Bool().Draw(t, "many")}
		evicting := rapid.Bool().Draw(t, "evicting")
		step := 20 * minute
		if evicting {
			step = 0
		} else {
			cfg.Infohashes = 40
		}
		v6 := rapid.Bool().Draw(t, "v6")
		s, w := New(cfg, 0, rnd()), &twin{cfg: cfg, peers: map[id.ID][]twinPeer{}}
		w.key = s.v4.key
		if v6 {
			w.key = s.v6.key
		}
		now := mono.Time(0)
		for range rapid.IntRange(0, 120).Draw(t, "steps") {
			now = (now + mono.Time(rapid.Int64Range(0, int64(step)).Draw(t, "wait"))) / mono.Time(time.Second) * mono.Time(time.Second)
			h := hash(rapid.IntRange(0, 39).Draw(t, "hash"))
			n := rapid.IntRange(0, 9).Draw(t, "peer")
			a := peer4(n)
			if v6 {
				a = peer6(n)
			}
			a = netip.AddrPortFrom(a.Addr(), uint16(rapid.IntRange(1, 2).Draw(t, "port")))
			if rapid.Bool().Draw(t, "announce") {
				if got, want := s.Announce(now, h, a, rapid.Bool().Draw(t, "seed")), w.announce(now, h, a); got != want {
					t.Fatalf("announce %v, want %v", got, want)
				}
				continue
			}
			w.expire(now)
			var want []netip.AddrPort
			for _, p := range w.peers[h] {
				want = append(want, p.addr)
			}
			slices.SortFunc(want, netip.AddrPort.Compare)
			if _, ok := w.peers[h]; ok {
				w.touch(h)
			}
			if got := s.all(now, h, v6); !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
			k := rapid.IntRange(0, 7).Draw(t, "n")
			some := decode(s.Sample(nil, now, h, v6, k, rapid.Bool().Draw(t, "noseed")), v6)
			if len(some) != min(k, len(want)) || len(slices.Compact(some)) != len(some) {
				t.Fatalf("%v of %v", some, want)
			}
			for _, p := range some {
				if !slices.Contains(want, p) {
					t.Fatalf("%v of %v", some, want)
				}
			}
		}
	})
}

func TestNoAllocations(t *testing.T) {
	s, tok := New(Config{}, 0, rnd()), NewTokens(0, rnd())
	for i := range 600 {
		s.Announce(0, hash(1), peer4(i), false)
	}
	buf := make([]byte, 0, 1024)
	n := 0
	if a := testing.AllocsPerRun(200, func() {
		n++
		buf = s.Sample(buf[:0], 1, hash(1), false, 70, true)
		s.Announce(1, hash(1), peer4(n%500), false)
		s.Full(1, hash(1), peer4(n).Addr())
		buf = tok.Append(buf[:0], 1, peer4(n).Addr(), hash(1))
		if !tok.Valid(1, buf, peer4(n).Addr(), hash(1)) {
			t.Error("invalid")
		}
	}); a != 0 {
		t.Error(a, "allocations")
	}
}

func TestInfohashesOfOneShardDoNotMix(t *testing.T) {
	s := New(Config{}, 0, rnd())
	s.v4.factor = [3]uint64{} // every infohash that starts with 8 zeros has key 0
	var hs [10]id.ID
	for i := range hs {
		hs[i][19] = byte(i)
		for range i {
			s.Announce(0, hs[i], peer4(i), i%2 == 0)
		}
		s.Announce(0, hs[i], peer4(100+i), false)
	}
	for i, h := range hs {
		want := []netip.AddrPort{peer4(i), peer4(100 + i)}[min(1, max(0, 1-i)):]
		if got := s.all(0, h, false); !slices.Equal(got, want) {
			t.Errorf("%d: %v, want %v", i, got, want)
		}
	}
	if s.all(0, id.ID{19: 99}, false) != nil || s.Full(0, id.ID{19: 99}, peer4(2).Addr()) {
		t.Error("the peers of another infohash")
	}
	if h, p := s.Len(); h != len(hs) || p != 2*len(hs)-1 {
		t.Error(h, p)
	}
}

// TestMemory checks the memory for a stored peer. At 10 peers an infohash it is at most 20
// bytes over IPv4 and 35 over IPv6, where the record alone takes 20. At one peer an
// infohash it is at most 125 bytes.
func TestMemory(t *testing.T) {
	for _, c := range []struct {
		v6          bool
		peers, most int
	}{{false, 1, 125}, {false, 10, 20}, {true, 1, 125}, {true, 10, 35}} {
		got := bytesPerPeer(2000, c.peers, c.v6)
		t.Logf("IPv6 %v: %.1f bytes a peer at %d peers an infohash", c.v6, got, c.peers)
		if got > float64(c.most) {
			t.Errorf("IPv6 %v: %.1f bytes a peer at %d peers an infohash", c.v6, got, c.peers)
		}
	}
}

func bytesPerPeer(infohashes, peers int, v6 bool) float64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := New(Config{Infohashes: infohashes}, 0, rnd())
	for p := range peers {
		for i := range infohashes {
			a := peer4(p*infohashes + i)
			if v6 {
				a = peer6(p*infohashes + i)
			}
			s.Announce(0, hash(i), a, false)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if h, n := s.Len(); h != infohashes || n != infohashes*peers {
		panic(fmt.Sprint(h, n))
	}
	return float64(after.HeapAlloc-before.HeapAlloc) / float64(infohashes*peers)
}

func BenchmarkMemory(b *testing.B) {
	for _, v6 := range []bool{false, true} {
		for _, infohashes := range []int{1000, 2000, 10_000} {
			for _, peers := range []int{1, 10, 100} {
				b.Run(fmt.Sprintf("v6=%v/infohashes=%d/peers=%d", v6, infohashes, peers), func(b *testing.B) {
					var n float64
					for b.Loop() {
						n = bytesPerPeer(infohashes, peers, v6)
					}
					b.ReportMetric(n, "bytes/peer")
				})
			}
		}
	}
}

func BenchmarkSample(b *testing.B) {
	for _, peers := range []int{1, 70, 500} {
		b.Run(fmt.Sprint(peers), func(b *testing.B) {
			s := New(Config{}, 0, rand.New(rand.NewChaCha8([32]byte{})))
			for i := range peers {
				s.Announce(0, hash(1), peer4(i), i%2 == 0)
			}
			buf := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				buf = s.Sample(buf[:0], 0, hash(1), false, 70, false)
			}
		})
	}
}

func BenchmarkAnnounce(b *testing.B) {
	s := New(Config{}, 0, rnd())
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		s.Announce(mono.Time(i)*mono.Time(time.Microsecond), hash(i%1000), peer4(i%100_000), false)
	}
}
