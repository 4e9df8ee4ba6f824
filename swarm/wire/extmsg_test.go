package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseMetadata(t *testing.T) {
	block := strings.Repeat("x", MetadataBlock)
	for _, tt := range []struct {
		name, payload string
		want          MetadataMsg
		canonical     bool
	}{
		// The examples of BEP 9.
		{"BEP 9: request", "d8:msg_typei0e5:piecei0ee", MetadataMsg{Type: MetadataRequest}, true},
		{"BEP 9: data", "d8:msg_typei1e5:piecei0e10:total_sizei34256ee" + block,
			MetadataMsg{Type: MetadataData, TotalSize: 34256, Data: []byte(block)}, true},
		{"BEP 9: reject", "d8:msg_typei2e5:piecei7ee", MetadataMsg{Type: MetadataReject, Piece: 7}, true},
		{"BEP 9: the last block may be shorter", "d8:msg_typei1e5:piecei2e10:total_sizei32769eex",
			MetadataMsg{Type: MetadataData, Piece: 2, TotalSize: 32769, Data: []byte("x")}, true},
		{"BEP 9: unrecognized message ids are to be ignored", "d8:msg_typei9ee", MetadataMsg{Type: 9}, false},
		{"total_size left out", "d8:msg_typei1e5:piecei0eex", MetadataMsg{Type: MetadataData, Data: []byte("x")}, false},
		{"a request with more keys", "d3:fooli1ei2ee8:msg_typei0e5:piecei3ee", MetadataMsg{Piece: 3}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseMetadata([]byte(tt.payload))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if b := AppendMetadata(nil, tt.want); tt.canonical && string(b) != tt.payload {
				t.Errorf("written as %.60q", b)
			}
		})
	}
	for name, tt := range map[string]struct {
		payload string
		kind    Kind
	}{
		"nothing":              {"", BadBencode},
		"no dictionary":        {"i5e", BadBencode},
		"cut short":            {"d8:msg_typei1e5:piecei0e10:total_size", BadBencode},
		"deep":                 {strings.Repeat("l", 9000), BadBencode},
		"no msg_type":          {"d5:piecei0ee", BadField},
		"msg_type a string":    {"d8:msg_type1:05:piecei0ee", BadField},
		"msg_type negative":    {"d8:msg_typei-1e5:piecei0ee", BadField},
		"no piece":             {"d8:msg_typei0ee", BadField},
		"piece negative":       {"d8:msg_typei0e5:piecei-1ee", BadField},
		"piece huge":           {"d8:msg_typei0e5:piecei4294967296ee", BadField},
		"total_size negative":  {"d8:msg_typei1e5:piecei0e10:total_sizei-5eex", BadField},
		"data of no bytes":     {"d8:msg_typei1e5:piecei0e10:total_sizei5ee", BadLength},
		"data of a byte more":  {"d8:msg_typei1e5:piecei0e10:total_sizei99999ee" + block + "x", BadLength},
		"longer than any is":   {"d8:msg_typei1e5:piecei0e10:total_sizei99999ee" + block + block, TooLong},
		"a dictionary of junk": {"d1:x4:aaaa" + strings.Repeat("1:yi0e", 90) + "e", BadBencode},
	} {
		if m, err := ParseMetadata([]byte(tt.payload)); kindOf(err) != tt.kind {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	payload := AppendMetadata(nil, MetadataMsg{Type: MetadataData, TotalSize: 1 << 20, Data: []byte(block)})
	if n := testing.AllocsPerRun(100, func() { ParseMetadata(payload) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseMetadata(f *testing.F) {
	for _, s := range []string{"d8:msg_typei0e5:piecei0ee", "d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxx", "d8:msg_typei2e5:piecei7ee"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMetadata(b)
		if err != nil {
			if kindOf(err) == 0 {
				t.Fatalf("not an *Error: %v", err)
			}
			return
		}
		if m.Type > MetadataReject {
			return
		}
		again, err := ParseMetadata(AppendMetadata(nil, m))
		if err != nil || again.Type != m.Type || again.Piece != m.Piece || again.TotalSize != m.TotalSize || !bytes.Equal(again.Data, m.Data) {
			t.Fatalf("%+v came back as %+v, %v", m, again, err)
		}
	})
}

func TestDontHaveOfBEP54(t *testing.T) {
	b := AppendDontHave(nil, 0x01020304)
	if !bytes.Equal(b, []byte{1, 2, 3, 4}) {
		t.Errorf("%x", b)
	}
	if p, err := ParseDontHave(b); p != 0x01020304 || err != nil {
		t.Error(p, err)
	}
	for _, b := range [][]byte{nil, b[:3], append(b, 0)} {
		if _, err := ParseDontHave(b); kindOf(err) != BadLength {
			t.Errorf("%x: %v", b, err)
		}
	}
}

func TestUploadOnlyOfBEP21(t *testing.T) {
	for _, on := range []bool{false, true} {
		if got, err := ParseUploadOnly(AppendUploadOnly(nil, on)); got != on || err != nil {
			t.Error(on, got, err)
		}
	}
	for _, b := range []string{"", "\x01\x00"} {
		if _, err := ParseUploadOnly([]byte(b)); kindOf(err) != BadLength {
			t.Errorf("%q: %v", b, err)
		}
	}
}
