package announce

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// fewIDs draws one of a few ids, so that neighbours and repetitions are common.
func fewIDs(t *rapid.T, name string) (x id.ID) {
	x[0] = rapid.Byte().Draw(t, name)
	x[19] = rapid.ByteRange(0, 3).Draw(t, name)
	return x
}

func TestOrderTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var items slab
		o := order{items: &items}
		var twin []id.ID
		for range rapid.IntRange(1, 600).Draw(t, "steps") {
			key := fewIDs(t, "key")
			at, known := slices.BinarySearchFunc(twin, key, id.ID.Cmp)
			i, found := o.find(key)
			if found != known || found && items.at(i).key != key {
				t.Fatalf("find %v: %v", key, found)
			}
			switch {
			case !known:
				i := items.alloc()
				items.at(i).key = key
				o.insert(i)
				twin = slices.Insert(twin, at, key)
			case rapid.Bool().Draw(t, "remove"):
				o.remove(key)
				items.release(i)
				twin = slices.Delete(twin, at, at+1)
			}
			if o.n != len(twin) || len(twin) == 0 {
				continue
			}
			key = fewIDs(t, "after")
			at, known = slices.BinarySearchFunc(twin, key, id.ID.Cmp)
			if known {
				at++
			}
			if got := items.at(o.after(key)).key; got != twin[at%len(twin)] {
				t.Fatalf("after %v: %v, want %v", key, got, twin[at%len(twin)])
			}
		}
		var all []id.ID
		for _, c := range o.chunks {
			for _, i := range c {
				all = append(all, items.at(i).key)
			}
		}
		if !slices.Equal(all, twin) || o.n != len(twin) {
			t.Fatalf("%d keys, want %d", len(all), len(twin))
		}
	})
}

func TestOrderOfMany(t *testing.T) {
	n := newNetwork(1, 3000, 0)
	var items slab
	o := order{items: &items}
	for _, s := range n.nodes {
		i := items.alloc()
		items.at(i).key = s.ID
		o.insert(i)
	}
	slices.SortFunc(n.nodes, func(a, b *simNode) int { return a.ID.Cmp(b.ID) })
	at := id.ID{}
	for _, s := range n.nodes {
		if at = items.at(o.after(at)).key; at != s.ID {
			t.Fatal("out of order")
		}
	}
	for _, s := range n.nodes {
		o.remove(s.ID)
	}
	if o.n != 0 || len(o.chunks) != 0 {
		t.Fatalf("%d left in %d chunks", o.n, len(o.chunks))
	}
}

// The naive twin of the window is a map that is sorted by distance for every query.
func TestWindowTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b window
		b.init()
		twin := map[netip.AddrPort]known{}
		drop := func(a netip.AddrPort) {
			if k, ok := twin[a]; ok {
				k.fails++
				twin[a] = k
				if k.fails == 2 {
					delete(twin, a)
				}
			}
		}
		for step := range rapid.IntRange(1, 200).Draw(t, "steps") {
			addr := simAddr(rapid.IntRange(0, 40).Draw(t, "addr"))
			now := mono.Time(step)
			if rapid.IntRange(0, 2).Draw(t, "silent") == 0 {
				b.failed(now, addr)
				drop(addr)
			} else {
				node := fewIDs(t, "node")
				b.answered(now, node, addr)
				if k, ok := twin[addr]; ok && k.ID != node {
					delete(twin, addr)
				}
				taken := false
				for a, k := range twin {
					taken = taken || k.ID == node && a != addr
				}
				if !taken {
					twin[addr] = known{Node: Node{node, addr}}
				}
			}
			target, count := fewIDs(t, "target"), rapid.IntRange(1, 12).Draw(t, "count")
			var want []Node
			for _, k := range twin {
				want = append(want, k.Node)
			}
			slices.SortFunc(want, func(a, b Node) int {
				return cmp.Or(target.CmpDistance(a.ID, b.ID), a.Addr.Compare(b.Addr))
			})
			want = want[:min(count, len(want))]
			if got := b.closest(nil, target, count); !slices.Equal(got, want) {
				t.Fatalf("closest to %v:\n%v, want\n%v", target, got, want)
			}
			if len(b.byAddr) != len(b.nodes) || len(b.nodes) != len(twin) {
				t.Fatalf("%d by address, %d in all, want %d", len(b.byAddr), len(b.nodes), len(twin))
			}
		}
	})
}

func TestAddressesWithoutAnAnswerAreSuspended(t *testing.T) {
	var b window
	b.init()
	a := simAddr(1)
	b.failed(0, a)
	if !b.isSuspended(mono.Time(suspendOnce)-1, a) || b.isSuspended(mono.Time(suspendOnce), a) {
		t.Error("after one unanswered query")
	}
	b.failed(0, a)
	if !b.isSuspended(mono.Time(suspendTwice)-1, a) || b.isSuspended(mono.Time(suspendTwice), a) {
		t.Error("after two unanswered queries")
	}
	b.answered(0, id.ID{1}, a)
	b.failed(0, a)
	if b.isSuspended(0, a) {
		t.Error("one lost packet made a live node suspect")
	}
	for i := range 3 * maxMarks {
		b.failed(0, simAddr(100+i))
	}
	for i := range 2 * windowSize {
		b.answered(mono.Time(i), randomIDOf(i), simAddr(100_000+i))
	}
	if len(b.marks) > maxMarks || b.marked.Len() > maxMarks || len(b.nodes) != windowSize || len(b.byAddr) != windowSize {
		t.Errorf("%d marks, %d nodes", len(b.marks), len(b.nodes))
	}
}

