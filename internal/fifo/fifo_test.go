package fifo

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The test compares a queue with a slice after every step.
func TestLikeASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q Queue[*int]
		var twin []*int
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "n") {
					v := new(int)
					q.Push(v)
					twin = append(twin, v)
				}
			},
			"pop": func(t *rapid.T) {
				for range rapid.IntRange(0, 60).Draw(t, "n") {
					if len(twin) == 0 {
						break
					}
					if got := q.Pop(); got != twin[0] {
						t.Fatal("Pop is not the first")
					}
					twin = twin[1:]
				}
			},
			"remove": func(t *rapid.T) {
				if len(twin) == 0 {
					t.Skip("empty")
				}
				i := rapid.IntRange(0, len(twin)-1).Draw(t, "i")
				if got := q.RemoveAt(i); got != twin[i] {
					t.Fatalf("RemoveAt(%d) is another element", i)
				}
				twin = slices.Delete(twin, i, i+1)
			},
			"clear": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "often enough to grow between") == 0 {
					q.Clear()
					twin = nil
				}
			},
			"": func(t *rapid.T) {
				if q.Len() != len(twin) {
					t.Fatalf("Len is %d, want %d", q.Len(), len(twin))
				}
				for i, v := range q.All() {
					if v != twin[i] || *q.At(i) != v {
						t.Fatalf("element %d differs", i)
					}
				}
				if len(twin) > 0 && *q.Front() != twin[0] {
					t.Fatal("Front is not the first")
				}
				used := 0
				for _, v := range q.ring {
					if v != nil {
						used++
					}
				}
				if used != len(twin) {
					t.Fatalf("the ring refers to %d elements of %d", used, len(twin))
				}
				if c := len(q.ring); c > minCap && len(twin) <= c/4 {
					t.Fatalf("a ring of %d for %d elements", c, len(twin))
				}
			},
		})
	})
}

func TestReadingPastTheEndPanics(t *testing.T) {
	var q Queue[int]
	q.Push(1)
	for _, f := range []func(){func() { q.At(1) }, func() { q.At(-1) }, func() { q.Pop(); q.Pop() }, func() { q.Front() }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		}()
	}
}

// A queue of constant length keeps its ring: nothing is allocated.
func TestSteadyQueueDoesNotAllocate(t *testing.T) {
	var q Queue[[4]int]
	for range 100 {
		q.Push([4]int{})
	}
	if n := testing.AllocsPerRun(1000, func() { q.Push(q.Pop()) }); n != 0 {
		t.Errorf("%v allocations a turn", n)
	}
}

func BenchmarkPushPop(b *testing.B) {
	var q Queue[[4]int]
	for range 100 {
		q.Push([4]int{})
	}
	for b.Loop() {
		q.Push(q.Pop())
	}
}
