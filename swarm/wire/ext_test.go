package wire

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var sameAddr = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

// Handshakes of real clients, reduced to the relevant fields.
const (
	libtorrentShake = "d12:complete_agoi-1e1:md11:lt_donthavei7e10:share_modei8e11:upload_onlyi3e12:ut_holepunchi4e" +
		"11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e4:reqqi2000e11:upload_onlyi1e1:v16:libtorrent/2.0.96:yourip4:\x7f\x00\x00\x01e"
	transmissionShake = "d1:ei1e1:md11:ut_metadatai3e6:ut_pexi1ee13:metadata_sizei0e1:pi51413e4:reqqi512e11:upload_onlyi0e1:v18:Transmission 4.0.06:yourip4:\x0a\x00\x00\x01e"
	aria2Shake        = "d1:md11:ut_metadatai9e6:ut_pexi8ee13:metadata_sizei100e1:pi6900e1:v12:aria2/1.37.0e"
)

func TestParseExtHandshake(t *testing.T) {
	for _, tt := range []struct {
		name, payload string
		want          ExtHandshake
	}{
		{"BEP 10: all items are optional", "de", ExtHandshake{}},
		{"BEP 10: unknown names are ignored", "d1:md6:XX_newi4ee2:zz3:abce", ExtHandshake{}},
		{"libtorrent", libtorrentShake, ExtHandshake{
			UtMetadata: 2, UtPex: 1, LtDontHave: 7, UploadOnlyID: 3, HolePunch: 4,
			Named:        HasMetadata | HasPex | HasDontHave | HasUploadOnly | HasHolePunch,
			MetadataSize: 31235, Version: "libtorrent/2.0.9", Port: 6881, Reqq: 2000, UploadOnly: true, UploadKnown: true,
			YourIP: netip.MustParseAddr("127.0.0.1"),
		}},
		{"transmission without metadata", transmissionShake, ExtHandshake{
			UtMetadata: 3, UtPex: 1, Named: HasMetadata | HasPex, Version: "Transmission 4.0.0", Port: 51413, Reqq: 512,
			UploadKnown: true, YourIP: netip.MustParseAddr("10.0.0.1"),
		}},
		{"aria2", aria2Shake, ExtHandshake{
			UtMetadata: 9, UtPex: 8, Named: HasMetadata | HasPex, MetadataSize: 100, Version: "aria2/1.37.0", Port: 6900,
		}},
		{"BEP 10: yourip may be IPv6, ipv4 and ipv6 are compact", "d4:ipv44:\x01\x02\x03\x044:ipv616:\x20\x01\x0d\xb8" + strings.Repeat("\x01", 12) +
			"6:yourip16:\x20\x01\x0d\xb8" + strings.Repeat("\x02", 12) + "e", ExtHandshake{
			IPv4:   netip.MustParseAddr("1.2.3.4"),
			IPv6:   netip.MustParseAddr("2001:db8:101:101:101:101:101:101"),
			YourIP: netip.MustParseAddr("2001:db8:202:202:202:202:202:202"),
		}},
		{"a mapped yourip is IPv4, and no ipv6", "d4:ipv616:" + strings.Repeat("\x00", 10) + "\xff\xff\x01\x02\x03\x04" +
			"6:yourip16:" + strings.Repeat("\x00", 10) + "\xff\xff\x01\x02\x03\x04e",
			ExtHandshake{YourIP: netip.MustParseAddr("1.2.3.4")}},
		{"addresses of a wrong length or all zero are absent", "d4:ipv45:\x01\x02\x03\x04\x054:ipv60:6:yourip4:\x00\x00\x00\x00e", ExtHandshake{}},
		{"keys out of order, as some send them", "d1:pi80e1:md6:ut_pexi1eee", ExtHandshake{Port: 80, UtPex: 1, Named: HasPex}},
		{"bytes after the dictionary", "d1:pi80eeXYZ", ExtHandshake{Port: 80}},
		{"BEP 10: 0 switches an extension off", "d1:md6:ut_pexi0eee", ExtHandshake{Named: HasPex}},
		{"ids that are not bytes", "d1:md11:lt_donthave1:a11:ut_metadatai256e6:ut_pexi-1eee", ExtHandshake{}},
		{"wrong types", "d4:ipv4i1e4:ipv6le1:mi5e13:metadata_size1:91:p2:804:reqqle11:upload_only1:11:vi5e6:youripdee", ExtHandshake{}},
		{"negative numbers", "d13:metadata_sizei-1e1:pi-80e4:reqqi-1ee", ExtHandshake{}},
		{"huge numbers", "d13:metadata_sizei9223372036854775807e1:pi65536e4:reqqi9223372036854775807ee",
			ExtHandshake{MetadataSize: 1<<63 - 1, Reqq: MaxReqq}},
		{"a name is cleaned for terminals", "d1:v12:a\x1b[31m\xffb\xe2\x80\xae\x00e", ExtHandshake{Version: "a[31mb"}},
		{"a long name is truncated", "d1:v150:" + strings.Repeat("ü", 75) + "e", ExtHandshake{Version: strings.Repeat("ü", 50)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseExtHandshake([]byte(tt.payload))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got, sameAddr); d != "" {
				t.Error(d)
			}
		})
	}
	for name, tt := range map[string]struct {
		payload string
		kind    Kind
	}{
		"nothing":      {"", BadBencode},
		"no bencode":   {"hello", BadBencode},
		"a list":       {"le", BadBencode},
		"cut short":    {libtorrentShake[:100], BadBencode},
		"deep nesting": {"d1:m" + strings.Repeat("l", 10000), BadBencode},
		"many tokens":  {"d1:ml" + strings.Repeat("i1e", 5000) + "ee", BadBencode},
		"too long":     {"d1:v40000:" + strings.Repeat("x", 40000) + "e", TooLong},
	} {
		if _, err := ParseExtHandshake([]byte(tt.payload)); kindOf(err) != tt.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// BEP 10: m is additive, changes suffice, and 0 disables an extension.
func TestExtHandshakesMerge(t *testing.T) {
	h := ExtHandshake{UtMetadata: 2, UtPex: 1, Named: HasMetadata | HasPex, Version: "x 1", Port: 80, UploadKnown: true}
	later, err := ParseExtHandshake([]byte("d1:md11:lt_donthavei7e6:ut_pexi0ee13:metadata_sizei99e11:upload_onlyi1ee"))
	if err != nil {
		t.Fatal(err)
	}
	h.Merge(later)
	want := ExtHandshake{UtMetadata: 2, LtDontHave: 7, Named: HasMetadata | HasPex | HasDontHave, MetadataSize: 99,
		Version: "x 1", Port: 80, UploadOnly: true, UploadKnown: true}
	if d := cmp.Diff(want, h, sameAddr); d != "" {
		t.Error(d)
	}
}

func anyIP(t *rapid.T, name string, lens ...int) netip.Addr {
	n := rapid.SampledFrom(append(lens, 0)).Draw(t, name+" length")
	a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.ByteRange(1, 255), n, n).Draw(t, name))
	return a
}