func randomIDOf(i int) id.ID { return id.ID{byte(i >> 16), byte(i >> 8), byte(i)} }

func TestSeeds(t *testing.T) {
	six := netip.MustParseAddrPort("[2001:db8::7]:77")
	for _, c := range []struct {
		in   []netip.AddrPort
		kept int
	}{{nil, 0}, {[]netip.AddrPort{simAddr(1), simAddr(70000)}, 2}, {slices.Repeat([]netip.AddrPort{simAddr(3)}, 8), 6}, {[]netip.AddrPort{six, six, six}, 2}} {
		var s seeds
		s.set(c.in)
		if got := s.addrs(nil); !slices.Equal(got, c.in[:c.kept]) {
			t.Errorf("%v became %v", c.in, got)
		}
	}
}

// For any sequence of events, the counters are consistent, nothing is sent for removed
// infohashes, and the rate holds.
func TestRandomEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		table := []Node{{id.ID{1}, simAddr(1)}, {id.ID{2}, simAddr(2)}, {id.ID{3}, simAddr(3)}}
		s := New(Config{Rate: 50, Start: func(id.ID) []Node { return table }}, 0, r)
		twin := map[id.ID]Announcement{}
		var refs []uint64
		now, sent := mono.Time(0), 0
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			key := id.ID{rapid.ByteRange(0, 20).Draw(t, "key")}
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1:
				port := rapid.Uint16Range(1, 3).Draw(t, "port")
				what := Announcement{Port: port, Seed: rapid.Bool().Draw(t, "seed"), JustAnnounced: rapid.Bool().Draw(t, "just announced")}
				s.Add(now, key, what)
				twin[key] = what
			case 2:
				s.Remove(key)
				delete(twin, key)
			case 3:
				s.Wake()
			case 4:
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "long")))
			default:
				now = max(now, min(s.Deadline(), now.Add(time.Minute)))
				for range 100 {
					q, ok := s.Next(now)
					if !ok {
						break
					}
					sent++
					if what, ok := twin[q.Infohash]; !ok || q.Kind == AnnouncePeer && (q.Port != what.Port || q.Seed != what.Seed || len(q.Token) == 0) {
						t.Fatalf("%+v of %v", q, twin)
					}
					refs = append(refs, q.Ref)
				}
				for len(refs) > 0 && rapid.IntRange(0, 3).Draw(t, "come") > 0 {
					ref := refs[r.IntN(len(refs))] // sometimes one that has ended
					if r.IntN(4) == 0 {
						s.Fail(now, ref)
					} else {
						far := Node{randomID(r), simAddr(r.IntN(60))}
						s.Reply(now, ref, randomID(r), []Node{far, table[r.IntN(3)]}, nil, make([]byte, r.IntN(3)))
					}
				}
			}
			checkInvariants(t, s, twin)
		}
		if most := 50*now.Sub(0).Seconds() + 5; float64(sent) > most {
			t.Fatalf("%d packets in %v", sent, now.Sub(0))
		}
	})
}

func checkInvariants(t *rapid.T, s *Scheduler, twin map[id.ID]Announcement) {
	count, announced, listed, extra := map[state]int{}, 0, 0, 0
	for _, c := range s.all.chunks {
		for _, i := range c {
			r := s.items.at(i)
			if what, ok := twin[r.key]; !ok || what.Port != r.port || what.Seed != r.seed {
				t.Fatalf("%v is kept", r.key)
			}
			count[r.state]++
			if r.announced {
				announced++
			}
			if s.ages.isListed(i) {
				listed++
			}
			if _, ok := s.fresh.find(r.key); ok != (r.state == urgent) || (s.active[i] != nil) != (r.state == visiting) {
				t.Fatalf("%v in state %d", r.key, r.state)
			}
		}
	}
	for _, v := range s.active {
		if v.extra {
			extra++
		}
	}
	last := mono.Time(-1)
	for i := s.ages.head; i != none; i = s.items.at(i).next {
		if r := s.items.at(i); !s.ages.isListed(i) || r.visited < last {
			t.Fatalf("%v is out of order", r.key)
		} else {
			last = r.visited
		}
		listed--
	}
	if s.all.n != len(twin) || s.fresh.n != count[urgent] || len(s.active) != count[visiting] || len(s.retry) < count[waiting] ||
		s.announced != announced || listed != 0 || s.extra != extra {
		t.Fatalf("%d infohashes of %d, %v, %+v", s.all.n, len(twin), count, s.Stats(0))
	}
}
