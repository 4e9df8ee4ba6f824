package hashpair

import (
	"crypto/sha1"
	"fmt"
	"math/rand/v2"
	"testing"
)

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// The test compares with the standard library, for every length around a block and some
// long ones.
func TestSumsOfTwoAreTheSumsOfEach(t *testing.T) {
	if !fast {
		t.Log("no SHA instructions: Sum is the standard library")
	}
	for _, n := range append(lengths(), 1000, 16<<10, 16<<10+1, 1<<20) {
		a, b := noise(1, n), noise(2, n)
		if x, y := Sum(a, b); x != sha1.Sum(a) || y != sha1.Sum(b) {
			t.Errorf("wrong at %d bytes", n)
		}
	}
	a, b := noise(1, 100), noise(2, 90)
	if x, y := Sum(a, b); x != sha1.Sum(a) || y != sha1.Sum(b) {
		t.Error("wrong for two lengths")
	}
}

func lengths() (ns []int) {
	for n := range 200 {
		ns = append(ns, n)
	}
	return ns
}

// The messages are split in every way, and a Pair is used again.
func TestPairInParts(t *testing.T) {
	if !fast {
		t.Skip("did not run: this processor has no SHA instructions")
	}
	r := rand.New(rand.NewPCG(3, 3))
	var p Pair
	for range 300 {
		n := r.IntN(5000)
		a, b := noise(r.Uint64(), n), noise(r.Uint64(), n)
		x, y := a, b
		for len(x) >= 64 && r.IntN(4) > 0 {
			cut := 64 * r.IntN(len(x)/64+1)
			p.Write(x[:cut], y[:cut])
			x, y = x[cut:], y[cut:]
		}
		if s1, s2 := p.Sum(x, y); s1 != sha1.Sum(a) || s2 != sha1.Sum(b) {
			t.Fatalf("wrong at %d bytes", n)
		}
	}
}

func BenchmarkTwoMessages(b *testing.B) {
	for _, n := range []int{16 << 10, 1 << 20} {
		x, y := noise(1, n), noise(2, n)
		b.Run(fmt.Sprintf("pair/%dK", n>>10), func(b *testing.B) {
			b.SetBytes(2 * int64(n))
			for b.Loop() {
				Sum(x, y)
			}
		})
		b.Run(fmt.Sprintf("standard/%dK", n>>10), func(b *testing.B) {
			b.SetBytes(2 * int64(n))
			for b.Loop() {
				sha1.Sum(x)
				sha1.Sum(y)
			}
		})
	}
}
