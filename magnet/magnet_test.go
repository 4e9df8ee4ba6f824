package magnet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"seedbed/internal/id"
	"seedbed/internal/sealed"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

const (
	hash1  = "c12fe1c06bba254a9dc9f519b335aa7c1367a88a"
	hash1b = "YEX6DQDLXISUVHOJ6UM3GNNKPQJWPKEK" // the same in base32
	hash2  = "caf1e1c30e81cb361b9ee167c4aa64228a7fa4fa9f6105232b28ad099f3a302e"
	key    = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e"
	v1     = "magnet:?xt=urn:btih:" + hash1
)

func id20(t testing.TB) id.ID {
	h, err := id.ParseHex(hash1)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func id32(t testing.TB, s string) id.ID32 {
	h, err := id.ParseHex32(s)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestLinksOfTheBEPs(t *testing.T) {
	h, h2, k := id20(t), id32(t, hash2), id32(t, key)
	with := func(change func(*Link)) Link {
		l := Link{InfoHash: h, HasInfoHash: true}
		change(&l)
		return l
	}
	bare := with(func(*Link) {})
	for _, c := range []struct {
		sentence, in string
		want         Link
	}{
		{"BEP 9: xt is the only mandatory parameter", v1, bare},
		{"BEP 9: hex encoded, for a total of 40 characters", "magnet:?xt=urn:btih:" + strings.ToUpper(hash1), bare},
		{"BEP 9: clients should also support the 32 character base32", "magnet:?xt=urn:btih:" + hash1b, bare},
		{"base32 in lower case", "magnet:?xt=urn:btih:" + strings.ToLower(hash1b), bare},
		{"BEP 9: btmh is the multihash formatted, hex encoded full infohash", "magnet:?xt=urn:btmh:1220" + hash2, Link{V2: h2, HasV2: true}},
		{"BEP 9: btmh and btih exact topics may exist in the same magnet", v1 + "&xt=urn:btmh:1220" + hash2,
			with(func(l *Link) { l.V2, l.HasV2 = h2, true })},
		{"BEP 46: xs=urn:btpk:[ Public Key (Hex) ]&s=[ Salt (Hex) ]", "magnet:?xs=urn:btpk:" + key + "&s=6e",
			Link{PublicKey: k, HasPublicKey: true, Salt: []byte("n")}},
		{"BEP 46: the salt is optional", "magnet:?xs=urn:btpk:" + key, Link{PublicKey: k, HasPublicKey: true}},
		{"the salt may stand before the key", "magnet:?s=6e&xs=urn:btpk:" + key, Link{PublicKey: k, HasPublicKey: true, Salt: []byte("n")}},
		{"a salt without a key is an unknown parameter", v1 + "&s=zz", with(func(l *Link) { l.Other = []Param{{"s", "zz"}} })},
		{"a second salt is kept", "magnet:?xs=urn:btpk:" + key + "&s=6e&s=zz",
			Link{PublicKey: k, HasPublicKey: true, Salt: []byte("n"), Other: []Param{{"s", "zz"}}}},
		{"all three identities", v1 + "&xs=urn:btpk:" + key + "&xt=urn:btmh:1220" + hash2,
			Link{InfoHash: h, HasInfoHash: true, V2: h2, HasV2: true, PublicKey: k, HasPublicKey: true}},
		{"the same topic twice is one", v1 + "&xt.2=urn:btih:" + hash1b, bare},
		{"RFC 3986: schemes are case-insensitive", "MAGNET:?XT=URN:BTIH:" + hash1, bare},
		{"whitespace around the link is dropped", " \n" + v1 + "\r\n", bare},
		{"empty parameters are dropped", v1 + "&&dn=&tr=&=&so=", bare},
		{"BEP 9: dn is the display name", v1 + "&dn=a%20b", with(func(l *Link) { l.Name = "a b" })},
		{"a plus in dn is a space", v1 + "&dn=a+b%2Bc", with(func(l *Link) { l.Name = "a b+c" })},
		{"a plus elsewhere is a plus", v1 + "&tr=http://x/?k=a+b", with(func(l *Link) { l.Trackers = []string{"http://x/?k=a+b"} })},
		{"a percent sign without digits stands for itself", v1 + "&dn=100%&tr=%4&ws=%zz%%41", with(func(l *Link) {
			l.Name, l.Trackers, l.WebSeeds = "100%", []string{"%4"}, []string{"%zz%A"}
		})},
		{"a name may be any bytes", v1 + "&dn=%ff%00/..", with(func(l *Link) { l.Name = "\xff\x00/.." })},
		{"a second name is kept", v1 + "&dn=a&dn=b", with(func(l *Link) { l.Name, l.Other = "a", []Param{{"dn", "b"}} })},
		{"xl is the length", v1 + "&xl=12345678901", with(func(l *Link) { l.Length = 12345678901 })},
		{"a length of 0 is unknown; a second one is kept", v1 + "&xl=0&xl=5&xl=6", with(func(l *Link) { l.Length, l.Other = 5, []Param{{"xl", "6"}} })},
		{"BEP 9: multiple tr entries may be included", v1 + "&tr=udp%3a%2f%2fa%3A1&tr.1=b&tr.22=c&TR=d",
			with(func(l *Link) { l.Trackers = []string{"udp://a:1", "b", "c", "d"} })},
		{"ws, xs, as and kt", v1 + "&ws=http://w/&xs=http://x/f.torrent&as=http://a/&kt=one+two%20words&kt=three", with(func(l *Link) {
			l.WebSeeds, l.ExactSources, l.Sources = []string{"http://w/"}, []string{"http://x/f.torrent"}, []string{"http://a/"}
			l.Keywords = []string{"one", "two words", "three"}
		})},
		{"BEP 9: hostname:port, ipv4-literal:port or [ipv6-literal]:port",
			v1 + "&x.pe=example.org:6881&x.pe=10.1.2.3:1&x.pe=[2001:DB8:0::1]:65535&x.pe.1=%5B%3A%3A1%5D%3A7",
			with(func(l *Link) { l.Peers = []string{"example.org:6881", "10.1.2.3:1", "[2001:db8::1]:65535", "[::1]:7"} })},
		{"BEP 53: so=0,2,4,6-8", v1 + "&so=0,2,4,6-8",
			with(func(l *Link) { l.Select = []Range{{0, 0}, {2, 2}, {4, 4}, {6, 8}} })},
		{"BEP 53: dashes mean inclusive ranges; they are sorted and merged", v1 + "&so=6-8,7-9,3,4&so=10,1-1,,2147483647",
			with(func(l *Link) { l.Select = []Range{{1, 1}, {3, 4}, {6, 10}, {1<<31 - 1, 1<<31 - 1}} })},
		{"unknown parameters are kept, in order", v1 + "&x.foo=b%26c&mt=1&x.foo=d&flag&=v&foo.1=2", with(func(l *Link) {
			l.Other = []Param{{"x.foo", "b&c"}, {"mt", "1"}, {"x.foo", "d"}, {"flag", ""}, {"", "v"}, {"foo.1", "2"}}
		})},
		{"topics of other networks may occur too", "magnet:?xt=urn:sha1:ABC&xt.1=urn:btih:" + hash1,
			with(func(l *Link) { l.Other = []Param{{"xt", "urn:sha1:ABC"}} })},
		{"names of parameters may be escaped", "magnet:?%78t=urn%3Abtih%3A" + hash1, bare},
	} {
		got, err := Parse(c.in)
		if err != nil {
			t.Errorf("%s: %v", c.sentence, err)
			continue
		}
		if d := cmp.Diff(&c.want, got, cmpopts.EquateEmpty(), cmp.AllowUnexported(sealed.Secret{})); d != "" {
			t.Errorf("%s: %s", c.sentence, d)
		}
		again, err := Parse(got.String())
		if err != nil {
			t.Errorf("%s: %s: %v", c.sentence, got, err)
			continue
		}
		if d := cmp.Diff(got, again, cmpopts.EquateEmpty(), cmp.AllowUnexported(sealed.Secret{})); d != "" {
			t.Errorf("%s: %s: %s", c.sentence, got, d)
		}
	}
}

func TestErrorsNameTheInvalidPart(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{" ", `magnet link: it is empty; a link begins with magnet:?`},
		{"http://x", `"http://x" does not begin with magnet:?`},
		{hash1[:38], `has 38 hexadecimal digits; an infohash has 40, or 64 in version 2`},
		{"magnet:xt=urn:btih:" + hash1, `does not begin with magnet:?`},
		{hash1, `"` + hash1 + `" is a bare infohash; as a link it is magnet:?xt=urn:btih:` + hash1},
		{"magnet:?", `"xt" is missing: a link needs xt=urn:btih: and the 40 hexadecimal digits of an infohash`},
		{"magnet:?dn=x", `"xt" is missing`},
		{"magnet:?xt=urn:ed2k:31D6CFE0D16AE931B73C59D7E0C089C0", `"xt=urn:ed2k:31D6CFE0D16AE931B73C59D7E0C089C0" is not a BitTorrent identifier`},
		{"magnet:?xt=urn:btih:", `"xt=urn:btih:" has 0 characters instead of 40 hexadecimal or 32 base32 digits`},
		{"magnet:?xt=urn:btih:" + hash1[1:], `has 39 characters instead of 40 hexadecimal or 32 base32 digits`},
		{"magnet:?xt=urn:btih:" + hash1[1:] + "g", `"xt=urn:btih:` + hash1[1:] + `g" has 'g' instead of a hexadecimal digit`},
		{"magnet:?xt=urn:btih:" + hash1b[1:] + "1", `has '1' instead of a base32 digit`},
		{"magnet:?xt=urn:btih:" + hash1[2:] + "é", `has 'é' instead of a hexadecimal digit`},
		{v1 + "&xt=urn:btih:" + strings.Repeat("0", 40), `names a second torrent after ` + hash1},
		{"magnet:?xt=urn:btmh:1114" + hash1, `is not a SHA-256 multihash: urn:btmh: must be followed by 1220 and 64 hexadecimal digits`},
		{"magnet:?xt=urn:btmh:1220" + hash2[1:], `has 63 characters instead of 64 hexadecimal digits after urn:btmh:1220`},
		{v1 + "&xt=urn:btmh:1220" + hash2[1:], `has 63 characters instead of 64`},
		{"magnet:?xt=urn:btmh:1220" + hash2 + "&xt=urn:btmh:1220" + key, `names a second v2 torrent`},
		{"magnet:?xs=urn:btpk:" + key[2:], `has 62 characters instead of 64 hexadecimal digits after urn:btpk:`},
		{"magnet:?xs=urn:btpk:x" + key[1:], `has 'x' instead of a hexadecimal digit after urn:btpk:`},
		{"magnet:?xs=urn:btpk:" + key + "&xs=urn:btpk:" + hash2, `names a second public key`},
		{"magnet:?xs=urn:btpk:" + key + "&s=6", `"s=6" is not a salt: it needs an even number of hexadecimal digits`},
		{"magnet:?xs=urn:btpk:" + key + "&s=" + strings.Repeat("00", 65), `is a salt of 65 bytes; at most 64 are allowed`},
		{v1 + strings.Repeat("&a=b", maxParams), `"a=b" is one parameter too many; at most 4096 are allowed`},
		{v1 + "&dn=" + strings.Repeat("x", maxDecoded), `is too long; all parameters together may have 65536 bytes`},
		{v1 + "&dn=" + strings.Repeat("x", MaxLen), `has 262208 bytes; at most 262144 are allowed`},
	} {
		l, err := Parse(c.in)
		me := (*Error)(nil)
		if l != nil || !errors.As(err, &me) {
			t.Errorf("%.200q: %v", c.in, err)
			continue
		}
		if s := err.Error(); !strings.Contains(s, c.want) || !strings.HasPrefix(s, "magnet link: ") || len(s) > 400 || strings.Contains(s, "\n") {
			t.Errorf("%.200q says\n%s\nwant\n%s", c.in, s, c.want)
		}
	}
}

// TestInvalidHintsAreIgnored checks that a link opens without the hint, and that a
// warning names it.
func TestInvalidHintsAreIgnored(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{v1 + "&xl=-1", `"xl=-1" is not a length in bytes`},
		{v1 + "&xl=9223372036854775808", `is not a length in bytes`},
		{v1 + "&xl=1k", `"xl=1k" is not a length`},
		{v1 + "&x.pe=example.org", `"x.pe=example.org" has no port: it must be HOST:PORT`},
		{v1 + "&x.pe=example.org:", `"x.pe=example.org:" has no port from 1 to 65535 after its last colon`},
		{v1 + "&x.pe=example.org:0", `has no port from 1 to 65535`},
		{v1 + "&x.pe=example.org:65536", `has no port from 1 to 65535`},
		{v1 + "&x.pe=example.org:%2B80", `has no port from 1 to 65535`},
		{v1 + "&x.pe=:80", `has no host name or address before its port`},
		{v1 + "&x.pe=a b:80", `has no host name or address before its port`},
		{v1 + "&x.pe=a/b:80", `has no host name or address`},
		{v1 + "&x.pe=" + strings.Repeat("a", 254) + ":80", `has no host name or address`},
		{v1 + "&x.pe=::1:80", `has an IPv6 address without brackets: write [address]:port`},
		{v1 + "&x.pe=[::1:80", `has no IPv6 address in its brackets`},
		{v1 + "&x.pe=[1.2.3.4]:80", `has no IPv6 address in its brackets`},
		{v1 + "&x.pe=[fe80::1%25eth0]:80", `has no IPv6 address in its brackets`},
		{v1 + "&so=1,b", `"so=b" is neither a file's number, from 0 to 2147483647, nor a range like 6-8`},
		{v1 + "&so=-3", `"so=-3" is neither`},
		{v1 + "&so=3-", `"so=3-" is neither`},
		{v1 + "&so=1-2-3", `"so=1-2-3" is neither`},
		{v1 + "&so=2147483648", `is neither`},
		{v1 + "&so=8-6", `"so=8-6" is a range that ends before it begins`},
	} {
		l, err := Parse(c.in)
		if err != nil || len(l.Warnings) != 1 {
			t.Errorf("%.200q: %v", c.in, err)
			continue
		}
		if s := l.Warnings[0].Error(); !strings.Contains(s, c.want) || !strings.HasPrefix(s, "magnet link: ") || len(s) > 400 {
			t.Errorf("%.200q says\n%s\nwant\n%s", c.in, s, c.want)
		}
		if again, err := Parse(l.String()); err != nil || again.Warnings != nil {
			t.Errorf("%s: %v, %v", l, again, err)
		}
	}
	l, err := Parse(v1 + "&so=1,b,3-2,5&x.pe=nonsense&x.pe=10.0.0.1:6881&xl=many&xl=5" + strings.Repeat("&xl=?", 2*maxWarnings))
	if err != nil || len(l.Warnings) != maxWarnings || len(l.Select) != 2 || len(l.Peers) != 1 || l.Length != 5 {
		t.Errorf("valid hints were not kept: %+v, %v", l, err)
	}
}

