package engine

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/bitset"
)

// naivePicker is a picker that counts.
type naivePicker struct {
	avail []int
	class []uint8
	idle  map[uint32]bool
}

// rank returns the class and the availability of a piece.
func (k *naivePicker) rank(p uint32) [2]int {
	if k.class == nil {
		return [2]int{0, k.avail[p]}
	}
	return [2]int{int(k.class[p]), k.avail[p]}
}

// best returns the rank of the rarest idle piece in has, of the first class that there is,
// and the first piece of that class from a piece on.
func (k *naivePicker) best(has bitset.Set, from uint32) (rank [2]int, next uint32, ok bool) {
	n := uint32(len(k.avail))
	for i := range n {
		p := (from + i) % n
		if !k.idle[p] || !has.Has(int(p)) {
			continue
		}
		r := k.rank(p)
		if !ok || r[0] < rank[0] {
			next = p
		}
		if !ok || r[0] < rank[0] || r[0] == rank[0] && r[1] < rank[1] {
			rank = r
		}
		ok = true
	}
	return rank, next, ok
}

func TestPickerAgreesWithCounting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 7, 64, 100, 1500, 2 * manyPieces}).Draw(t, "pieces")
		k := newPicker(n, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		naive := naivePicker{avail: make([]int, n), idle: map[uint32]bool{}}
		steps := rapid.IntRange(1, 300).Draw(t, "steps")
		if n > 1000 { // so that the far part of the order is reached
			for i := range uint32(n) {
				k.put(i)
				naive.idle[i] = true
			}
		}
		var fields []bitset.Set
		for range steps {
			p := uint32(rapid.IntRange(0, n-1).Draw(t, "piece"))
			switch rapid.IntRange(0, 7).Draw(t, "do") {
			case 0:
				k.put(p)
				naive.idle[p] = true
			case 1:
				k.take(p)
				delete(naive.idle, p)
			case 2:
				k.inc(p)
				naive.avail[p]++
			case 3:
				if naive.avail[p] > len(fields) {
					k.dec(p)
					naive.avail[p]--
				}
			case 7:
				naive.class = nil
				if rapid.Bool().Draw(t, "classes") {
					naive.class = make([]uint8, n)
					step := rapid.IntRange(1, n).Draw(t, "class step")
					for i := range naive.class {
						naive.class[i] = uint8(i / step % 3)
					}
				}
				k.setClasses(naive.class, 3)
			case 5, 6:
				if n > 1500 && len(fields) < 3 {
					has := bitset.New(n)
					from := rapid.IntRange(0, n/2).Draw(t, "from")
					for i := from; i < min(n, from+manyPieces+1000); i++ {
						has.Add(i)
						naive.avail[i]++
					}
					k.addField(has)
					fields = append(fields, has)
				}
			case 4:
				has := bitset.New(n)
				for range rapid.IntRange(0, 5).Draw(t, "has") {
					has.Add(rapid.IntRange(0, n-1).Draw(t, "bit"))
				}
				if rapid.Bool().Draw(t, "full") {
					has.Fill()
				}
				want, next, some := naive.best(has, p)
				pickers := map[string]func(bitset.Set) (uint32, bool){"rarest": k.rarest, "random": k.random,
					"next": func(has bitset.Set) (uint32, bool) { return k.next(has, p) }}
				for name, pick := range pickers {
					got, ok := pick(has)
					switch {
					case ok != some:
						t.Fatalf("%s found %v, counting %v", name, ok, want)
					case ok && (!naive.idle[got] || !has.Has(int(got))):
						t.Fatalf("%s returned %d, which is not available", name, got)
					case ok && naive.rank(got)[0] != want[0]:
						t.Fatalf("%s has class %d, not %d", name, naive.rank(got)[0], want[0])
					case ok && name == "rarest" && naive.avail[got] != want[1]:
						t.Fatalf("rarest has availability %d, not %d", naive.avail[got], want[1])
					case ok && name == "next" && got != next:
						t.Fatalf("the next piece from %d is %d, not %d", p, got, next)
					}
				}
			}
			for ; n > 1500 && len(fields) > 0 && rapid.IntRange(0, 9).Draw(t, "goes") == 0; fields = fields[1:] {
				k.removeField(fields[0])
				for i := range fields[0].All() {
					naive.avail[i]--
				}
			}
			if rapid.Bool().Draw(t, "unsorted") {
				continue
			}
			// Each order is partitioned by availability.
			idle := 0
			for i := range k.queues {
				q := &k.queues[i]
				k.sort(q)
				idle += len(q.order)
				if int(q.bound[len(q.bound)-1]) != len(q.order) || q.idle.Count() != len(q.order) {
					t.Fatalf("%d pieces in order, %d idle, bounds %v", len(q.order), q.idle.Count(), q.bound)
				}
				for at, p := range q.order {
					a := k.avail[p]
					if int(k.pos[p]) != at || int(a) != naive.avail[p] || at < int(q.bound[a]) || at >= int(q.bound[a+1]) || naive.rank(p)[0] != i {
						t.Fatalf("piece %d of availability %d is at %d of class %d, its bounds %v", p, a, at, i, q.bound)
					}
				}
			}
			if idle != len(naive.idle) || k.idleCount() != idle {
				t.Fatalf("%d and %d idle, not %d", idle, k.idleCount(), len(naive.idle))
			}
		}
	})
}

// The choice among equals is uniform: a swarm must not prefer one piece.
func TestRarestAmongEqualsIsRandom(t *testing.T) {
	first := map[uint32]int{}
	for seed := range uint64(400) {
		k := newPicker(8, rand.New(rand.NewPCG(seed, 0)))
		for i := range uint32(8) {
			k.inc(i)
			k.put(i)
		}
		full := bitset.New(8)
		full.Fill()
		p, _ := k.rarest(full)
		first[p]++
	}
	for i := range uint32(8) {
		if first[i] < 20 || first[i] > 90 {
			t.Errorf("piece %d came first %d times of 400", i, first[i])
		}
	}
}
