package pex

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var sameAddr = cmpopts.EquateComparable(netip.AddrPort{})

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func kindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

const (
	c1 = "\x01\x02\x03\x04\x1a\xe1" // 1.2.3.4:6881
	c2 = "\x05\x06\x07\x08\x00\x50" // 5.6.7.8:80
	c6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1a\xe1"
)

func TestParse(t *testing.T) {
	a1, a2, a6 := addr("1.2.3.4:6881"), addr("5.6.7.8:80"), addr("[2001:db8::1]:6881")
	for _, tt := range []struct {
		name, payload string
		want          Update
		canonical     bool
	}{
		{"BEP 11: added holds IPv4 contacts in compact format, added.f one byte of flags each",
			"d5:added12:" + c1 + c2 + "7:added.f2:\x12\x00e",
			Update{Added: []Peer{{a1, Seed | Reachable}, {a2, 0}}}, true},
		{"BEP 11: added6 holds IPv6 contacts, added6.f their flags",
			"d6:added618:" + c6 + "8:added6.f1:\x0de",
			Update{Added: []Peer{{a6, PrefersEncryption | UTP | Holepunch}}}, true},
		{"BEP 11: dropped and dropped6 hold contacts",
			"d7:dropped6:" + c1 + "8:dropped618:" + c6 + "e",
			Update{Dropped: []netip.AddrPort{a1, a6}}, true},
		{"all of them",
			"d5:added6:" + c2 + "7:added.f1:\x026:added618:" + c6 + "8:added6.f1:\x007:dropped6:" + c1 + "e",
			Update{Added: []Peer{{a2, Seed}, {a6, 0}}, Dropped: []netip.AddrPort{a1}}, true},
		{"BEP 11: flags are optional", "d5:added6:" + c1 + "e", Update{Added: []Peer{{a1, 0}}}, false},
		{"BEP 11: other bits are reserved", "d5:added6:" + c1 + "7:added.f1:\xffe", Update{Added: []Peer{{a1, known}}}, false},
		{"flags of a wrong number are none", "d5:added12:" + c1 + c2 + "7:added.f1:\x02e", Update{Added: []Peer{{a1, 0}, {a2, 0}}}, false},
		{"bytes that make no contact", "d5:added8:" + c1 + "xx7:added.f1:\x02e", Update{Added: []Peer{{a1, Seed}}}, false},
		{"libtorrent's empty fields", "d5:added0:7:added.f0:6:added60:8:added6.f0:7:dropped0:8:dropped60:e", Update{}, false},
		{"none of the fields", "de", Update{}, false},
		{"wrong types", "d5:addedi5e7:added.fle7:droppeddee", Update{}, false},
		{"a mapped IPv6 contact is IPv4", "d6:added618:" + strings.Repeat("\x00", 10) + "\xff\xff" + c1 + "e", Update{Added: []Peer{{a1, 0}}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.payload))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got, sameAddr); d != "" {
				t.Error(d)
			}
			if b := Append(nil, tt.want); tt.canonical && string(b) != tt.payload {
				t.Errorf("written as %q", b)
			}
		})
	}
	for name, tt := range map[string]struct {
		payload string
		kind    Kind
	}{
		"nothing":         {"", BadBencode},
		"a list":          {"le", BadBencode},
		"cut short":       {"d5:added12:" + c1, BadBencode},
		"deep":            {strings.Repeat("l", 9999), BadBencode},
		"longer than any": {"d5:added40002:" + strings.Repeat(c1, 6667) + "e", TooLong},
	} {
		if _, err := Parse([]byte(tt.payload)); kindOf(err) != tt.kind || len(err.Error()) < 10 {
			t.Errorf("%s: %v", name, err)
		}
	}
	u, err := Parse([]byte("d5:added6000:" + strings.Repeat(c1, 1000) + "6:added618:" + c6 + "7:dropped6000:" + strings.Repeat(c1, 1000) + "e"))
	if err != nil || len(u.Added) != MaxFirst || len(u.Dropped) != MaxFirst {
		t.Errorf("a long list: %d, %d, %v", len(u.Added), len(u.Dropped), err)
	}
	if b := Append(nil, Update{}); string(b) != "d5:added0:7:added.f0:e" {
		t.Errorf("BEP 11: messages must contain at least one of the fields: %q", b)
	}
}

var anyAddr = rapid.Custom(func(t *rapid.T) netip.AddrPort {
	n := rapid.SampledFrom([]int{4, 16}).Draw(t, "length")
	ip, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "ip"))
	return netip.AddrPortFrom(ip.Unmap(), rapid.Uint16().Draw(t, "port"))
})

var anyPeer = rapid.Custom(func(t *rapid.T) Peer {
	return Peer{anyAddr.Draw(t, "addr"), Flags(rapid.ByteRange(0, byte(known)).Draw(t, "flags"))}
})

func TestParseIsTheInverseOfAppend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := Update{
			Added:   rapid.SliceOfN(anyPeer, 0, 60).Draw(t, "added"),
			Dropped: rapid.SliceOfN(anyAddr, 0, 60).Draw(t, "dropped"),
		}
		got, err := Parse(Append(nil, u))
		if err != nil {
			t.Fatal(err)
		}
		// The two families are in sequence.
		var want Update
		for f := range 2 {
			for _, p := range u.Added {
				if family(p.Addr) == f {
					want.Added = append(want.Added, p)
				}
			}
			for _, a := range u.Dropped {
				if family(a) == f {
					want.Dropped = append(want.Dropped, a)
				}
			}
		}
		if d := cmp.Diff(want, got, sameAddr); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"de", "d5:added12:" + c1 + c2 + "7:added.f2:\x12\x00e", "d6:added618:" + c6 + "8:added6.f1:\x0de",
		"d7:dropped6:" + c1 + "8:dropped618:" + c6 + "e", "d5:added8:" + c1 + "xx7:added.f1:\x02e",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := Parse(b)
		if err != nil {
			if kindOf(err) == 0 {
				t.Fatalf("untyped %v", err)
			}
			return
		}
		once := Append(nil, u)
		again, err := Parse(once)
		if err != nil {
			t.Fatal(err)
		}
		if twice := Append(nil, again); !bytes.Equal(once, twice) {
			t.Fatalf("%q came back as %q", once, twice)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var u Update
	for i := range MaxEntries {
		u.Added = append(u.Added, Peer{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 2, 3, byte(i)}), 6881)})
	}
	payload := Append(nil, u)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(payload); err != nil {
			b.Fatal(err)
		}
	}
}
