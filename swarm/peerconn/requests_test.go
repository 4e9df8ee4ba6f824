package peerconn

import (
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/buf"
	"seedbed/swarm/engine"
)

// requests is compared with a plain list.
func TestRequestsAreAList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := buf.NewPool(1 << 20)
		defer pool.Close()
		buffer := pool.Get(1 << 20)
		var table requests
		var list []engine.Block
		for i := range rapid.IntRange(1, 400).Draw(t, "steps") {
			switch {
			case rapid.IntRange(0, 9).Draw(t, "step") < 6 || len(list) == 0:
				b := engine.Block{Piece: uint32(i), Length: 1}
				if !table.put(Request{Block: b, Lease: buffer.Lease(0, 1)}) {
					t.Fatal("the list is closed")
				}
				list = append(list, b)
			default:
				k := rapid.IntRange(0, len(list)-1).Draw(t, "which")
				if rapid.Bool().Draw(t, "first") {
					k = 0
				}
				b := list[k]
				list = append(list[:k:k], list[k+1:]...)
				g, ok := table.take(b)
				if !ok || g.Block != b {
					t.Fatalf("%v is missing", b)
				}
				g.Lease.Release()
				if _, ok := table.take(b); ok || table.has(b) {
					t.Fatalf("%v occurs twice", b)
				}
			}
			for _, b := range list {
				if !table.has(b) {
					t.Fatalf("%v is lost", b)
				}
			}
		}
		table.close()
		if l := buffer.Lease(0, 1); table.put(Request{Lease: l}) {
			t.Fatal("a closed list accepted a request")
		} else {
			l.Release()
		}
		buffer.Release()
		if out, _ := pool.Held(); out != 0 {
			t.Fatal("a lease was not released")
		}
	})
}