func TestABareInfohash(t *testing.T) {
	for in, want := range map[string]string{
		hash1: v1, " " + strings.ToUpper(hash1) + "\n": v1, hash1b: v1, "urn:btih:" + hash1: v1, v1: v1,
		hash2: "magnet:?xt=urn:btmh:1220" + hash2, "1220" + hash2: "magnet:?xt=urn:btmh:1220" + hash2, "urn:btmh:1220" + hash2: "magnet:?xt=urn:btmh:1220" + hash2,
	} {
		l, err := ParseBare(in)
		if err != nil || l.String() != want {
			t.Errorf("%q: %v, %v", in, l, err)
		}
		if in != v1 && !IsBare(in) {
			t.Errorf("%q is not a bare infohash", in)
		}
	}
	for _, in := range []string{"", "x", hash1[1:], hash1[1:] + "g", "1114" + hash2, v1, "film.torrent"} {
		if IsBare(in) {
			t.Errorf("%q is a bare infohash", in)
		}
	}
}

func TestOpenable(t *testing.T) {
	for in, want := range map[string]string{
		v1: "",
		v1 + "&xt=urn:btmh:1220" + hash2 + "&xs=urn:btpk:" + key: "",
		"magnet:?xt=urn:btmh:1220" + hash2:                       "",
		"magnet:?xs=urn:btpk:" + key:                             "names a publication (BEP 46), not a torrent",
	} {
		l, err := Parse(in)
		if err != nil {
			t.Error(err)
			continue
		}
		err = l.Openable()
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", in, err)
			}
			continue
		}
		if me := (*Error)(nil); !errors.As(err, &me) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// BEP 52: "For some uses as torrent identifier it is truncated to 20 bytes."
