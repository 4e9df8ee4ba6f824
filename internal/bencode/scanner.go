package bencode

import (
	"bytes"
	"fmt"
)

// SyntaxError says where and why the input is not bencode, or which limit it exceeds.
type SyntaxError struct {
	Offset int    // bytes from the start of the input
	Reason string // a phrase, such as "string runs past the end"
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("bencode: %s at byte %d", e.Reason, e.Offset)
}

// Limits bounds what a scan accepts. A zero field means its default.
type Limits struct {
	Depth     int // nesting of lists and dictionaries; DefaultDepth, at most MaxDepth
	Tokens    int // number of strings, keys, integers, lists and dictionaries; DefaultTokens
	StringLen int // bytes in one string; DefaultStringLen

	// BigInts accepts integers outside int64, whose value cannot be read. BEP 3:
	// "Integers have no size limitation".
	BigInts bool

	// InvalidInts accepts any integer that is terminated, whatever its digits. The value of
	// one that is malformed or outside int64 cannot be read.
	InvalidInts bool
}

const (
	DefaultDepth     = 64
	DefaultTokens    = 1 << 20
	DefaultStringLen = 64 << 20

	// MaxDepth is the upper bound of Limits.Depth. The memory for the kinds of the open
	// containers is fixed, so that a scan never allocates.
	MaxDepth = 1024
)

// Scanner reads bencode from beginning to end and checks it. If a method does not find what
// it reads, it returns false, and so do all later calls; Err returns the reason.
//
// The zero Scanner is at the end of an empty input.
type Scanner struct {
	b       []byte
	off     int
	depth   int // containers that may still be opened
	tokens  int
	strLen  int
	big     bool // Limits.BigInts
	invalid bool // Limits.InvalidInts
	reason  string
}

// NewScanner returns a Scanner at the first byte of b.
func NewScanner(b []byte, lim Limits) Scanner {
	if lim.Depth <= 0 {
		lim.Depth = DefaultDepth
	}
	if lim.Tokens <= 0 {
		lim.Tokens = DefaultTokens
	}
	if lim.StringLen <= 0 {
		lim.StringLen = DefaultStringLen
	}
	return Scanner{b: b, depth: min(lim.Depth, MaxDepth), tokens: lim.Tokens, strLen: lim.StringLen, big: lim.BigInts, invalid: lim.InvalidInts}
}

// Err returns nil or a *SyntaxError.
func (s *Scanner) Err() error {
	if s.reason == "" {
		return nil
	}
	return &SyntaxError{Offset: s.off, Reason: s.reason}
}

// Offset returns the offset of the next value.
func (s *Scanner) Offset() int { return s.off }

// Kind returns the type of the next value. It is None at the end of a container, at the
// end of the input and before a byte that does not begin a value.
func (s *Scanner) Kind() Kind {
	if s.reason != "" || s.off >= len(s.b) {
		return None
	}
	return kindOf(s.b[s.off])
}

func (s *Scanner) fail(reason string) bool {
	if s.reason == "" {
		s.reason = reason
	}
	return false
}

// token counts one more token, and checks that the input has not ended.
func (s *Scanner) token() bool {
	if s.reason != "" {
		return false
	}
	if s.off >= len(s.b) {
		return s.fail("input ends where a value is expected")
	}
	if s.tokens--; s.tokens < 0 {
		return s.fail("too many values")
	}
	return true
}

// Int reads an integer. An integer outside int64 is an error unless Limits.BigInts or
// Limits.InvalidInts is set: then Int skips it and returns false, and Err returns nil. With
// Limits.InvalidInts the same goes for a malformed integer.
func (s *Scanner) Int() (int64, bool) {
	if !s.token() {
		return 0, false
	}
	if s.b[s.off] != 'i' {
		return 0, s.fail("not an integer")
	}
	i := s.off + 1
	if i < len(s.b) && s.b[i] == '-' {
		i++
	}
	first := i
	if s.invalid {
		end := bytes.IndexByte(s.b[s.off:], 'e')
		if end < 0 {
			return 0, s.fail("integer is not terminated")
		}
		n, ok := readInt(s.b[s.off : s.off+end+1])
		s.off += end + 1
		return n, ok
	}
	for i < len(s.b) && s.b[i]-'0' <= 9 {
		i++
	}
	switch {
	case i == first:
		return 0, s.fail("integer has no digits")
	case i >= len(s.b):
		return 0, s.fail("integer is not terminated")
	case s.b[i] != 'e':
		return 0, s.fail("integer contains a non-digit")
	// BEP 3: integers with a leading zero, other than i0e, are invalid; i-0e is invalid.
	case s.b[first] == '0' && (s.b[first-1] == '-' || i-first > 1):
		return 0, s.fail("integer has a leading zero or is negative zero")
	}
	n, ok := readInt(s.b[s.off : i+1])
	if !ok && !s.big {
		return 0, s.fail("integer too large")
	}
	s.off = i + 1
	return n, ok
}

