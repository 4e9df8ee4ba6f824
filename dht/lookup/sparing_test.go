package lookup

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"seedbed/internal/id"
)

// A sparing lookup queries three nodes at a time, the closest first, and ends when the 8
// closest nodes that accept an announce have replied.
func TestSparingLookup(t *testing.T) {
	const dumb = 2 // the closest nodes give no token
	target := id.ID{1}
	var start []Node
	for i := range 14 {
		start = append(start, Node{ID: near(target, byte(i+1)), Addr: addr(fmt.Sprintf("%d.1.1.1:1", i+1))})
	}
	l := New(Config{Sparing: true}, target, start, t0)
	var flying []Node
	asked := 0
	for now := t0; !l.Done(); now++ {
		for {
			n, ok := l.Next(now)
			if !ok {
				break
			}
			if n.Addr != start[asked].Addr {
				t.Fatalf("query %d goes to %v", asked, n.Addr)
			}
			asked++
			flying = append(flying, n)
		}
		if len(flying) > 3 || len(flying) == 0 {
			t.Fatalf("%d queries under way after %d", len(flying), asked)
		}
		var token []byte
		if flying[0].Addr != start[0].Addr && flying[0].Addr != start[1].Addr {
			token = []byte("token")
		}
		l.Reply(now, flying[0].Addr, flying[0].ID, nil, nil, token)
		flying = flying[1:]
	}
	if withToken := l.ClosestWithToken(); asked != 8+dumb || len(withToken) != 8 || withToken[0].Addr != start[dumb].Addr {
		t.Errorf("%d asked, %d withToken", asked, len(withToken))
	}
}

// Nodes name eight closer ones that do not answer. A sparing lookup asks three of them at
// once, and a fourth after the first soft timeout. After the second it asks the others last,
// so that it ends without them. If one of the four answers late, the others are asked in
// their turn.
func TestSparingLookupAsksDoubtfulNodesLast(t *testing.T) {
	for _, c := range []struct {
		late bool
		want int
	}{{false, 4}, {true, 8}} {
		target := id.ID{1}
		var honest, silent, asked []Node
		for i := range 8 {
			honest = append(honest, Node{ID: near(target, byte(i+101)), Addr: addr(fmt.Sprintf("%d.2.1.1:1", i+1))})
			silent = append(silent, Node{ID: near(target, byte(i+1)), Addr: addr(fmt.Sprintf("%d.1.1.1:1", i+1))})
		}
		l := New(Config{Sparing: true}, target, honest, t0)
		now := t0
		for ; !l.Done() && now.Sub(t0) < 5*time.Second; now = now.Add(time.Millisecond) {
			n, ok := l.Next(now)
			switch {
			case ok && slices.ContainsFunc(silent, func(o Node) bool { return o.Addr == n.Addr }):
				asked = append(asked, n)
			case ok:
				l.Reply(now, n.Addr, n.ID, silent, nil, []byte("token"))
			case c.late && l.Stats().Late == 4:
				c.late = false
				l.Reply(now, asked[0].Addr, asked[0].ID, nil, nil, []byte("token"))
			}
		}
		if !l.Done() || len(asked) != c.want || len(l.ClosestWithToken()) != 8 {
			t.Errorf("after %v %d of the silent nodes were asked, want %d; %+v", now.Sub(t0), len(asked), c.want, l.Stats())
		}
	}
}

// Start addresses with unknown ids, from the last announce, come first.
func TestSparingLookupBeginsWithStartAddresses(t *testing.T) {
	target := id.ID{1}
	start := []Node{{ID: near(target, 9), Addr: addr("1.1.1.1:1")}}
	for i := range 4 {
		start = append(start, Node{Addr: addr(fmt.Sprintf("%d.2.1.1:1", i+1))})
	}
	l := New(Config{Sparing: true}, target, start, t0)
	for i := range 3 {
		if n, ok := l.Next(t0); !ok || n.Addr != start[i+1].Addr {
			t.Fatalf("query %d goes to %v", i, n.Addr)
		}
	}
	if n, ok := l.Next(t0); ok {
		t.Fatalf("a fourth query at once, to %v", n.Addr)
	}
}
