package bencode

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"sort"
	"strings"
	"testing"

	naive "github.com/anacrolix/torrent/bencode"
	"pgregory.net/rapid"
)

func TestSentencesOfBEP3(t *testing.T) {
	for _, c := range []struct{ sentence, ok, bad string }{
		{"strings are length-prefixed base ten followed by a colon and the string", "4:spam 0: 10:0123456789", "4spam 5:spam :a -1:a 1 1:"},
		{"integers are an i followed by the number in base 10 followed by an e", "i3e i-3e i0e i9223372036854775807e i-9223372036854775808e", "ie i- i-e i+3e i3 i3.0e i 3e ixe i99999999999999999999e i9223372036854775808e i-9223372036854775809e i18446744073709551616e"},
		{"i-0e is invalid", "i0e", "i-0e"},
		{"all encodings with a leading zero are invalid, other than i0e", "i10e", "i03e i-03e i00e"},
		{"string lengths have no leading zero either", "1:a", "01:a 00:"},
		{"lists are an l followed by their elements followed by an e", "le l4:spam4:eggse lli1eelee", "l l4:spam ll"},
		{"dictionaries are a d followed by alternating keys and values followed by an e", "de d3:cow3:moo4:spam4:eggse d4:spaml1:a1:bee", "d d3:cowe d3:cow d3:cow3:moo"},
		{"keys must be strings", "d1:ai1ee", "di1ei2ee dlei1ee d1:ade1:bie"},
		{"a value begins with i, l, d or a digit", "i1e", "e x -1 \x00"},
	} {
		for s := range strings.FieldsSeq(c.ok) {
			if v, err := ParseStrict([]byte(s), Limits{}); err != nil || string(v) != s {
				t.Errorf("%s: %q gives %q, %v", c.sentence, s, v, err)
			}
		}
		for s := range strings.FieldsSeq(c.bad) {
			v, _, err := Parse([]byte(s), Limits{})
			if se := (*SyntaxError)(nil); !errors.As(err, &se) || v != nil || se.Offset > len(s) {
				t.Errorf("%s: %q gives %q, %v", c.sentence, s, v, err)
			}
		}
	}
}

func TestKeysAppearInSortedOrderAsRawStrings(t *testing.T) {
	for s, at := range map[string]int{
		"d1:bi1e1:ai2ee":            7,
		"d1:ai1e1:ai2ee":            7,
		"d2:aai1e1:ai2ee":           8,
		"ld1:ai1eed1:bi1e1:ai2eee":  16,
		"d1:xd1:bi1e1:ai2eee":       11,
		"d1:\xffi1e1:ai2ee":         7,
		"d0:i1e0:i1ee":              6,
		"d1:ad1:bdee1:ad1:cdee1:xe": -2,
	} {
		_, err := ParseStrict([]byte(s), Limits{})
		se := (*SyntaxError)(nil)
		if !errors.As(err, &se) || at >= 0 && se.Offset != at {
			t.Errorf("%q: %v, want offset %d", s, err, at)
		}
	}
	if _, _, err := Parse([]byte("d1:bi1e1:ai2ee"), Limits{}); err != nil {
		t.Error("Parse checks the order:", err)
	}
	if _, err := ParseStrict([]byte("d1:Bi1e1:ai2e2:aai3ee"), Limits{}); err != nil {
		t.Error(err)
	}
	if _, err := ParseStrict([]byte("i1ei2e"), Limits{}); err == nil {
		t.Error("trailing bytes are accepted")
	}
}

func TestParseReturnsTheRest(t *testing.T) {
	v, rest, err := Parse([]byte("d1:ai1eeXYZ"), Limits{})
	if err != nil || string(v) != "d1:ai1ee" || string(rest) != "XYZ" {
		t.Errorf("%q %q %v", v, rest, err)
	}
}

