package wire

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"seedbed/internal/bencode"
)

func testItem(salt string, value string) *ItemMsg {
	m := &ItemMsg{Seq: 7, Value: bencode.Value(value)}
	if salt != "" {
		m.Salt = []byte(salt)
	}
	copy(m.Key[:], strings.Repeat("k", itemKeyLen))
	copy(m.Sig[:], strings.Repeat("s", itemSigLen))
	return m
}

func TestItem(t *testing.T) {
	key, sig := "1:k32:"+strings.Repeat("k", 32), "3:sig64:"+strings.Repeat("s", 64)
	value := "d2:ih20:aaaaaaaaaaaaaaaaaaaae"
	longest := "996:" + strings.Repeat("v", 996)
	for payload, want := range map[string]*ItemMsg{
		"d" + key + "3:seqi7e" + sig + "1:v" + value + "e":                                           testItem("", value),
		"d" + key + "4:salt3:abc3:seqi7e" + sig + "1:v" + value + "e":                                testItem("abc", value),
		"d" + key + "4:salt64:" + strings.Repeat("x", 64) + "3:seqi7e" + sig + "1:v" + longest + "e": testItem(strings.Repeat("x", 64), longest),
	} {
		if m, err := ParseItem([]byte(payload)); err != nil || !reflect.DeepEqual(&m, want) {
			t.Errorf("%q: %+v, %v", payload, m, err)
		}
		if b := AppendItem(nil, want); string(b) != payload {
			t.Errorf("%+v is written as %q", want, b)
		}
		if c := want.Clone(); !reflect.DeepEqual(c, want) || len(c.Value) > 0 && &c.Value[0] == &want.Value[0] {
			t.Errorf("the copy of %+v is %+v", want, c)
		}
	}
	if m, err := ParseItem([]byte("d" + key + "3:seqi7e" + sig + "1:v" + value + "1:x1:ye")); err != nil || m.Seq != 7 {
		t.Errorf("an unknown entry is not ignored: %v", err)
	}
	for payload, kind := range map[string]Kind{
		"":   BadBencode,
		"le": BadBencode,
		"d" + key + "3:seqi7e" + sig + "1:v" + value + "ex":                                                                              BadBencode,
		"d3:seqi7e" + key + sig + "1:v" + value + "e":                                                                                    BadBencode, // not in order
		"d" + key + "3:seqi7e" + sig + "1:vd1:bi1e1:ai1eee":                                                                              BadBencode, // the value is not canonical
		"d" + key + "3:seqi7e" + sig + "e":                                                                                               BadField,
		"d3:seqi7e" + sig + "1:v" + value + "e":                                                                                          BadField,
		"d1:k31:" + strings.Repeat("k", 31) + "3:seqi7e" + sig + "1:v" + value + "e":                                                     BadField,
		"d1:k33:" + strings.Repeat("k", 33) + "3:seqi7e" + sig + "1:v" + value + "e":                                                     BadField,
		"d" + key + "4:salt65:" + strings.Repeat("x", 65) + "3:seqi7e" + sig + "1:v" + value + "e":                                       BadField,
		"d" + key + "4:salti1e3:seqi7e" + sig + "1:v" + value + "e":                                                                      BadField,
		"d" + key + "3:seqi-1e" + sig + "1:v" + value + "e":                                                                              BadField,
		"d" + key + sig + "1:v" + value + "e":                                                                                            BadField,
		"d" + key + "3:seqi7e3:sig63:" + strings.Repeat("s", 63) + "1:v" + value + "e":                                                   BadField,
		"d" + key + "3:seqi7e" + sig + "1:v997:" + strings.Repeat("v", 997) + "e":                                                        BadField,
		"d" + key + "3:seqi7e" + sig + "1:v" + value + "1:x999:" + strings.Repeat("y", 999) + "1:y300:" + strings.Repeat("y", 300) + "e": TooLong,
	} {
		if _, err := ParseItem([]byte(payload)); kindOf(err) != kind {
			t.Errorf("%.60q: %v", payload, err)
		}
	}
	other := testItem("", value)
	if other.Value = bencode.Value("i1e"); other.IsSameVersion(testItem("", value)) || !other.IsSameVersion(testItem("", "i1e")) {
		t.Error("IsSameVersion does not compare the values")
	}
}

func FuzzParseItem(f *testing.F) {
	f.Add(AppendItem(nil, testItem("", "d2:ih20:aaaaaaaaaaaaaaaaaaaae")))
	f.Add(AppendItem(nil, testItem("salt", "i1e")))
	f.Add([]byte("d1:k0:e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseItem(b)
		if err != nil {
			return
		}
		if len(m.Value) > MaxItemValue || len(m.Salt) > MaxItemSalt || m.Seq < 0 {
			t.Fatalf("beyond the limits: %+v", m)
		}
		again, err := ParseItem(AppendItem(nil, &m))
		if err != nil || again.Key != m.Key || again.Sig != m.Sig || again.Seq != m.Seq || !bytes.Equal(again.Salt, m.Salt) || !bytes.Equal(again.Value, m.Value) {
			t.Fatalf("%+v becomes %+v, %v", m, again, err)
		}
	})
}
