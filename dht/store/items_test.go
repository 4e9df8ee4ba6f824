package store

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/anacrolix/dht/v2/bep44"

	"seedbed/dht/krpc"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// BEP 33's test vector.
func TestBEP33TestVector(t *testing.T) {
	var b Bloom
	for i := range 256 {
		b.Insert([]byte{192, 0, 2, byte(i)})
	}
	for i := range 0x3e8 {
		ip := netip.MustParseAddr("2001:db8::").As16()
		ip[14], ip[15] = byte(i>>8), byte(i)
		b.Insert(ip[:])
	}
	want := unhex(`F6C3F5EA A07FFD91 BDE89F77 7F26FB2B FF37BDB8 FB2BBAA2 FD3DDDE7 BACFFF75 EE7CCBAE
 FE5EEDB1 FBFAFF67 F6ABFF5E 43DDBCA3 FD9B9FFD F4FFD3E9 DFF12D1B DF59DB53 DBE9FA5B
 7FF3B8FD FCDE1AFB 8BEDD7BE 2F3EE71E BBBFE93B CDEEFE14 8246C2BC 5DBFF7E7 EFDCF24F
 D8DC7ADF FD8FFFDF DDFFF7A4 BBEEDF5C B95CE81F C7FCFF1F F4FFFFDF E5F7FDCB B7FD79B3
 FA1FC77B FE07FFF9 05B7B7FF C7FEFEFF E0B8370B B0CD3F5B 7F2BD93F EB4386CF DD6F7FD5
 BFAF2E9E BFFFFEEC D67ADBF7 C67F17EF D5D75EBA 6FFEBA7F FF47A91E B1BFBB53 E8ABFB57
 62ABE8FF 237279BF EFBFEEF5 FFC5FEBF DFE5ADFF ADFEE1FB 737FFFFB FD9F6AEF FEEE76B6
 FD8F72EF`)
	if !bytes.Equal(b[:], want) {
		t.Errorf("%x", b)
	}
}

func filter(ps ...netip.AddrPort) []byte {
	var b Bloom
	for _, p := range ps {
		b.Insert(p.Addr().AsSlice())
	}
	return b[:]
}

func TestBEP33SeedsAndPeersHaveSeparateFilters(t *testing.T) {
	s := New(Config{}, 0, rnd())
	if p, d := s.Blooms(0, hash(1), false); p != nil || d != nil {
		t.Error("filters without database entries")
	}
	expect := func(now mono.Time, v6 bool, peers, seeds []byte) {
		t.Helper()
		if p, d := s.Blooms(now, hash(1), v6); !bytes.Equal(p, peers) || !bytes.Equal(d, seeds) {
			t.Errorf("at %v: %x\n%x", now, p, d)
		}
	}
	s.Announce(0, hash(1), peer4(1), true)
	s.Announce(0, hash(1), peer4(2), false)
	s.Announce(0, hash(1), peer6(3), false)
	expect(0, false, filter(peer4(2)), filter(peer4(1)))
	expect(0, true, filter(peer6(3)), filter())
	s.Announce(0, hash(1), peer4(4), false)
	expect(0, false, filter(peer4(2), peer4(4)), filter(peer4(1)))
	s.Announce(minute, hash(1), peer4(4), true) // the peer is a seed now
	expect(minute, false, filter(peer4(2)), filter(peer4(1), peer4(4)))
	expect(45*minute, false, filter(), filter(peer4(4)))
	s.Announce(46*minute, hash(1), peer4(9), false)
	s.Blooms(46*minute, hash(2), false)
	expect(47*minute, false, filter(peer4(9)), filter())
}

// BEP 33: "Nodes should try to keep max(seeds,peers) below 6000".
func TestBEP33PeersStayBelow6000(t *testing.T) {
	s := New(Config{Peers: 100_000}, 0, rnd())
	if n := s.v4.most / s.v4.rec; n != 5999 {
		t.Error(n)
	}
	// An IPv6 list is limited by the range of its length field.
	for i := range 3500 {
		s.Announce(0, hash(1), peer6(i), false)
	}
	if n := len(s.all(0, hash(1), true)); n != 3276 {
		t.Error(n)
	}
}

