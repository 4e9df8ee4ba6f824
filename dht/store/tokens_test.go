package store

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"seedbed/internal/mono"
)

func TestBEP5Tokens(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	mapped := netip.AddrFrom16(a.As16())
	tok := NewTokens(0, rnd())
	given := tok.Append(nil, 4*minute, a, hash(1))
	if len(given) != TokenLen {
		t.Error(len(given))
	}
	for _, c := range []struct {
		sentence string
		ok       bool
	}{
		{"the token was previously sent to the same IP address", tok.Valid(4*minute, given, a, hash(1)) && tok.Valid(4*minute, given, mapped, hash(1))},
		{"not to another address", !tok.Valid(4*minute, given, b, hash(1))},
		{"not for another infohash", !tok.Valid(4*minute, given, a, hash(2))},
		{"not a part of it, not an empty one", !tok.Valid(4*minute, given[:TokenLen-1], a, hash(1)) && !tok.Valid(4*minute, nil, a, hash(1))},
		{"not with a byte appended", !tok.Valid(4*minute, append(given[:TokenLen:TokenLen], 0), a, hash(1))},
		{"the secret changes every five minutes", string(tok.Append(nil, 5*minute, a, hash(1))) != string(given)},
		{"a token of the previous secret is accepted", tok.Valid(10*minute-1, given, a, hash(1))},
		{"tokens up to ten minutes old at most", !tok.Valid(10*minute, given, a, hash(1))},
	} {
		if !c.ok {
			t.Error(c.sentence)
		}
	}
}

func TestTokensOfAnIdleNodeExpire(t *testing.T) {
	a := netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		after mono.Time
		ok    bool
	}{{5 * minute, true}, {10*minute - 1, true}, {10 * minute, false}, {15 * minute, false}, {600 * minute, false}} {
		tok := NewTokens(0, rnd())
		given := tok.Append(nil, 0, a, hash(1))
		if tok.Valid(c.after, given, a, hash(1)) != c.ok {
			t.Errorf("after %d minutes: %v", c.after/minute, !c.ok)
		}
	}
}

func TestTokensOfAnotherSecretAreInvalid(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	one, two := NewTokens(0, rand.New(rand.NewPCG(1, 1))), NewTokens(0, rand.New(rand.NewPCG(1, 2)))
	if two.Valid(0, one.Append(nil, 0, a, hash(1)), a, hash(1)) {
		t.Error("valid")
	}
}

func BenchmarkToken(b *testing.B) {
	tok, a := NewTokens(0, rnd()), netip.MustParseAddr("192.0.2.1")
	buf := make([]byte, 0, TokenLen)
	b.ReportAllocs()
	for b.Loop() {
		buf = tok.Append(buf[:0], 0, a, hash(1))
	}
}