func TestLimits(t *testing.T) {
	nest := func(n int) string { return strings.Repeat("l", n) + strings.Repeat("e", n) }
	for _, c := range []struct {
		name, in string
		lim      Limits
		ok       bool
	}{
		{"depth at the default", nest(64), Limits{}, true},
		{"depth past the default", nest(65), Limits{}, false},
		{"depth as set", nest(3), Limits{Depth: 3}, true},
		{"depth past what is set", nest(4), Limits{Depth: 3}, false},
		{"siblings do not add up", "l" + strings.Repeat("le", 100) + "e", Limits{Depth: 2}, true},
		{"depth at the most", nest(1024), Limits{Depth: math.MaxInt}, true},
		{"depth past the most", nest(1025), Limits{Depth: math.MaxInt}, false},
		{"tokens", "li1e1:ae", Limits{Tokens: 3}, true},
		{"too many tokens", "li1e1:ae", Limits{Tokens: 2}, false},
		{"keys are tokens", "d1:ai1ee", Limits{Tokens: 2}, false},
		{"string length", "3:abc", Limits{StringLen: 3}, true},
		{"string too long", "4:abcd", Limits{StringLen: 3}, false},
		{"huge length", "99999999999999999999999:", Limits{}, false},
		{"huge length without a limit", "99999999999999999999999:", Limits{StringLen: math.MaxInt}, false},
		{"length that wraps around", "18446744073709551617:a", Limits{StringLen: math.MaxInt}, false},
		{"length beyond the input", "1000:abc", Limits{}, false},
		{"integers of any size", "li9223372036854775808ei-9223372036854775809ei" + strings.Repeat("9", 5000) + "ee", Limits{BigInts: true}, true},
		{"integers of any size in one form", "i00000000000000000000e", Limits{BigInts: true}, false},
		{"integers of any form", "li00eie" + "i-0ei1.5ei0x1Fei--ei 1eie" + "i" + strings.Repeat("9", 5000) + "ee", Limits{InvalidInts: true}, true},
		{"integers of any form with an end", "li1x", Limits{InvalidInts: true}, false},
		{"integers of any size with an end", "i99999999999999999999", Limits{BigInts: true}, false},
	} {
		if _, _, err := Parse([]byte(c.in), c.lim); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestDeepNestingIsRejected(t *testing.T) {
	for _, unit := range []string{"l", "d1:a", "d0:l"} {
		in := []byte(strings.Repeat(unit, 100_000))
		if _, _, err := Parse(in, Limits{Depth: math.MaxInt}); err == nil {
			t.Error(unit)
		}
	}
}

func TestAccessors(t *testing.T) {
	v, err := ParseStrict([]byte("d4:dictd1:ai-7eee"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := v.Get("dict").Get("a").Int(); !ok || n != -7 {
		t.Error(n, ok)
	}
	v, err = ParseStrict([]byte("d0:le1:ai-9223372036854775808e1:bl1:x2:yyi3edee1:ci42ee"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := v.Get("a").Int(); !ok || n != math.MinInt64 {
		t.Error(n, ok)
	}
	if n, ok := v.Get("c").Int(); !ok || n != 42 {
		t.Error(n, ok)
	}
	for _, s := range []string{"i9223372036854775808e", "i-9223372036854775809e", "i18446744073709551617e", "i99999999999999999999e"} {
		v, _, err := Parse([]byte(s), Limits{BigInts: true})
		if n, ok := v.Int(); err != nil || ok || n != 0 || string(v) != s {
			t.Errorf("%q is %d, %v, %v", s, n, ok, err)
		}
	}
	for _, s := range []string{"i9223372036854775808e", "i00e", "i-0e", "i-e", "ie", "i1.5e", "i1-e", "i 1e"} {
		v, _, err := Parse([]byte(s), Limits{InvalidInts: true})
		if n, ok := v.Int(); err != nil || ok || n != 0 || string(v) != s {
			t.Errorf("%q is %d, %v, %v", s, n, ok, err)
		}
	}
	if v, _, err := Parse([]byte("i-42e"), Limits{InvalidInts: true}); err != nil || string(v) != "i-42e" {
		t.Error(v, err)
	}
	var kinds []Kind
	for e := range v.Get("b").List() {
		kinds = append(kinds, e.Kind())
	}
	if !slices.Equal(kinds, []Kind{String, String, Int, Dict}) {
		t.Error(kinds)
	}
	var keys []string
	for k := range v.Dict() {
		keys = append(keys, string(k))
		if string(k) == "b" {
			break
		}
	}
	if !slices.Equal(keys, []string{"", "a", "b"}) {
		t.Error(keys)
	}
	if v.Len() != 4 || v.Get("b").Len() != 4 || v.Get("").Len() != 0 || v.Get("a").Len() != 0 || Value("2:yy").Len() != 2 {
		t.Error("lengths")
	}
	if v.Get("zz") != nil || v.Get("a").Get("x") != nil || Value(nil).Get("x") != nil || Value(nil).Kind() != None {
		t.Error("absent values")
	}
	if _, ok := v.Bytes(); ok {
		t.Error("a dictionary is a string")
	}
	if _, ok := v.Int(); ok {
		t.Error("a dictionary is an integer")
	}
	for range Value("i1e").List() {
		t.Error("an integer has elements")
	}
	for range Value("le").Dict() {
		t.Error("a list has keys")
	}
}

func TestAppendingToAStringDoesNotChangeTheInput(t *testing.T) {
	in := []byte("d1:a1:b1:ci1ee")
	v, _, _ := Parse(in, Limits{})
	s, _ := v.Get("a").Bytes()
	_ = append(s, "overwritten"...)
	_ = append(v.Get("a"), "overwritten"...)
	if string(in) != "d1:a1:b1:ci1ee" {
		t.Errorf("%q", in)
	}
}

// reencode encodes v from the results of the accessors, with sorted keys.
func reencode(dst []byte, v Value) []byte {
	switch v.Kind() {
	case Int:
		n, _ := v.Int()
		return AppendInt(dst, n)
	case String:
		s, _ := v.Bytes()
		return AppendBytes(dst, s)
	case List:
		dst = append(dst, 'l')
		for e := range v.List() {
			dst = reencode(dst, e)
		}
	case Dict:
		dst = append(dst, 'd')
		type pair struct {
			k []byte
			v Value
		}
		var ps []pair
		for k, e := range v.Dict() {
			ps = append(ps, pair{k, e})
		}
		sort.SliceStable(ps, func(i, j int) bool { return bytes.Compare(ps[i].k, ps[j].k) < 0 })
		for _, p := range ps {
			dst = reencode(AppendString(dst, string(p.k)), p.v)
		}
	}
	return append(dst, 'e')
}

func genAny(depth int) *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Map(rapid.Int64(), func(n int64) any { return n }),
		rapid.Map(rapid.String(), func(s string) any { return s }),
	)
	if depth == 0 {
		return leaf
	}
	return rapid.OneOf(leaf,
		rapid.Map(rapid.SliceOfN(genAny(depth-1), 0, 4), func(l []any) any { return append([]any{}, l...) }),
		rapid.Map(rapid.MapOfN(rapid.String(), genAny(depth-1), 0, 4), func(m map[string]any) any { return m }),
	)
}

func TestValuesOfANaiveEncoderAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := genAny(4).Draw(t, "value")
		b, err := naive.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		v, err := ParseStrict(b, Limits{})
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if again := reencode(nil, v); !bytes.Equal(again, b) {
			t.Fatalf("%q becomes %q", b, again)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, _, err := Parse(b[:cut], Limits{}); err == nil {
			t.Fatalf("%q is accepted", b[:cut])
		}
	})
}

func TestScannerReadsFields(t *testing.T) {
	s := NewScanner([]byte("d1:ai1e1:bl1:xi2ee1:cdee!"), Limits{})
	if !s.OpenDict() || !s.More() {
		t.Fatal(s.Err())
	}
	if k, ok := s.Bytes(); !ok || string(k) != "a" || s.Kind() != Int {
		t.Fatal(k, ok)
	}
	if n, ok := s.Int(); !ok || n != 1 || !s.More() {
		t.Fatal(n, ok)
	}
	s.Bytes()
	if !s.OpenList() || !s.More() {
		t.Fatal(s.Err())
	}
	s.Bytes()
	s.Int()
	if s.More() || s.Err() != nil || !s.More() {
		t.Fatal(s.Err())
	}
	s.Bytes()
	if v, ok := s.Value(); !ok || string(v) != "de" || s.More() || s.Err() != nil || s.Offset() != 24 {
		t.Fatal(v, ok, s.Err())
	}
	if _, ok := s.Value(); ok || s.Err() == nil {
		t.Fatal("a stray byte is accepted")
	}
	if s.OpenDict() || s.More() || s.Kind() != None {
		t.Fatal("the scanner continues after an error")
	}
	var zero Scanner
	if _, ok := zero.Value(); ok || zero.Err() == nil {
		t.Fatal("the zero Scanner has a value")
	}
}

const findNode = "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe"

func TestNoAllocations(t *testing.T) {
	in := []byte(findNode)
	sum := 0
	if n := testing.AllocsPerRun(100, func() {
		v, _, _ := Parse(in, Limits{})
		id, _ := v.Get("a").Get("id").Bytes()
		sum += len(id)
		for k, e := range v.Dict() {
			sum += len(k) + e.Len()
		}
		if _, err := ParseStrict(in, Limits{}); err != nil {
			sum++
		}
	}); n != 0 {
		t.Error(n, "allocations")
	}
}

func BenchmarkParseFindNode(b *testing.B) {
	in := []byte(findNode)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Parse(in, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	v, _, _ := Parse([]byte(findNode), Limits{})
	b.ReportAllocs()
	for b.Loop() {
		if v.Get("a").Get("target") == nil {
			b.Fatal()
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "i0e", "i-0e", "03:abc", "le", "de", findNode, "d1:bi1e1:ai2ee", strings.Repeat("l", 100_000),
		"d4:infod6:lengthi1e4:name1:a12:piece lengthi16384e6:pieces20:abcdefghij0123456789ee", "i9223372036854775808e", "99999999999999999999:"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, err := Parse(b, Limits{})
		if err != nil {
			if _, ok := err.(*SyntaxError); !ok || v != nil {
				t.Fatal(v, err)
			}
			if _, err := ParseStrict(b, Limits{}); err == nil {
				t.Fatal("ParseStrict accepts what Parse rejects")
			}
			return
		}
		if !bytes.Equal(append(v[:len(v):len(v)], rest...), b) {
			t.Fatal("bytes are missing")
		}
		again := reencode(nil, v)
		if _, err := ParseStrict(b, Limits{}); err == nil {
			if !bytes.Equal(again, b) {
				t.Fatalf("canonical %q becomes %q", b, again)
			}
			var x any
			if err := naive.Unmarshal(b, &x); err != nil {
				t.Fatalf("the naive implementation rejects %q: %v", b, err)
			}
			twin, err := naive.Marshal(x)
			if err != nil || !bytes.Equal(twin, b) {
				t.Fatalf("the naive implementation encodes %q for %q: %v", twin, b, err)
			}
		} else if len(rest) == 0 && len(again) != len(v) {
			t.Fatal("canonical numbers change their length")
		}
	})
}
