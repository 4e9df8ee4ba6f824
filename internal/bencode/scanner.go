package bencode

import (
	"bytes"
	"fmt"
)

// SyntaxError says where and why the input is not bencode, or which limit it
// breaks.
type SyntaxError struct {
	Offset int    // bytes from the start of the input
	Reason string // a phrase: "string runs past the end"
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("bencode: %s at byte %d", e.Reason, e.Offset)
}

// Limits bounds what a scan accepts. A zero field means its default.
type Limits struct {
	Depth     int // lists and dictionaries inside one another; DefaultDepth, at most MaxDepth
	Tokens    int // strings, keys, integers, lists and dictionaries together; DefaultTokens
	StringLen int // bytes of one string; DefaultStringLen

	// BigInts lets integers beyond int64 pass, whose value cannot be read: BEP
	// 3, "Integers have no size limitation".
	BigInts bool

	// OddInts lets every integer pass that has an end, whatever stands before it;
	// the value of one that is malformed or beyond int64 cannot be read.
	OddInts bool
}

const (
	DefaultDepth     = 64
	DefaultTokens    = 1 << 20
	DefaultStringLen = 64 << 20

	// MaxDepth is what a larger Limits.Depth is lowered to: the room for the
	// kinds of the open containers is fixed, so that a scan never allocates.
	MaxDepth = 1024
)

// Scanner walks over bencode once, checking what it passes. A method that
// finds something else than it is asked for returns false, and from then on
// every method does; Err tells why.
//
// The zero Scanner is at the end of an empty input.
type Scanner struct {
	b      []byte
	off    int
	depth  int // containers that may still be opened
	tokens int
	strLen int
	big    bool // Limits.BigInts
	odd    bool // Limits.OddInts
	reason string
}

// NewScanner is a Scanner at the first byte of b.
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
	return Scanner{b: b, depth: min(lim.Depth, MaxDepth), tokens: lim.Tokens, strLen: lim.StringLen, big: lim.BigInts, odd: lim.OddInts}
}

// Err is nil or a *SyntaxError.
func (s *Scanner) Err() error {
	if s.reason == "" {
		return nil
	}
	return &SyntaxError{Offset: s.off, Reason: s.reason}
}

// Offset is where the next value begins.
func (s *Scanner) Offset() int { return s.off }

// Kind is what comes next. It is None at the end of a container, at the end
// of the input and before a byte that begins no value.
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

// token accounts for one more token, and checks that a byte is there.
func (s *Scanner) token() bool {
	if s.reason != "" {
		return false
	}
	if s.off >= len(s.b) {
		return s.fail("input ends where a value belongs")
	}
	if s.tokens--; s.tokens < 0 {
		return s.fail("too many values")
	}
	return true
}

// Int reads an integer. One beyond int64 is an error, but with Limits.BigInts
// it is stepped over: then Int is false, and Err is nil. So it is with Limits.OddInts
// and one that is malformed.
func (s *Scanner) Int() (int64, bool) {
	if !s.token() {
		return 0, false
	}
	if s.b[s.off] != 'i' {
		return 0, s.fail("something else where an integer belongs")
	}
	i := s.off + 1
	if i < len(s.b) && s.b[i] == '-' {
		i++
	}
	first := i
	if s.odd {
		end := bytes.IndexByte(s.b[s.off:], 'e')
		if end < 0 {
			return 0, s.fail("integer without an end")
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
		return 0, s.fail("integer without digits")
	case i >= len(s.b):
		return 0, s.fail("integer without an end")
	case s.b[i] != 'e':
		return 0, s.fail("integer with something else than digits")
	// BEP 3: integers with a leading zero, other than i0e, are invalid; i-0e is invalid.
	case s.b[first] == '0' && (s.b[first-1] == '-' || i-first > 1):
		return 0, s.fail("integer with a leading zero or negative zero")
	}
	n, ok := readInt(s.b[s.off : i+1])
	if !ok && !s.big {
		return 0, s.fail("integer too large")
	}
	s.off = i + 1
	return n, ok
}

// Bytes reads a string. The bytes are those of the input.
func (s *Scanner) Bytes() ([]byte, bool) {
	if !s.token() {
		return nil, false
	}
	i, n := s.off, uint64(0)
	for ; i < len(s.b) && s.b[i]-'0' <= 9; i++ {
		// Checked at each digit, the product cannot overflow.
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
		return nil, s.fail("something else where a string belongs")
	case i >= len(s.b):
		return nil, s.fail("string length without an end")
	case s.b[i] != ':':
		return nil, s.fail("string length with something else than digits")
	// BEP 3 forbids leading zeros for integers and is silent about lengths.
	// One value, one form: they are refused here too.
	case s.b[s.off] == '0' && i-s.off > 1:
		return nil, s.fail("string length with a leading zero")
	case n > uint64(len(s.b)-i-1):
		return nil, s.fail("string runs past the end")
	}
	s.off = i + 1 + int(n)
	return s.b[i+1 : s.off : s.off], true
}

// OpenList and OpenDict step inside a container. A caller reads its values
// (in a dictionary: Bytes for the key, then the value) for as long as More.
func (s *Scanner) OpenList() bool { return s.open('l', "something else where a list belongs") }

// OpenDict is described at OpenList.
func (s *Scanner) OpenDict() bool { return s.open('d', "something else where a dictionary belongs") }

func (s *Scanner) open(c byte, otherwise string) bool {
	if !s.token() {
		return false
	}
	if s.b[s.off] != c {
		return s.fail(otherwise)
	}
	if s.depth == 0 {
		return s.fail("nested too deep")
	}
	s.depth--
	s.off++
	return true
}

// More reports whether the container that was opened last has another value.
// When it has none, More steps over its end. After a false, ask Err.
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

// Value checks and steps over one whole value, whatever it is.
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
					return nil, s.fail("dictionary key is no string")
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
				s.fail("a byte that begins no value")
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
