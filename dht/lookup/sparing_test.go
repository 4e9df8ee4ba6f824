package lookup

import (
	"fmt"
	"testing"

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
	if takers := l.Takers(); asked != 8+dumb || len(takers) != 8 || takers[0].Addr != start[dumb].Addr {
		t.Errorf("%d asked, %d takers", asked, len(takers))
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
