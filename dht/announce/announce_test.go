package announce

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// At twice the load that the rate allows, every infohash waits twice as long, and none
// waits longer than the others.
func TestOverloadStretchesEvenly(t *testing.T) {
	n := newNetwork(2, 1000, 0.25)
	n.loss = 0.01
	w := newWorld(n, Config{Rate: 38})
	keys := w.addMany(5000)
	w.run(5 * time.Hour)
	shortest, longest := time.Duration(1<<62), time.Duration(0)
	for _, k := range keys {
		h := w.received[k]
		shortest, longest = min(shortest, h.shortest), max(longest, h.longest, w.now.Sub(h.last))
	}
	low, high, mean := flat(w.perMinute[1 : len(w.perMinute)-1])
	st := w.Stats(w.now)
	t.Logf("intervals of %v to %v; %.1f packets/s, minutes %.2f to %.2f of it; %+v", shortest, longest, mean, low, high, st)
	if !st.Overloaded || st.Interval < 35*time.Minute || st.Interval > 45*time.Minute || st.Late < 2000 {
		t.Errorf("overloaded %v, interval %v, late %d", st.Overloaded, st.Interval, st.Late)
	}
	if shortest < 35*time.Minute || float64(longest) > 1.15*float64(shortest) {
		t.Errorf("uneven: %v to %v", shortest, longest)
	}
	if mean > 38.1 || low < 0.95 || high > 1.05 {
		t.Errorf("the rate is %.1f, %.2f to %.2f", mean, low, high)
	}
}

// The infohashes are added one at a time, on top of a walk that uses most of the
// rate.
func TestNewInfohashesDoNotWaitForTheWalk(t *testing.T) {
	n := newNetwork(3, 1000, 0.25)
	w := newWorld(n, Config{Rate: 65})
	w.addMany(2000)
	w.run(30 * time.Minute)
	slowest := time.Duration(0)
	for range 50 {
		added, k := w.now, w.addMany(1)[0]
		w.run(20 * time.Second)
		if h := w.received[k]; h == nil {
			t.Fatal("not announced after 20 s")
		} else {
			slowest = max(slowest, h.last.Sub(added))
		}
	}
	low, high, mean := flat(w.perMinute[30 : len(w.perMinute)-1])
	t.Logf("slowest %v; %.0f packets/s, minutes %.2f to %.2f of it", slowest, mean, low, high)
	if slowest > 15*time.Second || high > 1.2 {
		t.Errorf("slowest %v, peak %.2f", slowest, high)
	}
	// Many are added at once on top: the old ones stay on time.
	old := w.announcedSince(0)
	added := w.now
	more := w.addMany(1000)
	w.run(time.Hour)
	for _, k := range more {
		if h := w.received[k]; h == nil || h.longest > 20*time.Minute {
			t.Fatalf("%v: %+v", k, h)
		}
	}
	for _, k := range old {
		if h := w.received[k]; h.longest > 20*time.Minute {
			t.Fatalf("new infohashes made an old one wait for %v, %v after", h.longest, w.now.Sub(added))
		}
	}
	for m, sent := range w.perMinute {
		if sent > 65*60+5 {
			t.Errorf("%d packets in minute %d", sent, m)
		}
	}
}

