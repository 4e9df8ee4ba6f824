// Package bitset provides a fixed-length set of small integers, stored as words for fast
// counting and scanning, and the byte form of BEP 3's bitfield.
package bitset

import (
	"errors"
	"iter"
	"math/bits"
)

// ErrLength is the error for a bitfield whose number of bytes does not match its number
// of bits.
var ErrLength = errors.New("bitfield has the wrong length")

// ErrSpare is the error for a bitfield with a spare bit set after its last piece (BEP 3:
// "Spare bits at the end are set to zero").
var ErrSpare = errors.New("bitfield has a spare bit set")

// Set is a set of integers in [0, Len). The zero Set has length 0. A copy of a Set shares
// its bits; Clone does not.
type Set struct {
	w []uint64
	n int
}

// New returns an empty set of length n.
func New(n int) Set { return Set{w: make([]uint64, (n+63)/64), n: n} }

// Parse parses a bitfield of n bits, most significant bit first (BEP 3).
func Parse(b []byte, n int) (Set, error) {
	if len(b) != (n+7)/8 {
		return Set{}, ErrLength
	}
	if n%8 != 0 && b[len(b)-1]<<(n%8) != 0 {
		return Set{}, ErrSpare
	}
	s := New(n)
	for i, c := range b {
		s.w[i/8] |= uint64(bits.Reverse8(c)) << (i % 8 * 8)
	}
	return s, nil
}

// AppendTo appends the set as a bitfield of (Len+7)/8 bytes.
func (s Set) AppendTo(dst []byte) []byte {
	for i := range (s.n + 7) / 8 {
		dst = append(dst, bits.Reverse8(byte(s.w[i/8]>>(i%8*8))))
	}
	return dst
}

// Len returns the length with which the set was made.
func (s Set) Len() int { return s.n }

// Has reports whether i is in the set; i must be in [0, Len).
func (s Set) Has(i int) bool { return s.w[i>>6]>>(i&63)&1 == 1 }

// Add adds i to the set and reports whether it was new.
func (s Set) Add(i int) bool {
	if i >= s.n {
		panic("bitset: index out of range")
	}
	m := uint64(1) << (i & 63)
	had := s.w[i>>6]&m != 0
	s.w[i>>6] |= m
	return !had
}

// Remove removes i from the set and reports whether it was present.
func (s Set) Remove(i int) bool {
	m := uint64(1) << (i & 63)
	had := s.w[i>>6]&m != 0
	s.w[i>>6] &^= m
	return had
}

// Fill adds every integer in [0, Len).
func (s Set) Fill() {
	for i := range s.w {
		s.w[i] = ^uint64(0)
	}
	if r := s.n & 63; r != 0 {
		s.w[len(s.w)-1] = 1<<r - 1
	}
}

// Clear removes every integer.
func (s Set) Clear() { clear(s.w) }

// Count returns the number of integers in the set.
func (s Set) Count() (c int) {
	for _, w := range s.w {
		c += bits.OnesCount64(w)
	}
	return c
}

// Full reports whether the set contains every integer in [0, Len).
func (s Set) Full() bool { return s.Count() == s.n }

// Clone returns an independent copy.
func (s Set) Clone() Set { return Set{w: append([]uint64(nil), s.w...), n: s.n} }

// Next returns the smallest member that is at least i, or -1.
func (s Set) Next(i int) int {
	if i >= s.n {
		return -1
	}
	k := i >> 6
	w := s.w[k] >> (i & 63) << (i & 63)
	for w == 0 {
		if k++; k == len(s.w) {
			return -1
		}
		w = s.w[k]
	}
	return k<<6 + bits.TrailingZeros64(w)
}

// NextAnd returns the smallest common member of s and t that is at least i, or -1; both
// sets must have the same length.
func (s Set) NextAnd(t Set, i int) int {
	if i >= s.n {
		return -1
	}
	k := i >> 6
	w := s.w[k] & t.w[k] >> (i & 63) << (i & 63)
	for w == 0 {
		if k++; k == len(s.w) {
			return -1
		}
		w = s.w[k] & t.w[k]
	}
	return k<<6 + bits.TrailingZeros64(w)
}

// All returns the members in ascending order.
func (s Set) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := s.Next(0); i >= 0; i = s.Next(i + 1) {
			if !yield(i) {
				return
			}
		}
	}
}

// AddAll adds every member of t, which must have the same length.
func (s Set) AddAll(t Set) {
	for i, w := range t.w {
		s.w[i] |= w
	}
}

// RemoveAll removes every member of t; both sets must have the same length.
func (s Set) RemoveAll(t Set) {
	for i, w := range t.w {
		s.w[i] &^= w
	}
}

// AnyNotIn reports whether s has a member that t lacks; both sets must have the same
// length.
func (s Set) AnyNotIn(t Set) bool {
	for i, w := range s.w {
		if w&^t.w[i] != 0 {
			return true
		}
	}
	return false
}

// CountAnd returns the number of members that s and t have in common.
func (s Set) CountAnd(t Set) (c int) {
	for i, w := range s.w {
		c += bits.OnesCount64(w & t.w[i])
	}
	return c
}