func TestParseExtHandshakeIsTheInverseOfAppend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := func(name string) uint8 { return rapid.Byte().Draw(t, name) }
		h := ExtHandshake{
			UtMetadata: id("metadata"), UtPex: id("pex"), LtDontHave: id("donthave"), UploadOnlyID: id("upload"), HolePunch: id("punch"), DialBack: id("dial back"), Item: id("item"),
			Named:        HasMetadata | HasPex | HasDontHave | HasUploadOnly | HasHolePunch | HasDialBack | HasItem,
			MetadataSize: rapid.Int64Range(0, 1<<40).Draw(t, "size"),
			Version:      rapid.StringMatching(`[a-zäß /0-9.]{0,40}`).Draw(t, "version"),
			Port:         rapid.Uint16().Draw(t, "port"),
			Reqq:         rapid.IntRange(0, MaxReqq).Draw(t, "reqq"),
			YourIP:       anyIP(t, "yourip", 4, 16),
			IPv4:         anyIP(t, "ipv4", 4),
			IPv6:         anyIP(t, "ipv6", 16),
			UploadKnown:  rapid.Bool().Draw(t, "known"),
		}
		h.UploadOnly = h.UploadKnown && rapid.Bool().Draw(t, "upload only")
		got, err := ParseExtHandshake(AppendExtHandshake(nil, h))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(h, got, sameAddr); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzParseExtHandshake(f *testing.F) {
	for _, s := range []string{"de", libtorrentShake, transmissionShake, aria2Shake, "d1:mi5ee", "d1:v3:\xff\x1b\x00e"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseExtHandshake(b)
		if err != nil {
			if kindOf(err) == 0 {
				t.Fatalf("not an *Error: %v", err)
			}
			return
		}
		// What was parsed is written canonically, and parsed again.
		again, err := ParseExtHandshake(AppendExtHandshake(nil, h))
		if err != nil || again != h {
			t.Fatalf("%+v came back as %+v, %v", h, again, err)
		}
	})
}

func BenchmarkParseExtHandshake(b *testing.B) {
	payload := []byte(libtorrentShake)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseExtHandshake(payload); err != nil {
			b.Fatal(err)
		}
	}
}