// announcedSince returns the infohashes that were announced since then.
func (w *world) announcedSince(at mono.Time) (keys []id.ID) {
	for k, h := range w.received {
		if h.last >= at {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, id.ID.Cmp)
	return keys
}

// A first announce of one torrent takes a second or two.
func TestASingleInfohash(t *testing.T) {
	w := newWorld(newNetwork(4, 500, 0.25), Config{})
	k := w.addMany(1)[0]
	w.run(10 * time.Second)
	h := w.received[k]
	if h == nil || len(h.at) != 8 || h.last > mono.Time(6*time.Second) {
		t.Fatalf("%+v", h)
	}
	w.run(2 * time.Hour)
	if h.visits != 9 || h.shortest < 14*time.Minute || h.longest > 16*time.Minute {
		t.Errorf("%+v", h)
	}
	sent := w.Stats(w.now).Sent
	w.Remove(k)
	w.run(time.Hour)
	if st := w.Stats(w.now); st.Sent != sent || st.Infohashes != 0 || w.Deadline() != mono.Never {
		t.Errorf("a removed infohash is still announced: %+v", st)
	}
}

func TestRemovedInfohashesAreNotAnnounced(t *testing.T) {
	n := newNetwork(5, 500, 0.25)
	w := newWorld(n, Config{Rate: 100})
	gone := map[id.ID]bool{}
	w.sent = func(q Query) {
		if gone[q.Infohash] {
			t.Fatalf("a packet for %v", q.Infohash)
		}
	}
	var keys []id.ID
	for range 300 {
		keys = append(keys, w.addMany(3)...)
		for range 2 {
			i := w.r.IntN(len(keys))
			gone[keys[i]] = true
			w.Remove(keys[i])
			w.Remove(keys[i])
			keys = slices.Delete(keys, i, i+1)
		}
		w.run(700 * time.Millisecond)
	}
	w.run(20 * time.Minute)
	for _, k := range keys {
		if h := w.received[k]; h == nil || w.now.Sub(h.last) > 16*time.Minute {
			t.Fatalf("%v: %+v", k, h)
		}
	}
	if st := w.Stats(w.now); st.Infohashes != 300 || st.Unannounced != 0 || st.Late != 0 {
		t.Errorf("%+v", st)
	}
}

func TestAnotherPortIsAnnouncedAtOnce(t *testing.T) {
	w := newWorld(newNetwork(6, 300, 0), Config{})
	k := w.addMany(1)[0]
	w.run(time.Minute)
	ports := map[uint16]int{}
	w.sent = func(q Query) {
		if q.Kind == AnnouncePeer {
			ports[q.Port]++
		}
	}
	w.Add(w.now, k, Announcement{Port: 6881})
	w.run(10 * time.Second)
	if len(ports) != 0 {
		t.Errorf("added again with the same port, it was announced anew: %v", ports)
	}
	w.Add(w.now, k, Announcement{Port: 7000})
	w.run(10 * time.Second)
	if ports[7000] != 8 || len(ports) != 1 || w.Stats(w.now).Infohashes != 1 {
		t.Errorf("%v", ports)
	}
}

// Renew announces all infohashes again, soon and without exceeding the rate.
func TestRenewAnnouncesEverythingAgain(t *testing.T) {
	w := newWorld(newNetwork(8, 500, 0.25), Config{Rate: 100})
	keys := w.addMany(100)
	w.run(10 * time.Minute)
	since := w.now
	w.run(time.Minute)
	if n := len(w.announcedSince(since)); n > 20 {
		t.Fatalf("the test shows nothing: %d are announced in a minute anyway", n)
	}
	since = w.now
	sent := w.Stats(w.now).Sent
	w.Renew()
	w.run(time.Minute)
	if n := len(w.announcedSince(since)); n < len(keys)*9/10 {
		t.Errorf("%d of %d announced again in a minute", n, len(keys))
	}
	if n := w.Stats(w.now).Sent - sent; n > 60*100 {
		t.Errorf("%d packets in a minute", n)
	}
}

// In ten minutes offline, almost no packets are sent and no known node is lost. Soon
// afterwards everything is announced again.
func TestOfflineAndOnlineAgain(t *testing.T) {
	n := newNetwork(7, 1000, 0.25)
	w := newWorld(n, Config{Rate: 100})
	keys := w.addMany(3000)
	w.run(20 * time.Minute)
	w.down = true
	w.run(time.Minute)
	if !w.Stats(w.now).Offline {
		t.Error("not offline although no node answers")
	}
	before := w.Stats(w.now).Sent
	w.run(9 * time.Minute)
	if sent := w.Stats(w.now).Sent - before; sent > 9*60*12 {
		t.Errorf("%d packets in 9 minutes while offline", sent)
	}
	w.down = false
	back := w.now
	w.run(10 * time.Second)
	if st := w.Stats(w.now); st.Offline || len(w.announcedSince(back)) < 10 {
		t.Errorf("10 s after: %+v", st)
	}
	w.run(25 * time.Minute)
	if st := w.Stats(w.now); st.Late != 0 || len(w.announcedSince(back)) != len(keys) {
		t.Errorf("25 minutes after: %+v", st)
	}
}

// At first no node is known: the first node that appears is enough.
func TestNoNodeIsKnownYet(t *testing.T) {
	w := newWorld(newNetwork(8, 300, 0.25), Config{})
	table := w.table
	w.table = nil
	k := w.addMany(20)[3]
	w.run(5 * time.Minute)
	if st := w.Stats(w.now); st.Sent != 0 || st.Unannounced != 20 || st.Late != 0 {
		t.Errorf("%+v", st)
	}
	w.table = table
	w.run(10 * time.Second)
	if w.received[k] == nil {
		t.Error("not announced 10 s after nodes became known")
	}
	w.run(30 * time.Second)
	if st := w.Stats(w.now); st.Unannounced != 0 {
		t.Errorf("%+v", st)
	}
}

// bogus returns 16 nodes that do not exist, each closer than any real one.
func bogus(n *network) func(*simNode, id.ID) []Node {
	return func(_ *simNode, target id.ID) (ns []Node) {
		for range 16 {
			x := randomID(n.r)
			copy(x[:6], target[:6])
			ns = append(ns, Node{x, simAddr(1<<20 + n.r.IntN(1<<20))})
		}
		return ns
	}
}

// falseIDs returns honest addresses with invented ids next to the target.
func falseIDs(n *network) func(*simNode, id.ID) []Node {
	return func(_ *simNode, target id.ID) (ns []Node) {
		for range 8 {
			x := randomID(n.r)
			copy(x[:6], target[:6])
			ns = append(ns, Node{x, n.nodes[n.r.IntN(len(n.nodes))].Addr})
		}
		return ns
	}
}

func TestHostileNodesCostLittle(t *testing.T) {
	for name, liar := range map[string]func(*network) func(*simNode, id.ID) []Node{"bogus nodes": bogus, "honest addresses under false ids": falseIDs} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(9, 1000, 0.1)
			n.liar = liar(n)
			for _, s := range n.nodes {
				s.hostile = n.r.Float64() < 0.1
			}
			w := newWorld(n, Config{Rate: 100})
			recalled := w.recall(w.addMany(1000))
			w.run(20 * time.Minute)
			st := w.Stats(w.now)
			cost := float64(st.Sent) / float64(st.Visits)
			t.Logf("%.1f packets each, recall %.3f", cost, recalled())
			if cost > 22 || recalled() < 0.98 || st.Fruitless > 0 {
				t.Errorf("%.1f packets each, recall %.3f; %+v", cost, recalled(), st)
			}
		})
	}
}

