package lookup

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

func idAt(target id.ID, distance uint64) (x id.ID) {
	binary.BigEndian.PutUint64(x[:], binary.BigEndian.Uint64(target[:])^distance)
	return x
}

func hostAt(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{30, byte(i >> 8), byte(i), 1}), 6881)
}

// Seven replies from the zone can be chance, eight mean that it is forged. Then its nodes
// no longer count, at most 2*K of them are queried, and the targets of SideTargets lie
// outside it.
func TestEightAnswersInTheZoneAreForged(t *testing.T) {
	const zone = uint64(1) << 54 // nine bits
	target := id.ID(make([]byte, 20))
	for _, crowd := range []int{7, 40} {
		var start []Node
		for i := range crowd {
			start = append(start, Node{ID: idAt(target, zone/2+uint64(i)), Addr: hostAt(i)})
		}
		for i := range 20 {
			start = append(start, Node{ID: idAt(target, zone<<2+uint64(i)), Addr: hostAt(1000 + i)})
		}
		now := mono.Time(0)
		l := New(Config{Zone: zone}, target, start, now)
		inside := 0
		for !l.Done() {
			n, ok := l.Next(now)
			if !ok {
				t.Fatalf("stuck: %+v", l.Stats())
			}
			if distance(target, n.ID) < zone {
				inside++
			}
			now = now.Add(time.Millisecond)
			l.Reply(now, n.Addr, n.ID, nil, nil, []byte("t"))
		}
		side := l.SideTargets()
		if (side != nil) != (crowd == 40) {
			t.Fatalf("%d nodes in the zone: forged %v", crowd, side != nil)
		}
		others := 0
		for _, n := range l.Closest() {
			if distance(target, n.ID) >= zone {
				others++
			}
		}
		if want := map[int]int{7: 1, 40: 8}[crowd]; others != want {
			t.Errorf("%d nodes in the zone: %d others are among the closest, want %d", crowd, others, want)
		}
		if crowd == 7 {
			continue
		}
		if inside > inForged*8 {
			t.Errorf("%d nodes of the zone were asked", inside)
		}
		for i, x := range side {
			if d := distance(target, x); d != zone<<(i+1) {
				t.Errorf("target %d is %x away", i, d)
			}
		}
		beside := []Node{{ID: idAt(target, zone<<5), Addr: hostAt(2000)}, {ID: idAt(target, zone<<6), Addr: hostAt(2001)}}
		l.Widen(now, beside)
		if l.Done() {
			t.Fatal("over before the added nodes were asked")
		}
		asked := 0
		for n, ok := l.Next(now); ok; n, ok = l.Next(now) {
			if n.Addr.Compare(beside[0].Addr) >= 0 {
				asked++
			}
			l.Reply(now, n.Addr, n.ID, nil, nil, []byte("t"))
		}
		if !l.Done() || asked != len(beside) || len(l.Closest()) != 8+8+len(beside) {
			t.Errorf("done %v, %d of the added nodes were asked, Closest returned %d nodes", l.Done(), asked, len(l.Closest()))
		}
	}
}

// Whatever nodes return, a lookup ends within its query limit.
func TestForgedLookupEnds(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		target := id.ID(make([]byte, 20))
		named := func() (ns []Node) {
			for range 8 {
				i := r.IntN(4000)
				ns = append(ns, Node{ID: idAt(target, r.Uint64()>>r.IntN(40)), Addr: hostAt(i)})
			}
			return ns
		}
		now := mono.Time(0)
		l := New(Config{Zone: 1 << (40 + r.IntN(24))}, target, named(), now)
		widened := false
		for step := 0; ; step++ {
			if step > 1000 {
				t.Fatalf("seed %d: no end: %+v", seed, l.Stats())
			}
			if n, ok := l.Next(now); ok {
				if r.IntN(4) == 0 {
					l.Fail(now, n.Addr)
				} else {
					l.Reply(now, n.Addr, n.ID, named(), nil, nil)
				}
				continue
			}
			if l.Done() {
				if l.SideTargets() == nil || widened {
					break
				}
				widened = true
				l.Widen(now, named())
				continue
			}
			now = l.Deadline()
		}
		if l.Stats().Asked > 128 {
			t.Fatalf("seed %d: %+v", seed, l.Stats())
		}
	}
}
