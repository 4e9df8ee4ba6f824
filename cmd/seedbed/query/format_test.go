package query

import (
	"strings"
	"testing"

	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

func TestRender(t *testing.T) {
	for in, want := range map[string]string{
		"5:hello":                 `"hello"`,
		"2:\xff\x1b":              "0xff1b",
		"4:\x1b[2m":               `"\x1b[2m"`,
		"i-7e":                    "-7",
		"d1:ali1e1:xe1:bd1:c0:ee": `{"a": [1, "x"], "b": {"c": ""}}`,
		"le":                      "[]",
	} {
		if got := Render(bencode.Value(in)); got != want {
			t.Errorf("%q is %s, want %s", in, got, want)
		}
	}
}

func TestOneBitIsSingularAndAligned(t *testing.T) {
	for bits, want := range map[string]string{
		"0000000000000000000000000000000000000001": "  159 bits  ",
		"4000000000000000000000000000000000000000": "    1 bit   ",
		"8000000000000000000000000000000000000000": "    0 bits  ",
	} {
		x, err := id.ParseHex(bits)
		if err != nil {
			t.Fatal(err)
		}
		if row := ContactRow(&dht.Contact{ID: x}, id.ID{}, ""); !strings.HasPrefix(row, want+x.String()) {
			t.Errorf("%q", row)
		}
	}
}
