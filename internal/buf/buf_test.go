package buf

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Two connections have leases on one block, and the torrent's loop takes the leases back
// and drops the slot at any time. The test tries every order of their steps. In each, at
// most one connection fills the block, no one writes to free memory, and the buffer is
// returned exactly once, after all have finished.
func TestEveryInterleavingOfTwoFillersAndACanceller(t *testing.T) {
	const none = -1
	type world struct {
		p       *Pool
		c       *Buffer
		leases  [2]Lease
		inTable [2]bool // the one that finds it takes it, under the connection's lock
		has     [2]bool // the connection took it
		won     [2]bool
		filler  int
		fills   int
	}
	free := func(w *world) bool { out, _ := w.p.Held(); return out == 0 }
	check := func(w *world, ok bool, what string) {
		if !ok {
			t.Helper()
			panic(what)
		}
	}
	fill := func(i int) []func(w *world) {
		return []func(w *world){
			func(w *world) { w.has[i], w.inTable[i] = w.inTable[i], false },
			func(w *world) {
				if w.has[i] && w.leases[i].Begin() != nil {
					check(w, w.filler == none, "two fill at once")
					w.won[i], w.filler = true, i
					w.fills++
				}
			},
			func(w *world) {
				if w.won[i] {
					check(w, !free(w), "memory was freed under the filler")
					w.leases[i].Done()
					w.filler = none
				}
			},
			func(w *world) {
				if w.has[i] {
					w.leases[i].Release()
				}
			},
		}
	}
	cancel := func(i int) func(w *world) {
		return func(w *world) {
			if w.inTable[i] {
				w.inTable[i] = false
				w.leases[i].Release()
			}
		}
	}
	actors := [3][]func(*world){fill(0), fill(1), {cancel(0), cancel(1), func(w *world) { w.c.Release() }}}

	p := NewPool(BlockSize)
	defer p.Close()
	orders, taken := 0, make([]int, 0, 11)
	run := func() {
		defer func() {
			if e := recover(); e != nil {
				t.Fatalf("order %v: %v", taken, e)
			}
		}()
		c := p.Get(9)
		w := &world{p: p, c: c, leases: [2]Lease{c.Lease(0, 9), c.Lease(0, 9)}, inTable: [2]bool{true, true}, filler: none}
		var at [3]int
		for _, a := range taken {
			actors[a][at[a]](w)
			at[a]++
		}
		check(w, free(w), "memory was not given back")
		check(w, w.fills <= 1, "filled twice")
		check(w, w.fills == 1 || !w.has[0] && !w.has[1], "a lease was taken and nobody filled")
		orders++
	}
	var extend func(left [3]int)
	extend = func(left [3]int) {
		if left == [3]int{} {
			run()
			return
		}
		for a := range left {
			if left[a] > 0 {
				next := left
				next[a]--
				taken = append(taken, a)
				extend(next)
				taken = taken[:len(taken)-1]
			}
		}
	}
	extend([3]int{len(actors[0]), len(actors[1]), len(actors[2])})
	if want := 11550; orders != want { // 11! / (4! 4! 3!)
		t.Fatalf("%d orders tried, not %d", orders, want)
	}
}

// The same with real goroutines, for the race detector.
func TestFillersAndCancellerRace(t *testing.T) {
	p := NewPool(8 * BlockSize)
	defer p.Close()
	for round := range 2000 {
		c := p.Get(2 * BlockSize)
		var mu sync.Mutex
		table := map[int]Lease{0: c.Lease(BlockSize, 100), 1: c.Lease(BlockSize, 100)}
		take := func(i int) (Lease, bool) {
			mu.Lock()
			defer mu.Unlock()
			l, ok := table[i]
			delete(table, i)
			return l, ok
		}
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() {
				l, ok := take(i)
				if !ok {
					return
				}
				if b := l.Begin(); b != nil {
					for k := range b {
						b[k] = byte(round + i)
					}
					l.Done()
				}
				l.Release()
			})
		}
		wg.Go(func() {
			for i := range 2 {
				if l, ok := take(i); ok {
					l.Release()
				}
			}
			c.Release()
		})
		wg.Wait()
	}
	if out, _ := p.Held(); out != 0 {
		t.Fatal(out, "buffers were lost")
	}
}

