package bitset

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// The naive implementation is a map of booleans.
func TestSetAgreesWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "n")
		s, twin := New(n), map[int]bool{}
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			if n == 0 {
				break
			}
			i := rapid.IntRange(0, n-1).Draw(t, "i")
			if rapid.Bool().Draw(t, "add") {
				if s.Add(i) == twin[i] {
					t.Fatalf("Add(%d) returned the wrong result", i)
				}
				twin[i] = true
			} else {
				if s.Remove(i) != twin[i] {
					t.Fatalf("Remove(%d) returned the wrong result", i)
				}
				delete(twin, i)
			}
		}
		if s.Count() != len(twin) || s.Full() != (len(twin) == n) {
			t.Fatalf("count %d, want %d", s.Count(), len(twin))
		}
		last := -1
		for i := range s.All() {
			if !twin[i] || i <= last {
				t.Fatalf("All yielded %d after %d", i, last)
			}
			last = i
		}
		back, err := Parse(s.AppendTo(nil), n)
		if err != nil || s.AnyNotIn(back) || back.AnyNotIn(s) || s.CountAnd(back) != len(twin) {
			t.Fatalf("parsing the bitfield fails: %v", err)
		}
		c := s.Clone()
		c.Fill()
		if !c.Full() || s.Count() != len(twin) {
			t.Fatal("Fill of a clone is wrong or reached the original")
		}
		c.Clear()
		if c.Count() != 0 || c.Next(0) != -1 {
			t.Fatal("Clear left members")
		}
		if n > 0 {
			c.Add(n - 1)
			twin[n-1] = true
		}
		c.AddAll(s)
		if c.Count() != len(twin) || s.AnyNotIn(c) {
			t.Fatal("AddAll is not the union")
		}
		c.RemoveAll(s)
		if c.CountAnd(s) != 0 || s.Count()+c.Count() != len(twin) {
			t.Fatal("RemoveAll is not the difference")
		}
	})
}

func TestNextAndFindsTheNextCommonMember(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "n")
		a, b := New(n), New(n)
		for range rapid.IntRange(0, 40).Draw(t, "members") {
			a.Add(rapid.IntRange(0, n-1).Draw(t, "a"))
			b.Add(rapid.IntRange(0, n-1).Draw(t, "b"))
		}
		i := rapid.IntRange(0, n).Draw(t, "i")
		want := a.Next(i)
		for want >= 0 && !b.Has(want) {
			want = a.Next(want + 1)
		}
		if got := a.NextAnd(b, i); got != want {
			t.Fatalf("%d, not %d", got, want)
		}
	})
}

// BEP 3: "The high bit in the first byte corresponds to piece index 0."
func TestHighBitIsPieceZero(t *testing.T) {
	s := New(10)
	s.Add(0)
	s.Add(9)
	if got := s.AppendTo(nil); !bytes.Equal(got, []byte{0x80, 0x40}) {
		t.Fatalf("%x", got)
	}
}

// BEP 3: "Spare bits at the end are set to zero", and the length must fit.
func TestSpareBitsAndLengthAreRefused(t *testing.T) {
	if _, err := Parse([]byte{0xff, 0xff}, 10); !errors.Is(err, ErrSpare) {
		t.Fatal(err)
	}
	for _, n := range []int{0, 8, 17} {
		if _, err := Parse([]byte{0, 0}, n); !errors.Is(err, ErrLength) {
			t.Fatalf("%d bits: %v", n, err)
		}
	}
}

func TestAddOutsidePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	New(65).Add(65)
}