// Nodes with a full store give no token: the announce goes to the next closest.
func TestAnnouncesGoToNodesThatGiveATokenInstead(t *testing.T) {
	n := newNetwork(10, 500, 0)
	for _, s := range n.nodes {
		s.withholds = n.r.Float64() < 0.5
	}
	w := newWorld(n, Config{})
	for _, k := range w.addMany(50) {
		w.run(10 * time.Second)
		if h := w.received[k]; h == nil || len(h.at) < 6 {
			t.Fatalf("%+v", h)
		}
	}
	// Without any token, the announce is retried at growing distances.
	for _, s := range n.nodes {
		s.withholds = true
	}
	k, tries := randomID(n.r), 0
	w.cfg.Done = func(infohash id.ID, accepted int) {
		if infohash == k && accepted == 0 {
			tries++
		}
	}
	w.Add(w.now, k, Announcement{Port: 1})
	w.run(12 * time.Minute)
	if tries < 5 || tries > 8 {
		t.Errorf("%d tries in 12 minutes", tries)
	}
}

func TestPeersAreReportedOnceAVisit(t *testing.T) {
	var got []netip.AddrPort
	target := id.ID{1}
	peer := netip.MustParseAddrPort("9.9.9.9:9")
	s := New(Config{
		Start: func(id.ID) []Node { return []Node{{id.ID{2}, simAddr(1)}, {id.ID{3}, simAddr(2)}} },
		Found: func(infohash id.ID, _ netip.AddrPort, peers []netip.AddrPort) {
			if infohash != target {
				t.Errorf("peers of %v", infohash)
			}
			got = append(got, peers...)
		},
	}, 0, rand.New(rand.NewPCG(1, 1)))
	s.Add(0, target, Announcement{Port: 1})
	now := mono.Time(0)
	for range 2 {
		now = max(now, s.Deadline())
		q, ok := s.Next(now)
		if !ok {
			t.Fatal("nothing to send")
		}
		s.Reply(now, q.Ref, id.ID{2 + byte(q.Ref) - 1}, nil, []netip.AddrPort{peer, peer}, []byte("t"))
		s.Reply(now, q.Ref, id.ID{2}, nil, []netip.AddrPort{simAddr(5)}, nil) // duplicate: it is ignored
	}
	if len(got) != 1 || got[0] != peer {
		t.Errorf("found %v", got)
	}
	s.Reply(now, 99, id.ID{7}, nil, nil, nil)
	s.Fail(now, 0)
}

func TestOneNodeOfASubnetUnlessRelaxed(t *testing.T) {
	for _, relaxed := range []bool{false, true} {
		s := New(Config{Relaxed: relaxed, Start: func(id.ID) (ns []Node) {
			for i := range byte(4) {
				ns = append(ns, Node{id.ID{i + 1}, netip.AddrPortFrom(netip.AddrFrom4([4]byte{7, 7, 7, i}), 1)})
			}
			return ns
		}}, 0, rand.New(rand.NewPCG(1, 1)))
		s.Add(0, id.ID{}, Announcement{Port: 1})
		asked := 0
		for now := mono.Time(0); now < mono.Time(softTimeout); now += mono.Time(10 * time.Millisecond) {
			if _, ok := s.Next(now); ok {
				asked++
			}
		}
		if want := map[bool]int{false: 1, true: 3}[relaxed]; asked != want {
			t.Errorf("relaxed %v: asked %d, want %d", relaxed, asked, want)
		}
	}
}

