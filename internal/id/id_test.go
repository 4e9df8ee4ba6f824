package id

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func draw(t *rapid.T, name string) (v ID) {
	copy(v[:], rapid.SliceOfN(rapid.Byte(), Len, Len).Draw(t, name))
	return v
}

// BEP 5: "the distance metric is XOR and the result is interpreted as an unsigned
// integer". The test compares with math/big.
func TestDistanceIsXorAsUnsignedInteger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, x, y := draw(t, "a"), draw(t, "x"), draw(t, "y")
		num := func(v ID) *big.Int { return new(big.Int).SetBytes(v[:]) }
		dx, dy := new(big.Int).Xor(num(a), num(x)), new(big.Int).Xor(num(a), num(y))
		if got := a.CmpDistance(x, y); got != dx.Cmp(dy) {
			t.Fatalf("CmpDistance = %d, want %d", got, dx.Cmp(dy))
		}
		if a.Xor(x).Cmp(a.Xor(y)) != dx.Cmp(dy) || num(a.Xor(x)).Cmp(dx) != 0 {
			t.Fatal("Xor and CmpDistance disagree")
		}
		if got, want := a.CommonPrefix(x), 160-dx.BitLen(); got != want {
			t.Fatalf("CommonPrefix = %d, want %d", got, want)
		}
		if p := a.CommonPrefix(x); p < 160 && a.Bit(p) == x.Bit(p) {
			t.Fatalf("bit %d should differ", p)
		}
	})
}

func TestTextForms(t *testing.T) {
	const hexForm = "c9e15763f722f23e98a29decdfae341b98d53056"
	v, err := ParseHex(strings.ToUpper(hexForm))
	if err != nil || v.String() != hexForm {
		t.Fatalf("%v, %v", v, err)
	}
	b, err := ParseBase32("zhqvoy7xelzd5gfctxwn7lrudomnkmcw")
	if err != nil || b != v {
		t.Fatalf("base32: %v, %v", b, err)
	}
	for _, bad := range []string{"", hexForm[1:], hexForm + "00", "g" + hexForm[1:]} {
		if _, err := ParseHex(bad); err == nil {
			t.Errorf("ParseHex(%q) passed", bad)
		}
	}
	for _, bad := range []string{"", "zhqvoy7xelzd5gfctxwn7lrudomnkmc1", "zhqvoy7xelzd5gfctxwn7lrudomnkmc=", "zhqvoy7xelzd5gfctxwn7lrudomnkm\n\n"} {
		if _, err := ParseBase32(bad); err == nil {
			t.Errorf("ParseBase32(%q) passed", bad)
		}
	}
	if _, err := ParseHex32(hexForm); err == nil {
		t.Error("ParseHex32 took 40 digits")
	}
	long := hexForm + "0123456789abcdef01234567"
	if v, err := ParseHex32(long); err != nil || v.String() != long {
		t.Errorf("%v, %v", v, err)
	}
}