// BEP 51: "it should return a randomly sampled subset"; "the precomputed set
// will not change within that interval".
func TestBEP51SampleIsFixedForTheInterval(t *testing.T) {
	s := New(Config{}, 0, rnd())
	read := func(now mono.Time) (out []id.ID) {
		b, _ := s.Infohashes(now, false)
		for ; len(b) > 0; b = b[id.Len:] {
			out = append(out, id.ID(b))
		}
		slices.SortFunc(out, id.ID.Cmp)
		return out
	}
	if b, n := s.Infohashes(0, false); b == nil || len(b) != 0 || n != 0 {
		t.Error("an empty store:", b, n)
	}
	for i := range 100 {
		if i < krpc.MaxSamples {
			if got := read(0); len(got) != i {
				t.Fatalf("%d of %d", len(got), i)
			}
		}
		s.Announce(0, hash(i), peer4(i), false)
	}
	s.Announce(0, hash(1000), peer6(1), false)
	if b, n := s.Infohashes(0, true); string(b) != func() string { h := hash(1000); return string(h[:]) }() || n != 1 {
		t.Error("the other family:", b, n)
	}
	seen := map[id.ID]int{}
	first := read(0)
	for round := range 200 {
		now := mono.Time(round) * mono.Time(SampleInterval)
		for i := range 100 {
			s.Announce(now, hash(i), peer4(i), false)
		}
		got := read(now)
		if len(slices.Compact(got)) != krpc.MaxSamples {
			t.Fatal(len(got))
		}
		for i := range 100 {
			s.Announce(now+40*minute, hash(i), peer4(i), false)
		}
		if again := read(now + 41*minute); !slices.Equal(again, got) {
			t.Fatal("another sample within the interval")
		}
		for _, h := range got {
			seen[h]++
		}
	}
	if slices.Equal(first, read(201*mono.Time(SampleInterval))) {
		t.Error("always the same")
	}
	// Each of 100 is expected 40 times.
	for i := range 100 {
		if n := seen[hash(i)]; n < 15 || n > 70 {
			t.Errorf("infohash %d was in %d samples", i, n)
		}
	}
}

// BEP 44's three test vectors.
func TestBEP44TestVectors(t *testing.T) {
	k := unhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")
	v := []byte("12:Hello World!")
	for _, c := range []struct{ salt, signed, target, sig string }{
		{"", "3:seqi1e1:v12:Hello World!", "4a533d47ec9c7d95b1ad75f576cffc641853b750",
			"305ac8aeb6c9c151fa120f120ea2cfb923564e11552d06a5d856091e5e853cff1260d3f39e4999684aa92eb73ffd136e6f4f3ecbfda0ce53a1608ecd7ae21f01"},
		{"foobar", "4:salt6:foobar3:seqi1e1:v12:Hello World!", "411eba73b6f087ca51a3795d9c8c938d365e32c1",
			"6834284b6b24c3204eb2fea824d82f88883a3d95e8b4a21b8c0ded553d17d17ddf9a8a7104b1258f30bed3787e6cb896fca78c58f8e03b5f18f14951a87d9a08"},
	} {
		it := Item{V: v, Mutable: true, K: [32]byte(k), Sig: [64]byte(unhex(c.sig)), Seq: 1}
		if got := string(AppendSigned(nil, []byte(c.salt), 1, v)); got != c.signed {
			t.Error(got)
		}
		if got := MutableTarget(k, []byte(c.salt)).String(); got != c.target {
			t.Error(got)
		}
		if !it.Verify([]byte(c.salt)) || it.Verify([]byte("x")) {
			t.Error("the signature")
		}
		it.Seq++
		if it.Verify([]byte(c.salt)) {
			t.Error("the signature of another number")
		}
	}
	if got := ImmutableTarget(v).String(); got != "e5f96f6f38320f0f33959cb4d3d656452117aadb" {
		t.Error(got)
	}
}

func TestBEP44SignaturesAgainstAnacrolix(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	for _, salt := range []string{"", "s", strings.Repeat("s", 64)} {
		for _, seq := range []int64{0, 1, 1<<63 - 1} {
			for _, v := range []string{"0:", "i-7e", "d1:ali1eee"} {
				it := signed(key, salt, seq, v)
				if !bytes.Equal(it.Sig[:], bep44.Sign(key, []byte(salt), seq, []byte(v))) || !it.Verify([]byte(salt)) {
					t.Errorf("salt %q, number %d, value %q", salt, seq, v)
				}
			}
		}
		if got, want := MutableTarget(key.Public().(ed25519.PublicKey), []byte(salt)), bep44.MakeMutableTarget([32]byte(key.Public().(ed25519.PublicKey)), []byte(salt)); got != want {
			t.Errorf("salt %q: %v, not %v", salt, got, want)
		}
	}
}