func TestALateCallerKeepsTheAverageRate(t *testing.T) {
	n := newNetwork(11, 300, 0)
	s := New(Config{Rate: 100, Start: func(x id.ID) []Node { return near(n.nodes[0].known, x, 16) }}, 0, n.r)
	for range 10_000 {
		s.Add(0, randomID(n.r), Announcement{Port: 1})
	}
	now, sent := mono.Time(0), 0
	for now < mono.Time(10*time.Second) {
		at, burst := max(now, s.Deadline()).Add(20*time.Millisecond), 0
		now = at
		for {
			q, ok := s.Next(now)
			if !ok {
				break
			}
			sent++
			burst++
			s.Reply(now, q.Ref, n.byAddr[q.Addr].ID, nil, nil, []byte("t"))
		}
		if burst > 7 {
			t.Fatalf("%d packets at once", burst)
		}
	}
	if sent < 950 || sent > 1010 {
		t.Errorf("%d packets in 10 s", sent)
	}
}

// The total memory for an infohash after its announce.
func TestMemoryOfAnInfohash(t *testing.T) {
	const count = 100_000
	var before, after runtime.MemStats
	r := rand.New(rand.NewPCG(1, 1))
	s := New(Config{}, 0, r)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range count {
		s.Add(0, randomID(r), Announcement{Port: 1})
	}
	for s.fresh.n > 0 {
		i := s.fresh.after(s.sweep)
		s.fresh.remove(s.items.at(i).key)
		s.items.at(i).state = idle
		s.ages.push(i)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := float64(after.HeapAlloc-before.HeapAlloc) / count
	t.Logf("%.1f bytes an infohash", per)
	if per > 100 {
		t.Errorf("%.1f bytes an infohash", per)
	}
	runtime.KeepAlive(s)
}

// A packet and its reply, in the steady state.
func BenchmarkPacket(b *testing.B) {
	for _, count := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			n := newNetwork(12, 1000, 0)
			s := New(Config{Rate: 1e6, Interval: time.Millisecond, Start: func(x id.ID) []Node { return nil }}, 0, n.r)
			for _, o := range n.nodes[:50] {
				s.window.answered(0, o.ID, o.Addr)
			}
			for range count {
				s.Add(0, randomID(n.r), Announcement{Port: 1})
			}
			now := mono.Time(0)
			var room [8]Node
			packet := func() {
				q, ok := s.Next(now)
				for !ok {
					now = max(now+1, s.Deadline())
					q, ok = s.Next(now)
				}
				o := n.byAddr[q.Addr]
				s.Reply(now, q.Ref, o.ID, descend(room[:0], o.known, q.Infohash, 0, 8), nil, []byte("token"))
			}
			for range 20 * count {
				packet()
			}
			b.ReportAllocs()
			for b.Loop() {
				packet()
			}
		})
	}
}

// An infohash that a lookup has just announced keeps its turn and counts as announced.
// Later changes to it are announced at once.
func TestJustAnnouncedInfohashWaitsForItsTurn(t *testing.T) {
	s := New(Config{Start: func(id.ID) []Node { return []Node{{id.ID{1}, simAddr(1)}} }}, 0, rand.New(rand.NewPCG(1, 1)))
	key := id.ID{9}
	s.Add(0, key, Announcement{Port: 1, JustAnnounced: true})
	if q, ok := s.Next(0); ok {
		t.Fatalf("%+v is sent at once", q)
	}
	if st := s.Stats(0); st.Unannounced != 0 || st.Late != 0 {
		t.Fatalf("%+v", st)
	}
	if at := s.Deadline(); at > mono.Time(20*time.Minute) {
		t.Fatalf("it is not announced again before %v", at)
	}
	s.Add(0, key, Announcement{Port: 1, Seed: true, JustAnnounced: true})
	q, ok := s.Next(0)
	if !ok || q.Kind != GetPeers {
		t.Fatalf("a change is not announced: %+v", q)
	}
	s.Reply(0, q.Ref, id.ID{1}, nil, nil, []byte("t"))
	if q, ok = s.Next(mono.Time(time.Second)); !ok || q.Kind != AnnouncePeer || !q.Seed {
		t.Fatalf("%+v", q)
	}
}
