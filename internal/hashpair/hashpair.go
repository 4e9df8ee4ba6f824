// Package hashpair computes the SHA-1 of two messages at once.
//
// SHA instructions leave a processor core partly idle, so hashing two messages together
// takes hardly longer than hashing one. On a processor without these instructions, Sum hashes
// the messages one after the other with the standard library.
package hashpair

import (
	"crypto/sha1"
	"encoding/binary"
)

// Fast reports whether hashing two messages at once is faster than one after the other.
func Fast() bool { return fast }

// A Pair computes two hashes. Use it only if Fast returns true. The zero value is ready
// for use. Both messages must have the same length at all times.
type Pair struct {
	h1, h2 [5]uint32
	n      uint64 // bytes of each message, complete blocks only
	begun  bool
}

var initial = [5]uint32{0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0} // RFC 3174, 6.1

// Write appends a to the first message and b to the second. Both must have the same
// length, a multiple of 64.
func (p *Pair) Write(a, b []byte) {
	if len(a) != len(b) || len(a)%sha1.BlockSize != 0 {
		panic("hashpair: lengths differ or are not a multiple of 64")
	}
	p.begin()
	if len(a) > 0 {
		blocks(&p.h1, &p.h2, &a[0], &b[0], len(a)/sha1.BlockSize)
		p.n += uint64(len(a))
	}
}

func (p *Pair) begin() {
	if !p.begun {
		p.h1, p.h2, p.begun = initial, initial, true
	}
}

// Sum appends a and b, which must have the same length, as the ends of the messages and
// returns the sums. It also resets the Pair.
func (p *Pair) Sum(a, b []byte) (x, y [sha1.Size]byte) {
	if len(a) != len(b) {
		panic("hashpair: lengths differ")
	}
	whole := len(a) &^ (sha1.BlockSize - 1)
	p.Write(a[:whole], b[:whole])
	// RFC 3174, 4: a one bit, zeros, and the length in bits.
	var t1, t2 [2 * sha1.BlockSize]byte
	n := copy(t1[:], a[whole:])
	copy(t2[:], b[whole:])
	t1[n], t2[n] = 0x80, 0x80
	end := sha1.BlockSize
	if n > end-9 {
		end *= 2
	}
	bits := (p.n + uint64(n)) * 8
	binary.BigEndian.PutUint64(t1[end-8:], bits)
	binary.BigEndian.PutUint64(t2[end-8:], bits)
	blocks(&p.h1, &p.h2, &t1[0], &t2[0], end/sha1.BlockSize)
	for i := range p.h1 {
		binary.BigEndian.PutUint32(x[4*i:], p.h1[i])
		binary.BigEndian.PutUint32(y[4*i:], p.h2[i])
	}
	*p = Pair{}
	return x, y
}

// Sum returns the sums of two messages.
func Sum(a, b []byte) (x, y [sha1.Size]byte) {
	if !fast || len(a) != len(b) {
		return sha1.Sum(a), sha1.Sum(b)
	}
	var p Pair
	return p.Sum(a, b)
}
