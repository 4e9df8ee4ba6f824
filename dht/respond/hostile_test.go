package respond

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"seedbed/dht/krpc"
	"seedbed/dht/store"
	"seedbed/internal/mono"
)

// A million announces and a hundred thousand puts, each with its token, through the
// full processing of a packet: sizes stay within the limits.
func TestAMillionAnnouncesAndAHundredThousandPutsStayWithinTheLimits(t *testing.T) {
	announces, puts, mutable := 1_000_000, 100_000, 300
	if testing.Short() {
		announces, puts, mutable = 50_000, 5_000, 30
	}
	r := setup(Config{Rate: -1}, store.Config{})
	// Real tables, not fakes: they record every source.
	b, _ := bench(t, -1)
	r.cfg.Table4 = b.cfg.Table4
	buf := make([]byte, 0, 2048)
	var m krpc.Message
	outcomes := map[Outcome]int{}
	send := func(now mono.Time, from netip.AddrPort, b []byte) {
		if err := krpc.Parse(b, &m); err != nil {
			t.Fatal(err)
		}
		_, out := r.Handle(buf[:0], now, from, &m.Query)
		if out == Verify {
			d := Defer(from, &m.Query)
			_, out = r.Finish(buf[:0], now, d, d.Verify())
		}
		outcomes[out]++
	}
	stored := func() {
		h, p := r.cfg.Store.Len()
		if h > store.DefaultInfohashes || p > store.DefaultInfohashes*store.DefaultPeers || r.cfg.Store.Items() > store.DefaultItems {
			t.Fatal(h, p, r.cfg.Store.Items())
		}
	}
	source := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)}), 6881)
	}
	hash := target
	q := announce(make([]byte, store.TokenLen), with("info_hash", hash)+"4:porti1e")
	atHash, atToken := bytes.Index(q, hash[:]), bytes.Index(q, make([]byte, store.TokenLen))
	for i := range announces {
		// More than an hour: some entries expire.
		now, from := mono.Time(i)*mono.Time(5e6), source(i%200_000)
		binary.BigEndian.PutUint32(hash[:], uint32(i%7)*uint32(i%3001))
		copy(q[atHash:], hash[:])
		r.cfg.Tokens.Append(q[:atToken], now, from.Addr(), hash)
		send(now, from, q)
		stored()
	}
	if outcomes[Answered] < announces/3 {
		t.Error("hardly any announce was accepted:", outcomes)
	}
	clear(outcomes)
	now := mono.Time(announces) * mono.Time(5e6)
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	for i := range puts {
		now += mono.Time(1e6)
		from := source(i)
		v := fmt.Appendf(nil, "8:%08d", i)
		token := r.cfg.Tokens.Append(nil, now, from.Addr(), store.ImmutableTarget(v))
		send(now, from, query("put", fmt.Sprintf("5:token8:%s1:v%s", token, v)))
		if i%(puts/mutable) == 0 {
			salt := fmt.Sprintf("%08d", i)
			send(now, from, r.mutablePut(now, from, key, salt, 1, "3:abc", ""))
		}
		stored()
	}
	if outcomes[Answered] != puts+mutable && outcomes[Answered] != puts+mutable+1 || r.cfg.Store.Items() != store.DefaultItems {
		t.Error(outcomes, r.cfg.Store.Items())
	}
}

// FuzzPacket gives every query a valid token, so that the code that tokens protect is
// reached too. The fuzz target of package dht starts at the datagram.
func FuzzPacket(f *testing.F) {
	for _, s := range [][]byte{query("ping", ""), query("find_node", with("target", target)), query("get_peers", with("info_hash", target)+"6:noseedi1e6:scrapei1e4:wantl2:n42:n6e"),
		announce([]byte("aoeusnth"), with("info_hash", target)+"4:porti1e"), query("vote", with("target", target)), query("vote", ""), query("find_node", ""),
		query("get", "3:seqi1e"+with("target", target)), query("sample_infohashes", with("target", target)), query("put", "5:token8:aoeusnth1:v3:abc"),
		[]byte("d1:rd2:id20:01234567890123456789e1:t2:aa1:y1:re"), []byte("d1:q4:ping1:t2:aa1:y1:qe"), []byte("d1:ad2:id20:01234567890123456789e1:q4:ping1:t32:01234567890123456789012345678901" + "1:y1:qe")} {
		f.Add(s, true)
		f.Add(s, false)
	}
	sig := strings.Repeat("s", 64)
	f.Add(query("put", "1:k32:"+sig[:32]+"4:salt3:abc3:seqi1e3:sig64:"+sig+"5:token8:aoeusnth1:vd1:ai1ee"), false)
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		r := setup(Config{}, store.Config{})
		for i := range 100 {
			r.cfg.Store.Announce(0, target, netip.AddrPortFrom(netip.AddrFrom4([4]byte{13, 0, 0, byte(i)}), 1), i%2 == 0)
		}
		r.cfg.Store.Put(0, target, store.Item{V: []byte("3:abc"), Mutable: true, Seq: 1})
		var q, m krpc.Message
		if krpc.Parse(b, &q) != nil || q.Y != 'q' {
			return
		}
		from := from4
		if v6 {
			from = from6
		}
		if q.Query.Bad == "" && len(q.Query.Token) == store.TokenLen {
			at := q.Query.Target
			if q.Query.Kind == krpc.Put {
				at = impliedTarget(&q.Query)
			}
			q.Query.Token = r.cfg.Tokens.Append(nil, 0, from.Addr(), at)
		}
		reply, out := r.Handle(nil, 0, from, &q.Query)
		if out == Verify {
			d := Defer(from, &q.Query)
			d.Verify()
			reply, out = r.Finish(reply, 0, d, len(b)%2 == 0)
		}
		if out != Answered && out != Refused {
			t.Fatal(out)
		}
		check(t, reply, &q, from, &m)
		if n, _ := r.cfg.Store.Len(); n > 2 || r.cfg.Store.Items() > 2 {
			t.Fatal("one packet stored more than one infohash or item")
		}
	})
}

// mutablePut returns a put with a token, as a query.
func (r *rig) mutablePut(now mono.Time, from netip.AddrPort, key ed25519.PrivateKey, salt string, seq int64, v, cas string) []byte {
	k := []byte(key.Public().(ed25519.PublicKey))
	token := r.cfg.Tokens.Append(nil, now, from.Addr(), store.MutableTarget(k, []byte(salt)))
	sig := ed25519.Sign(key, store.AppendSigned(nil, []byte(salt), seq, []byte(v)))
	saltArg := ""
	if salt != "" {
		saltArg = fmt.Sprintf("4:salt%d:%s", len(salt), salt)
	}
	return fmt.Appendf(nil, "d1:ad%s2:id20:%s1:k32:%s%s3:seqi%de3:sig64:%s5:token8:%s1:v%se1:q3:put1:t2:aa1:y1:qe", cas, asker[:], k, saltArg, seq, sig, token, v)
}
