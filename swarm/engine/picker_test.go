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
	idle  map[uint32]bool
}

// rarest returns the availability of the rarest idle piece in has, or -1.
func (k *naivePicker) rarest(has bitset.Set) int {
	best := -1
	for p := range k.idle {
		if has.Has(int(p)) && (best < 0 || k.avail[p] < best) {
			best = k.avail[p]
		}
	}
	return best
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
			switch rapid.IntRange(0, 6).Draw(t, "do") {
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
				want := naive.rarest(has)
				for name, pick := range map[string]func(bitset.Set, int) (uint32, bool){"rarest": k.rarest, "random": k.random} {
					got, ok := pick(has, has.Count())
					switch {
					case ok != (want >= 0):
						t.Fatalf("%s found %v, counting %d", name, ok, want)
					case ok && (!naive.idle[got] || !has.Has(int(got))):
						t.Fatalf("%s returned %d, which is not available", name, got)
					case ok && name == "rarest" && naive.avail[got] != want:
						t.Fatalf("rarest has availability %d, not %d", naive.avail[got], want)
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
			k.sort()
			// The order is partitioned by availability.
			if len(k.order) != len(naive.idle) || int(k.bound[len(k.bound)-1]) != len(k.order) {
				t.Fatalf("%d idle, not %d", len(k.order), len(naive.idle))
			}
			for i, p := range k.order {
				a := k.avail[p]
				if int(k.pos[p]) != i || int(a) != naive.avail[p] || i < int(k.bound[a]) || i >= int(k.bound[a+1]) {
					t.Fatalf("piece %d of availability %d is at %d, its bounds %v", p, a, i, k.bound)
				}
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
		p, _ := k.rarest(full, 8)
		first[p]++
	}
	for i := range uint32(8) {
		if first[i] < 20 || first[i] > 90 {
			t.Errorf("piece %d came first %d times of 400", i, first[i])
		}
	}
}