func TestHashOfALink(t *testing.T) {
	for in, want := range map[string]string{
		v1: hash1, "magnet:?xt=urn:btmh:1220" + hash2: hash2[:40], v1 + "&xt=urn:btmh:1220" + hash2: hash1,
	} {
		l, err := Parse(in)
		if err != nil || l.Hash().String() != want {
			t.Errorf("%s: %v, %v", in, l, err)
		}
	}
}

func TestErrorsTruncateLongParts(t *testing.T) {
	for n := range 4 {
		s := (&Error{Part: strings.Repeat("x", n) + strings.Repeat("é", 300), Reason: "r"}).Error()
		if len(s) > 200 || strings.Contains(s, `\x`) {
			t.Error(s)
		}
	}
	if s := (&Error{Reason: "is bad"}).Error(); s != "magnet link: is bad" {
		t.Error(s)
	}
}

// links draws a Link that Parse may return.
func links(t *rapid.T) *Link {
	h := rapid.SliceOfN(rapid.Byte(), 32, 32)
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 30), func(b []byte) string { return string(b) })).
		Filter(func(s string) bool { return s != "" })
	texts := rapid.SliceOfN(text, 0, 4)
	l := &Link{
		Name:     rapid.OneOf(rapid.Just(""), text).Draw(t, "dn"),
		Length:   rapid.Int64Min(0).Draw(t, "xl"),
		Trackers: texts.Draw(t, "tr"), WebSeeds: texts.Draw(t, "ws"), Sources: texts.Draw(t, "as"), Keywords: texts.Draw(t, "kt"),
		ExactSources: rapid.SliceOfN(text.Filter(func(s string) bool { return !hasPrefix(s, keyPrefix) }), 0, 4).Draw(t, "xs"),
	}
	switch rapid.IntRange(0, 3).Draw(t, "identity") {
	case 3:
		l.HasPublicKey, l.PublicKey = true, id.ID32(h.Draw(t, "key"))
		l.Salt = rapid.SliceOfN(rapid.Byte(), 0, maxSalt).Draw(t, "salt")
		fallthrough
	case 2:
		l.HasV2, l.V2 = true, id.ID32(h.Draw(t, "v2"))
		fallthrough
	default:
		l.HasInfoHash, l.InfoHash = true, id.ID(h.Draw(t, "v1")[:20])
	}
	host := rapid.SampledFrom([]string{"a", "x-y.example", "1.2.3.4", "[::1]", "[2001:db8::f]", "bücher.example", "a_b."})
	for range rapid.IntRange(0, 3).Draw(t, "peers") {
		l.Peers = append(l.Peers, fmt.Sprintf("%s:%d", host.Draw(t, "host"), rapid.IntRange(1, 65535).Draw(t, "port")))
	}
	at := uint32(0)
	for range rapid.IntRange(0, 4).Draw(t, "ranges") {
		at += rapid.Uint32Range(0, 1000).Draw(t, "gap")
		r := Range{at, at + rapid.Uint32Range(0, 3).Draw(t, "more")}
		l.Select = append(l.Select, r)
		at = r.Last + 2
	}
	for range rapid.IntRange(0, 4).Draw(t, "others") {
		k := text.Filter(func(s string) bool { _, known := canonical(s); return !known }).Draw(t, "key")
		l.Other = append(l.Other, Param{k, rapid.OneOf(rapid.Just(""), text).Draw(t, "value")})
	}
	return l
}