// Bytes reads a string. The result shares memory with the input.
func (s *Scanner) Bytes() ([]byte, bool) {
	if !s.token() {
		return nil, false
	}
	i, n := s.off, uint64(0)
	for ; i < len(s.b) && s.b[i]-'0' <= 9; i++ {
		// This check at each digit keeps the product from overflowing.
		n = n*10 + uint64(s.b[i]-'0')
		if n > uint64(s.strLen) {
			return nil, s.fail("string too long")
		}
		if n > uint64(len(s.b)) {
			return nil, s.fail("string runs past the end")
		}
	}
	switch {
	case i == s.off:
		return nil, s.fail("not a string")
	case i >= len(s.b):
		return nil, s.fail("string length is not terminated")
	case s.b[i] != ':':
		return nil, s.fail("string length contains a non-digit")
	// BEP 3 forbids leading zeros in integers and does not mention lengths. They are
	// rejected here too, so that a value has one form.
	case s.b[s.off] == '0' && i-s.off > 1:
		return nil, s.fail("string length has a leading zero")
	case n > uint64(len(s.b)-i-1):
		return nil, s.fail("string runs past the end")
	}
	s.off = i + 1 + int(n)
	return s.b[i+1 : s.off : s.off], true
}

// OpenList and OpenDict enter a container. The caller reads its values (in a dictionary:
// Bytes for the key, then the value) as long as More returns true.
func (s *Scanner) OpenList() bool { return s.open('l', "not a list") }

// OpenDict is described at OpenList.
func (s *Scanner) OpenDict() bool { return s.open('d', "not a dictionary") }

func (s *Scanner) open(c byte, otherwise string) bool {
	if !s.token() {
		return false
	}
	if s.b[s.off] != c {
		return s.fail(otherwise)
	}
	if s.depth == 0 {
		return s.fail("nested too deeply")
	}
	s.depth--
	s.off++
	return true
}

// More reports whether the most recently opened container has another value. If not, More
// skips the end of the container. After false, check Err.
func (s *Scanner) More() bool {
	if s.reason != "" {
		return false
	}
	if s.off >= len(s.b) {
		return s.fail("input ends inside a list or dictionary")
	}
	if s.b[s.off] == 'e' {
		s.off++
		s.depth++
		return false
	}
	return true
}

// Value checks and skips one complete value of any type.
func (s *Scanner) Value() (Value, bool) {
	begin := s.off
	var dicts [MaxDepth / 64]uint64 // bit d: the container at depth d is a dictionary
	level := 0
	for {
		if level > 0 {
			if !s.More() {
				if s.reason != "" {
					return nil, false
				}
				if level--; level == 0 {
					break
				}
				continue
			}
			if dicts[(level-1)/64]>>((level-1)%64)&1 == 1 {
				if s.Kind() != String {
					return nil, s.fail("dictionary key is not a string")
				}
				if _, ok := s.Bytes(); !ok {
					return nil, false
				}
			}
		}
		ok := false
		switch k := s.Kind(); k {
		case Int:
			s.Int()
			ok = s.reason == ""
		case String:
			_, ok = s.Bytes()
		case List, Dict:
			if k == List {
				ok = s.OpenList()
			} else {
				ok = s.OpenDict()
			}
			if ok {
				dicts[level/64] &^= 1 << (level % 64)
				if k == Dict {
					dicts[level/64] |= 1 << (level % 64)
				}
				level++
			}
		default:
			if s.token() {
				s.fail("invalid first byte of a value")
			}
		}
		if !ok {
			return nil, false
		}
		if level == 0 {
			break
		}
	}
	return Value(s.b[begin:s.off:s.off]), true
}