func TestMisusePanics(t *testing.T) {
	p := NewPool(4 * BlockSize)
	defer p.Close()
	freed := p.Get(2 * BlockSize)
	freed.Release()
	fresh := p.Get(BlockSize + 1)
	if fresh != freed {
		t.Fatal("Get does not return the buffer used last")
	}
	for name, misuse := range map[string]func(){
		"released twice":         func() { c := NewPool(BlockSize).Get(1); c.Release(); c.Release() },
		"lease on a free buffer": func() { c := NewPool(BlockSize).Get(1); c.Release(); c.Lease(0, 1) },
		"lease across blocks":    func() { fresh.Lease(0, BlockSize+1) },
		"lease inside a block":   func() { fresh.Lease(5, 1) },
		"lease past the end":     func() { fresh.Lease(2*BlockSize, 1) },
		"empty lease":            func() { fresh.Lease(0, 0) },
		"Done without Begin":     func() { fresh.Lease(0, 1).Done() },
		"empty pool":             func() { NewPool(0) },
		"empty buffer":           func() { p.Get(0) },
		"too large a buffer":     func() { p.Get(MaxBuffer + 1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse()
		}()
	}
}

func TestIdleMemoryIsFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(8 * BlockSize)
		var cs []*Buffer
		for range 10 {
			cs = append(cs, p.Get(BlockSize))
		}
		want := func(out, blocks int) {
			t.Helper()
			if o, b := p.Held(); o != out || b != int64(blocks)*BlockSize {
				t.Fatalf("%d out and %d blocks held, not %d and %d", o, b/BlockSize, out, blocks)
			}
		}
		want(10, 10)
		for _, c := range cs {
			c.Release()
		}
		want(0, 8) // the pool keeps no more than its limit
		// Buffers that are used from time to time are kept, the others are freed.
		for range 20 {
			a, b := p.Get(BlockSize), p.Get(BlockSize)
			a.Release()
			b.Release()
			time.Sleep(idleAfter / 5)
		}
		want(0, 2)
		time.Sleep(3 * idleAfter)
		want(0, 0)
		p.Get(1).Release()
		want(0, 1)
		p.Close()
		want(0, 0)
	})
}

func TestAnotherSizeReusesTheMemory(t *testing.T) {
	p := NewPool(8 * BlockSize)
	defer p.Close()
	var cs []*Buffer
	for range 8 {
		cs = append(cs, p.Get(BlockSize))
	}
	for _, c := range cs {
		c.Release()
	}
	c := p.Get(3 * BlockSize)
	if len(c.Bytes()) != 4*BlockSize {
		t.Error(len(c.Bytes()))
	}
	if out, b := p.Held(); out != 1 || b != 8*BlockSize {
		t.Errorf("%d buffers out, %d bytes held", out, b)
	}
	c.Release()
	if again := p.Get(4 * BlockSize); again != c {
		t.Error("a free buffer of the size is not used")
	}
}

func BenchmarkLease(b *testing.B) {
	p := NewPool(4 << 20)
	defer p.Close()
	src := make([]byte, BlockSize)
	for _, fill := range []bool{false, true} {
		b.Run(fmt.Sprintf("copy=%v", fill), func(b *testing.B) {
			b.ReportAllocs()
			c := p.Get(1 << 20)
			for i := 0; b.Loop(); i++ {
				if i%64 == 0 {
					c.Release()
					c = p.Get(1 << 20)
				}
				l := c.Lease(uint32(i%64)*BlockSize, BlockSize)
				m := l.Begin()
				if fill {
					copy(m, src)
				}
				l.Done()
				l.Release()
			}
			c.Release()
		})
	}
}