func signed(key ed25519.PrivateKey, salt string, seq int64, v string) Item {
	it := Item{V: []byte(v), Mutable: true, Seq: seq}
	copy(it.K[:], key.Public().(ed25519.PublicKey))
	copy(it.Sig[:], ed25519.Sign(key, AppendSigned(nil, []byte(salt), seq, it.V)))
	return it
}

func TestBEP44Judge(t *testing.T) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	s := New(Config{}, 0, rnd())
	at := hash(1)
	n := func(n int64) *int64 { return &n }
	four := signed(key, "", 4, "1:a")
	if got := s.CheckPut(0, at, &four, n(99)); got != Fresh {
		t.Error("if there is no current value, the cas field should be ignored:", got)
	}
	s.Put(0, at, four)
	otherSig := four
	otherSig.Sig[0]++
	for _, c := range []struct {
		sentence string
		it       Item
		cas      *int64
		want     PutOutcome
	}{
		{"the same again", four, nil, Known},
		{"the same again with the right cas", four, n(4), Known},
		{"the same with another signature", otherSig, nil, Fresh},
		{"another value of the same number must be rejected", signed(key, "", 4, "1:b"), nil, OldSeq},
		{"a lower number must be rejected", signed(key, "", 3, "1:a"), nil, OldSeq},
		{"a higher number", signed(key, "", 5, "1:b"), nil, Fresh},
		{"a higher number with the right cas", signed(key, "", 5, "1:b"), n(4), Fresh},
		{"cas mismatch", signed(key, "", 5, "1:b"), n(3), CASMismatch},
		{"cas of 0 is compared too", signed(key, "", 5, "1:b"), n(0), CASMismatch},
		{"cas mismatch before the number", signed(key, "", 3, "1:b"), n(3), CASMismatch},
	} {
		if got := s.CheckPut(0, at, &c.it, c.cas); got != c.want {
			t.Errorf("%s: %d, want %d", c.sentence, got, c.want)
		}
	}
	if got := s.CheckPut(0, hash(2), &Item{V: []byte("0:")}, nil); got != Fresh {
		t.Error(got)
	}
	s.Put(0, hash(2), Item{V: []byte("0:")})
	if got := s.CheckPut(0, hash(2), &Item{V: []byte("0:")}, n(7)); got != Known {
		t.Error(got)
	}
}

// BEP 44: "Without re-announcement, these items MAY expire in 2 hours."
func TestBEP44ItemsExpireAfterTwoHours(t *testing.T) {
	s := New(Config{}, 0, rnd())
	s.Put(0, hash(1), Item{V: []byte("1:a")})
	s.Put(0, hash(2), Item{V: []byte("1:b")})
	s.Renew(90*minute, hash(2))
	if s.Item(120*minute-1, hash(1)) == nil || s.Item(120*minute, hash(1)) != nil || s.Item(210*minute-1, hash(2)) == nil {
		t.Error("an item expired at the wrong time")
	}
	if s.CheckPut(210*minute, hash(2), &Item{V: []byte("1:b")}, nil) != Fresh {
		t.Error("an expired item is still known")
	}
	s.Renew(210*minute, hash(2)) // too late
	s.Full(300*minute, hash(1), peer4(1).Addr())
	if s.Items() != 0 {
		t.Error("not swept")
	}
}

func TestAHundredThousandPutsStayWithinTheLimit(t *testing.T) {
	s := New(Config{}, 0, rnd())
	for i := range 100_000 {
		now := mono.Time(i) * minute / 1000
		v := fmt.Appendf(nil, "6:%06d", i)
		s.Put(now, ImmutableTarget(v), Item{V: v})
		if s.Items() > DefaultItems {
			t.Fatal(s.Items())
		}
	}
	if s.Items() != DefaultItems {
		t.Error(s.Items())
	}
	last := ImmutableTarget([]byte("6:099999"))
	if it := s.Item(100*minute, last); it == nil || string(it.V) != "6:099999" {
		t.Error("the last one is gone")
	}
}

func TestTheLeastRecentlyUsedItemIsEvicted(t *testing.T) {
	s := New(Config{Items: 2}, 0, rnd())
	s.Put(0, hash(1), Item{V: []byte("1:a")})
	s.Put(0, hash(2), Item{V: []byte("1:b")})
	s.Item(0, hash(1)) // a query for it
	s.Put(0, hash(3), Item{V: []byte("1:c")})
	if s.Item(0, hash(1)) == nil || s.Item(0, hash(2)) != nil || s.Item(0, hash(3)) == nil {
		t.Error("another one was evicted")
	}
}