// BEP 53: so names indices of files and ranges of them; a link without it selects all files.
func TestALinkSelectsTheFilesOfItsRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, index := links(t), rapid.IntRange(0, 4100).Draw(t, "index")
		want := len(l.Select) == 0
		for _, r := range l.Select {
			want = want || index >= int(r.First) && index <= int(r.Last)
		}
		if l.Selects(index) != want {
			t.Errorf("file %d of %v: %v", index, l.Select, !want)
		}
	})
	if none := (*Link)(nil); !none.Selects(3) {
		t.Error("without a link a file is not selected")
	}
}

// rTorrent refuses a link in which any xt is not a btih.
func TestTheLinkOfAHybridHasOneXT(t *testing.T) {
	l := Link{InfoHash: id20(t), HasInfoHash: true, V2: id32(t, hash2), HasV2: true}
	if got, want := l.String(), v1+"&xt.2=urn:btmh:1220"+hash2; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParseAndStringAreInverses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := links(t)
		got, err := Parse(l.String())
		if err != nil {
			t.Fatalf("%s: %v", l, err)
		}
		if d := cmp.Diff(l, got, cmpopts.EquateEmpty(), cmp.AllowUnexported(sealed.Secret{})); d != "" {
			t.Fatalf("%s: %s", l, d)
		}
	})
}

func TestMergeAgainstASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rs []Range
		set := make(map[uint32]bool)
		for range rapid.IntRange(0, 10).Draw(t, "n") {
			a := rapid.Uint32Range(0, 40).Draw(t, "first")
			b := a + rapid.Uint32Range(0, 5).Draw(t, "more")
			rs = append(rs, Range{a, b})
			for i := a; i <= b; i++ {
				set[i] = true
			}
		}
		rs = merge(rs)
		var got []uint32
		for k, r := range rs {
			if r.First > r.Last || k > 0 && r.First <= rs[k-1].Last+1 {
				t.Fatal(rs)
			}
			for i := r.First; i <= r.Last; i++ {
				got = append(got, i)
			}
		}
		var want []uint32
		for i := range set {
			want = append(want, i)
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatal(rs, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		v1, "magnet:?xt=urn:btih:" + hash1b + "&dn=a+b%20c%zz&xl=5&tr.1=http%3A%2F%2Fx&kt=a+b&so=1,3-5,4-9",
		"magnet:?xs=urn:btpk:" + key + "&s=6e&s=&s=zz&xt=urn:btmh:1220" + hash2,
		v1 + "&x.pe=[::1]:6881&x.pe=a.b:1&x.pe=1.2.3.4:5&dn=a&dn=b&xl=1&xl=2&&=&=v&flag",
		"magnet:?xt=urn:sha1:X", hash1, "magnet:", "magnet:?xt=urn:btih:%",
		"magnet:?xs=urn:btpk:" + key + "&x.read=" + testSecret.Text(), "magnet:?x.keep=" + testSecret.ToKeep().Text() + "&s=ab&xs=urn:btpk:" + key,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := Parse(s)
		if err != nil {
			if me := (*Error)(nil); l != nil || !errors.As(err, &me) || len(err.Error()) > 1000 {
				t.Fatal(l, err)
			}
			return
		}
		l.Warnings = nil
		text := l.String()
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if d := cmp.Diff(l, again, cmpopts.EquateEmpty(), cmp.AllowUnexported(sealed.Secret{})); d != "" {
			t.Fatal(d)
		}
		if again.String() != text {
			t.Fatalf("%q, then %q", text, again)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	s := v1 + "&dn=Some+name+of+a+thing&xl=123456789" + strings.Repeat("&tr=udp%3A%2F%2Ftracker.example.org%3A1337%2Fannounce", 10) + "&x.pe=[2001:db8::1]:6881"
	b.ReportAllocs()
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if _, err := Parse(s); err != nil {
			b.Fatal(err)
		}
	}
}
