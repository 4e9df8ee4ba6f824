// Package bencode reads and writes the encoding of BEP 3 without building trees and
// without allocating.
//
// Parse checks a whole value once. The Value that it returns is a slice of the input; its
// accessors walk the bytes and cannot fail on syntax. ParseStrict also requires the
// canonical order of dictionary keys, so that a value has exactly one encoding. Scanner
// is the lower layer, for readers that take their fields while checking. The Append
// functions write; the caller appends the 'l', 'd' and 'e' of containers, and dictionary
// keys in order.
//
// Only canonical numbers are accepted: no leading zeros (nor in string lengths), no
// negative zero, and nothing outside int64 unless Limits.BigInts or Limits.InvalidInts is
// set. Limits bound depth, count and string length. Scanning is not recursive. Errors are
// *SyntaxError.
//
// The accessors of a Value that this package did not make may panic.
package bencode

import (
	"bytes"
	"iter"
	"strconv"
)

// Kind is the type of a value.
type Kind uint8

const (
	None Kind = iota // no value
	Int
	String
	List
	Dict
)

func (k Kind) String() string {
	return [...]string{"nothing", "an integer", "a string", "a list", "a dictionary"}[k]
}

func kindOf(c byte) Kind {
	switch {
	case c-'0' <= 9:
		return String
	case c == 'i':
		return Int
	case c == 'l':
		return List
	case c == 'd':
		return Dict
	}
	return None
}

// Value is the encoded form of one checked value; nil means no value. It shares memory
// with the input.
type Value []byte

// Parse checks the value at the start of b and returns it and the bytes after it.
// Dictionary keys may be in any order and may repeat.
func Parse(b []byte, lim Limits) (v Value, rest []byte, err error) {
	s := NewScanner(b, lim)
	v, ok := s.Value()
	if !ok {
		return nil, nil, s.Err()
	}
	return v, b[len(v):], nil
}

// ParseStrict checks that b is exactly one value in canonical form:
// BEP 3: "Keys must be strings and appear in sorted order (sorted as raw
// strings, not alphanumerics)."
func ParseStrict(b []byte, lim Limits) (Value, error) {
	v, rest, err := Parse(b, lim)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, &SyntaxError{Offset: len(v), Reason: "trailing bytes after the value"}
	}
	if at := disorder(v, 0); at >= 0 {
		return nil, &SyntaxError{Offset: at, Reason: "dictionary key out of order or repeated"}
	}
	return v, nil
}

// disorder returns the offset of the first key that is not greater than its predecessor,
// or -1. base is the offset of v. Parse bounds the depth of v and thereby this recursion.
func disorder(v Value, base int) int {
	isDict := v.Kind() == Dict
	if !isDict && v.Kind() != List {
		return -1
	}
	var prev []byte
	for off := 1; v[off] != 'e'; {
		if isDict {
			key, n := readString(v[off:])
			if prev != nil && bytes.Compare(prev, key) >= 0 {
				return base + off
			}
			prev = key
			off += n
		}
		n := size(v[off:])
		if at := disorder(v[off:off+n], base+off); at >= 0 {
			return at
		}
		off += n
	}
	return -1
}

// Kind returns the type of v, or None for a nil Value.
func (v Value) Kind() Kind {
	if len(v) == 0 {
		return None
	}
	return kindOf(v[0])
}

// Int returns the integer v; ok is false if v is not an integer or does not fit int64.
func (v Value) Int() (int64, bool) {
	if v.Kind() != Int {
		return 0, false
	}
	return readInt(v)
}

// readInt returns the integer encoded in b; ok is false if it does not fit int64 or is
// malformed, which Limits.InvalidInts permits.
func readInt(b []byte) (int64, bool) {
	digits := b[1 : len(b)-1]
	neg := len(digits) > 0 && digits[0] == '-'
	if neg {
		digits = digits[1:]
	}
	// An int64 has at most 19 digits, and 19 digits cannot overflow a uint64.
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && (neg || len(digits) > 1) {
		return 0, false
	}
	var u uint64
	for _, c := range digits {
		if c-'0' > 9 {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	const most = 1<<63 - 1
	switch {
	case neg && u <= most+1:
		return -int64(u), true
	case !neg && u <= most:
		return int64(u), true
	}
	return 0, false
}

// Bytes returns the content of the string v; ok is false if v is not a string.
func (v Value) Bytes() ([]byte, bool) {
	if v.Kind() != String {
		return nil, false
	}
	s, _ := readString(v)
	return s, true
}

// Get returns the value of a dictionary's key, the first if there are several. It returns
// nil if the key is absent or v is not a dictionary.
func (v Value) Get(key string) Value {
	if v.Kind() != Dict {
		return nil
	}
	for off := 1; v[off] != 'e'; {
		k, n := readString(v[off:])
		off += n
		n = size(v[off:])
		if string(k) == key {
			return v[off : off+n : off+n]
		}
		off += n
	}
	return nil
}

// Dict returns the keys and values of a dictionary in the order of the encoding. It
// yields nothing if v is not a dictionary.
func (v Value) Dict() iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		if v.Kind() != Dict {
			return
		}
		for off := 1; v[off] != 'e'; {
			k, n := readString(v[off:])
			off += n
			n = size(v[off:])
			if !yield(k, v[off:off+n:off+n]) {
				return
			}
			off += n
		}
	}
}

// List returns the values of a list. It yields nothing if v is not a list.
func (v Value) List() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != List {
			return
		}
		for off := 1; v[off] != 'e'; {
			n := size(v[off:])
			if !yield(v[off : off+n : off+n]) {
				return
			}
			off += n
		}
	}
}

// Len returns the number of values of a list, of pairs of a dictionary or of bytes of a
// string, and 0 for anything else.
func (v Value) Len() int {
	n := 0
	switch v.Kind() {
	case String:
		s, _ := readString(v)
		n = len(s)
	case List:
		for range v.List() {
			n++
		}
	case Dict:
		for range v.Dict() {
			n++
		}
	}
	return n
}

// readString returns the content of the checked string at the start of b, and the length
// of its encoding.
func readString(b []byte) (s []byte, n int) {
	i, l := 0, 0
	for ; b[i] != ':'; i++ {
		l = l*10 + int(b[i]-'0')
	}
	n = i + 1 + l
	return b[i+1 : n : n], n
}

// size returns the length of the checked value at the start of b.
func size(b []byte) int {
	off, depth := 0, 0
	for {
		switch b[off] {
		case 'i':
			off += bytes.IndexByte(b[off:], 'e') + 1
		case 'l', 'd':
			off++
			depth++
		case 'e':
			off++
			depth--
		default:
			_, n := readString(b[off:])
			off += n
		}
		if depth == 0 {
			return off
		}
	}
}

// AppendInt appends the integer n.
func AppendInt(dst []byte, n int64) []byte {
	return append(strconv.AppendInt(append(dst, 'i'), n, 10), 'e')
}

// AppendString appends the string s.
func AppendString(dst []byte, s string) []byte {
	return append(append(strconv.AppendUint(dst, uint64(len(s)), 10), ':'), s...)
}

// AppendBytes appends the string b.
func AppendBytes(dst, b []byte) []byte {
	return append(append(strconv.AppendUint(dst, uint64(len(b)), 10), ':'), b...)
}
