package utp

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// A byteRing holds what a slice would hold.
func TestByteRing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	r := byteRing{pos: 0xffff_f000} // wraps soon
	var want []byte
	for i := range 5000 {
		if n := rng.IntN(5000); rng.IntN(2) == 0 && len(want) < 40_000 {
			b := make([]byte, n)
			for k := range b {
				b[k] = byte(i + k)
			}
			r.append(b)
			want = append(want, b...)
		} else {
			n = min(n, len(want))
			r.discard(n)
			want = want[n:]
		}
		from := rng.IntN(len(want) + 1)
		n := rng.IntN(len(want) - from + 1)
		head, tail := r.slice(r.pos+uint32(from), n)
		if got := append(bytes.Clone(head), tail...); !bytes.Equal(got, want[from:from+n]) || r.n != len(want) {
			t.Fatalf("step %d: %d bytes from %d are wrong", i, n, from)
		}
	}
	if len(r.buf) > 64<<10 {
		t.Errorf("%d bytes for at most 45,000", len(r.buf))
	}
}

// A reorderBuffer is a map of sequence numbers to payloads.
func TestReorderBuffer(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var r reorderBuffer
	next := uint16(65_000)
	want := map[uint16]string{}
	for i := range 20_000 {
		d := 1 + rng.IntN(1+rng.IntN(maxReorder-1))
		seq := next + uint16(d)
		if _, ok := want[seq]; ok != r.has(next, d) {
			t.Fatalf("step %d: has(%d) is %v", i, d, !ok)
		} else if !ok && len(want) < 300 {
			want[seq] = string(rune('a' + i%26))
			r.put(next, d, []byte(want[seq]))
		}
		if rng.IntN(3) == 0 { // the missing packet arrives
			for {
				next++
				payload, ok := r.take(next)
				if s, there := want[next]; ok != there || s != string(payload) {
					t.Fatalf("step %d: %q, %v, want %q", i, payload, ok, s)
				}
				delete(want, next)
				if !ok {
					break
				}
			}
		}
		if r.count != len(want) || r.bytes != len(want) {
			t.Fatalf("step %d: %d packets, want %d", i, r.count, len(want))
		}
		if i%10 == 0 && r.count > 0 {
			bits := r.sack(next, nil)
			if len(bits)%4 != 0 || len(bits) > maxSack {
				t.Fatalf("%d bytes", len(bits))
			}
			set := 0
			for d := 1; d <= 8*len(bits); d++ {
				_, ok := want[next+uint16(d)]
				if got := bits[(d-1)/8]>>((d-1)%8)&1 == 1; got != ok {
					t.Fatalf("step %d: bit for distance %d is %v", i, d, got)
				} else if ok {
					set++
				}
			}
			if set != len(want) {
				t.Fatalf("step %d: %d of %d packets in the bits", i, set, len(want))
			}
		}
	}
}
