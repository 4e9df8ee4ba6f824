package respond

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"seedbed/dht/store"
	"seedbed/internal/mono"
)

var signer = ed25519.NewKeyFromSeed(make([]byte, 32))

// falsePut returns a put with a valid token and an invalid signature.
func (r *rig) falsePut(from netip.AddrPort) []byte {
	b := r.mutablePut(r.now, from, signer, "", 1, "1:a", "")
	b[bytes.Index(b, []byte("3:sig64:"))+len("3:sig64:")]++
	return b
}

func TestASourceOfSeveralFalseSignaturesIsBanned(t *testing.T) {
	for _, c := range []struct {
		from, same, other string
	}{
		{"192.0.2.1:6881", "192.0.2.1:7000", "192.0.2.2:6881"},
		{"[2001:db8:1:2::1]:6881", "[2001:db8:1:2::2]:6882", "[2001:db8:1:3::1]:6881"},
	} {
		r := setup(Config{}, store.Config{})
		from, same, other := netip.MustParseAddrPort(c.from), netip.MustParseAddrPort(c.same), netip.MustParseAddrPort(c.other)
		gone := func(a netip.AddrPort) bool {
			_, out := r.ask(t, a, query("ping", ""))
			return out == Limited
		}
		for i := range banAfter {
			if gone(from) {
				t.Fatal("banned after", i)
			}
			if m, _ := r.ask(t, from, r.falsePut(from)); m.Error.Code != 206 {
				t.Fatalf("%+v", m)
			}
		}
		if !gone(from) || !gone(same) || gone(other) {
			t.Error(from, "the source must be banned, and no other")
		}
		if r.now += mono.Time(banFor); gone(from) {
			t.Error(from, "still banned after banFor")
		}
		// False signatures that are far apart are not added up.
		for range 3 * banAfter {
			r.now += mono.Time(banFor)
			if r.ask(t, from, r.falsePut(from)); gone(from) {
				t.Fatal("banned for old false signatures")
			}
		}
	}
}

// "Bans only for addresses proven by a token, since a source can be forged."
func TestASourceWithoutAValidTokenIsNeverBanned(t *testing.T) {
	r := setup(Config{}, store.Config{})
	victim := netip.MustParseAddrPort("192.0.2.1:6881")
	stolen := r.falsePut(netip.MustParseAddrPort("192.0.2.66:6881")) // with a token for the forger's own address
	for range 50 {
		for _, b := range [][]byte{stolen, announce([]byte("aoeusnth"), with("info_hash", target)+"4:porti1e"), query("find_node", ""), query("ping", "")} {
			r.ask(t, victim, b)
			r.now += mono.Time(time.Second)
		}
	}
	if _, out := r.ask(t, victim, query("ping", "")); out != Answered || r.bans.lru.Len() != 0 {
		t.Error(out)
	}
}

func TestBansAreBoundedAndOffWithoutARateLimit(t *testing.T) {
	b := newBans()
	for i := range uint32(10_000) {
		b.fault(0, netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 1<<24+i))))
	}
	if b.lru.Len() != maxBans {
		t.Error(b.lru.Len())
	}
	r := setup(Config{Rate: -1}, store.Config{})
	for range 3 * banAfter {
		if _, out := r.ask(t, from4, r.falsePut(from4)); out != Refused {
			t.Fatal(out)
		}
	}
}
