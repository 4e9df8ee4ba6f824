package respond

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/store"
	"seedbed/dht/table"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// "If scrape is set to 1 in the request and the responding node has database
// entries for that infohash then it must add two fields".
func TestBEP33Scrape(t *testing.T) {
	r := setup(Config{}, store.Config{})
	ask := func(from netip.AddrPort, args string) krpc.Returned {
		m, _ := r.ask(t, from, query("get_peers", with("info_hash", target)+args))
		return m.Returned()
	}
	if ret := ask(from4, "6:scrapei1e"); ret.BloomPeers != nil || ret.BloomSeeds != nil {
		t.Error("filters without database entries")
	}
	var peers, seeds store.Bloom
	for i := range 90 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 6881)
		m, _ := r.ask(t, from, query("get_peers", with("info_hash", target)))
		// "if no seed key was present or the value was not 1 then it should
		// assume that the announcing node is a peer".
		seed := []string{"4:seedi1e", "", "4:seedi0e", "4:seedi2e"}[i%4]
		if i%4 == 0 {
			seeds.Insert(from.Addr().AsSlice())
		} else {
			peers.Insert(from.Addr().AsSlice())
		}
		r.ask(t, from, announce(bytes.Clone(m.Response.Token), with("info_hash", target)+"4:porti1e"+seed))
	}
	if ret := ask(from4, "6:scrapei1e"); !bytes.Equal(ret.BloomPeers, peers[:]) || !bytes.Equal(ret.BloomSeeds, seeds[:]) {
		t.Error("the filters are not those of 23 seeds and 67 peers")
	}
	for _, args := range []string{"", "6:scrapei0e", "6:scrapei2e"} {
		if ret := ask(from4, args); ret.BloomPeers != nil {
			t.Errorf("filters for %q", args)
		}
	}
	if ret := ask(from6, "6:scrapei1e"); ret.BloomPeers != nil {
		t.Error("BEP 32: filters of the other DHT")
	}
}

// "Implementations which also implement BEP 32 must take care not to exceed the
// specified packet sizes ... by returning less values and only returning the
// mandatory node lists even when additional ones are requested."
func TestBEP33ScrapeKeepsTheMandatoryNodesAndFewerValues(t *testing.T) {
	r := setup(Config{Rate: -1}, store.Config{ManyPerIP: true})
	for i := range 400 {
		r.cfg.Store.Announce(0, target, netip.AddrPortFrom(from4.Addr(), uint16(i+1)), false)
		r.cfg.Store.Announce(0, target, netip.AddrPortFrom(from6.Addr(), uint16(i+1)), false)
	}
	for _, from := range []netip.AddrPort{from4, from6} {
		for _, want := range []string{"", "4:wantl2:n42:n6e"} {
			m, _ := r.ask(t, from, query("get_peers", with("info_hash", target)+"6:scrapei1e"+want))
			mandatory := m.Response.Nodes
			if from == from6 {
				mandatory = m.Response.Nodes6
			}
			if ret := m.Returned(); len(ret.BloomPeers) != 256 || len(mandatory)%8 != 0 || len(mandatory) < 8*26 || len(m.Raw) > krpc.MaxDatagram || m.Response.Token == nil {
				t.Errorf("%d bytes, %d of nodes", len(m.Raw), len(mandatory))
			}
			if want == "" && m.Response.Values.Len() == 0 {
				t.Error("no values where there is room")
			}
		}
	}
}

// "Upon receiving a query whose node id does not match ... respond with error
// 203": this enforcement is optional.
func TestBEP42Enforcement(t *testing.T) {
	fits := table.SecureID(asker, netip.MustParseAddr("8.8.4.4"))
	for _, c := range []struct {
		from    string
		node    id.ID
		enforce bool
		refused bool
	}{
		{"8.8.4.4:6881", asker, false, false},
		{"8.8.4.4:6881", asker, true, true},
		{"8.8.4.4:6881", fits, true, false},
		{"10.0.0.1:6881", asker, true, false}, // local addresses match every id
	} {
		r := setup(Config{EnforceID: c.enforce}, store.Config{})
		q := fmt.Appendf(nil, "d1:ad2:id20:%se1:q4:ping1:t2:aa1:y1:qe", c.node[:])
		m, _ := r.ask(t, netip.MustParseAddrPort(c.from), q)
		if (m.Error.Code == 203) != c.refused || (len(r.t4.asked) == 0) != c.refused {
			t.Errorf("%+v: %+v", c, m)
		}
	}
}

func get(args string) []byte { return query("get", args) }

func TestBEP44ImmutablePutThenGet(t *testing.T) {
	r := setup(Config{}, store.Config{})
	for i, v := range []string{"12:Hello World!", "i42e", "l1:a1:be", "d1:ai1e1:bd1:c0:ee", "0:", "996:" + strings.Repeat("x", 996)} {
		from := []netip.AddrPort{from4, from6}[i%2]
		at := store.ImmutableTarget([]byte(v))
		m, _ := r.ask(t, from, get(with("target", at)))
		if ret := m.Returned(); ret.Value != nil || m.Response.Token == nil || m.Response.Nodes == nil && m.Response.Nodes6 == nil {
			t.Fatalf("nothing is stored, yet %+v", m.Response)
		}
		put := query("put", fmt.Sprintf("5:token8:%s1:v%s", m.Response.Token, v))
		if m, _ = r.ask(t, from, put); m.Y != 'r' || m.Response.Token != nil || m.Response.Nodes != nil {
			t.Fatalf("%+v", m)
		}
		m, _ = r.ask(t, from, get(with("target", at)))
		ret := m.Returned()
		if string(ret.Value) != v || ret.K != nil || ret.Sig != nil || ret.HasSeq || m.Response.Token == nil {
			t.Errorf("%q: %+v", v, ret)
		}
		// Republishing needs a token too, and is not an error.
		if m, _ = r.ask(t, from, put); m.Y != 'r' {
			t.Errorf("%+v", m)
		}
	}
}

func TestBEP44MutablePutThenGet(t *testing.T) {
	r := setup(Config{}, store.Config{})
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	k := []byte(key.Public().(ed25519.PublicKey))
	for _, salt := range []string{"", "foobar", strings.Repeat("s", 64)} {
		at := store.MutableTarget(k, []byte(salt))
		for seq := int64(1); seq < 4; seq++ {
			v := fmt.Sprintf("d1:xi%dee", seq)
			if m, _ := r.ask(t, from4, r.mutablePut(0, from4, key, salt, seq, v, "")); m.Y != 'r' {
				t.Fatalf("%+v", m)
			}
			m, _ := r.ask(t, from4, get(with("target", at)))
			ret := m.Returned()
			it := store.Item{V: []byte(v), Mutable: true, Seq: seq}
			copy(it.K[:], ret.K)
			copy(it.Sig[:], ret.Sig)
			if string(ret.Value) != v || ret.Seq != seq || !bytes.Equal(ret.K, k) || !it.Verify([]byte(salt)) {
				t.Errorf("salt %q: %+v", salt, ret)
			}
			// "Note that the salt is not returned".
			if bytes.Contains(m.Raw, []byte("4:salt")) {
				t.Error("the salt was returned")
			}
		}
	}
	if n := r.cfg.Store.Items(); n != 3 {
		t.Error("each salt makes a separate item:", n)
	}
	// "if salt is specified and an empty string, it is as if it was not specified".
	b := r.mutablePut(0, from4, key, "", 9, "1:a", "")
	if m, _ := r.ask(t, from4, bytes.Replace(b, []byte("3:seqi"), []byte("4:salt0:3:seqi"), 1)); m.Y != 'r' {
		t.Errorf("%+v", m)
	}
}

// BEP 32 allows 1024 bytes and BEP 44 a value of 1000. Nodes are left out to make room
// for the item. An item that exceeds 1024 bytes by itself is sent with required fields only.
func TestBEP44NodesMakeRoomForTheItem(t *testing.T) {
	r := setup(Config{Rate: -1}, store.Config{})
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	for _, from := range []netip.AddrPort{from4, from6} {
		for size := 1; size <= 996; size++ {
			salt := fmt.Sprint(from, size)
			v := fmt.Sprintf("%d:%s", size, strings.Repeat("x", size))
			at := store.MutableTarget(key.Public().(ed25519.PublicKey), []byte(salt))
			it := store.Item{V: []byte(v), Mutable: true, Seq: 1 << 62}
			copy(it.K[:], key.Public().(ed25519.PublicKey))
			r.cfg.Store.Put(0, at, it)
			m, _ := r.ask(t, from, get(with("target", at)+"4:wantl2:n42:n6e"))
			nodes := len(m.Response.Nodes) + len(m.Response.Nodes6)
			if string(m.Returned().Value) != v || m.Response.Token == nil || size < 300 && nodes < 8*26 {
				t.Fatalf("%d bytes: %d of nodes, %+v", size, nodes, m.Returned())
			}
			if bare := len(m.Raw) - nodes; nodes > 0 && bare > krpc.MaxDatagram {
				t.Fatalf("%d bytes of nodes beside an item of %d", nodes, bare)
			}
		}
	}
}

// "an item's value should only be sent if its sequence number is greater than
// the given value. If ... less than or equal to the seq field then the k, v,
// and sig fields SHOULD be omitted".
func TestBEP44SeqOfGet(t *testing.T) {
	r := setup(Config{}, store.Config{})
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	r.ask(t, from4, r.mutablePut(0, from4, key, "", 5, "1:a", ""))
	at := store.MutableTarget(key.Public().(ed25519.PublicKey), nil)
	for seq, sent := range map[int64]bool{-1: true, 0: true, 4: true, 5: false, 6: false, 1 << 62: false} {
		m, _ := r.ask(t, from4, get(fmt.Sprintf("3:seqi%de", seq)+with("target", at)))
		ret := m.Returned()
		if !ret.HasSeq || ret.Seq != 5 || (ret.Value != nil) != sent || (ret.K != nil) != sent || (ret.Sig != nil) != sent || m.Response.Token == nil {
			t.Errorf("seq %d: %+v", seq, ret)
		}
	}
}

func TestBEP44Errors(t *testing.T) {
	r := setup(Config{Rate: -1}, store.Config{})
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	at := store.MutableTarget(key.Public().(ed25519.PublicKey), nil)
	put := func(seq int64, v, cas string) []byte { return r.mutablePut(0, from4, key, "", seq, v, cas) }
	broken := func(b []byte) []byte { // another signature
		i := bytes.Index(b, []byte("3:sig64:")) + len("3:sig64:")
		b[i]++
		return b
	}
	v996, v997 := "996:"+strings.Repeat("x", 996), "997:"+strings.Repeat("x", 997)
	for _, c := range []struct {
		sentence string
		q        []byte
		code     int64
	}{
		{"invalid signature", broken(put(1, "1:a", "")), 206},
		{"if there is no current value, the cas field should be ignored", put(4, "1:a", "3:casi77e"), 0},
		{"the same again resets the timeout", put(4, "1:a", ""), 0},
		{"sequence number less than current", put(3, "1:b", ""), 302},
		{"equal, and the value is another", put(4, "1:b", ""), 302},
		{"the cas mismatched", put(5, "1:b", "3:casi3e"), 301},
		{"the cas mismatched, 0 is a number", put(5, "1:b", "3:casi0e"), 301},
		{"only if the cas matches is the put performed", put(5, "1:b", "3:casi4e"), 0},
		{"invalid signature of an update", broken(put(6, "1:c", "")), 206},
		{"message too big", put(6, v997, ""), 205},
		{"1000 bytes", put(6, v996, ""), 0},
		{"salt too big", r.mutablePut(0, from4, key, strings.Repeat("s", 65), 1, "1:a", ""), 207},
		{"a dictionary with unsorted keys", put(7, "d1:bi1e1:ai1ee", ""), 203},
		{"a negative number", put(-1, "1:a", ""), 203},
		{"the signature of another value", bytes.Replace(put(7, "1:a", ""), []byte("1:v1:a"), []byte("1:v1:z"), 1), 206},
		{"the signature of another number", bytes.Replace(put(7, "1:a", ""), []byte("3:seqi7e"), []byte("3:seqi8e"), 1), 206},
	} {
		m, _ := r.ask(t, from4, c.q)
		if m.Error.Code != c.code {
			t.Errorf("%s: %+v", c.sentence, m)
		}
	}
	if it := r.cfg.Store.Item(0, at); it == nil || it.Seq != 6 || string(it.V) != v996 {
		t.Errorf("%+v", it)
	}
}

// "The write token MAY be tied specifically to the key".
func TestBEP44APutNeedsItsToken(t *testing.T) {
	r := setup(Config{Rate: -1}, store.Config{})
	at, other := store.ImmutableTarget([]byte("1:a")), store.ImmutableTarget([]byte("1:b"))
	m, _ := r.ask(t, from4, get(with("target", at)))
	token := bytes.Clone(m.Response.Token)
	m, _ = r.ask(t, from4, get(with("target", other)))
	foreign := bytes.Clone(m.Response.Token)
	for _, c := range []struct {
		sentence string
		from     netip.AddrPort
		token    []byte
		now      mono.Time
		code     int64
	}{
		{"made up", from4, []byte("aoeusnth"), 0, 203},
		{"empty", from4, nil, 0, 203},
		{"of another key", from4, foreign, 0, 203},
		{"of another address", netip.MustParseAddrPort("192.0.2.8:6881"), token, 0, 203},
		{"its own", from4, token, 9 * minute, 0},
		{"too old", from4, token, 10 * minute, 203},
	} {
		r.now = c.now
		m, _ := r.ask(t, c.from, query("put", fmt.Sprintf("5:token%d:%s1:v1:a", len(c.token), c.token)))
		if m.Error.Code != c.code {
			t.Errorf("%s: %+v", c.sentence, m)
		}
	}
	// Without a valid token, the signature is not checked.
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	b := r.mutablePut(0, netip.MustParseAddrPort("192.0.2.8:6881"), key, "", 1, "1:a", "")
	var q krpc.Message
	if err := krpc.Parse(b, &q); err != nil {
		t.Fatal(err)
	}
	if _, out := r.Handle(nil, 0, from4, &q.Query); out != Refused {
		t.Error(out)
	}
}

// "CAS ... is used to avoid race conditions when multiple nodes are writing to
// the same slot": cas is compared with the sequence number stored when the item is
// stored, not when the put arrives.
func TestBEP44CASHoldsWhileASignatureIsVerified(t *testing.T) {
	r := setup(Config{}, store.Config{})
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	at := store.MutableTarget(key.Public().(ed25519.PublicKey), nil)
	r.ask(t, from4, r.mutablePut(0, from4, key, "", 1, "1:a", ""))
	for cas, code := range map[string]int64{"3:casi1e": 301, "": 302} {
		r.cfg.Store.Put(0, at, store.Item{V: []byte("1:a"), Mutable: true, Seq: 1})
		r.between = func() { r.cfg.Store.Put(0, at, store.Item{V: []byte("1:z"), Mutable: true, Seq: 3}) }
		if m, _ := r.ask(t, from4, r.mutablePut(0, from4, key, "", 2, "1:b", cas)); m.Error.Code != code {
			t.Errorf("%q: %+v", cas, m)
		}
		if it := r.cfg.Store.Item(0, at); it.Seq != 3 {
			t.Error("overwritten")
		}
	}
}

// "Without re-announcement, these items MAY expire in 2 hours ... Any node
// that's interested in keeping a blob in the DHT alive may announce it. It would
// simply repeat the signature for a mutable put without having the private key."
func TestBEP44RepublishingKeepsAnItemAlive(t *testing.T) {
	r := setup(Config{}, store.Config{})
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	at := store.MutableTarget(key.Public().(ed25519.PublicKey), nil)
	has := func() bool {
		m, _ := r.ask(t, from4, get(with("target", at)))
		return m.Returned().Value != nil
	}
	r.ask(t, from4, r.mutablePut(r.now, from4, key, "", 1, "1:a", ""))
	for range 3 {
		r.now += 60 * minute
		b := r.mutablePut(r.now, from6, key, "", 1, "1:a", "")
		var q krpc.Message
		krpc.Parse(b, &q)
		// A known signature is not verified again.
		if _, out := r.Handle(nil, r.now, from6, &q.Query); out != Answered {
			t.Error(out)
		}
	}
	if r.now += 119 * minute; !has() {
		t.Error("gone")
	}
	if r.now += 2 * minute; has() {
		t.Error("still there")
	}
}

// "In general any DHT node using multiple socket addresses should appear to the
// outside world as separate, independent DHT nodes." "Each socket address must
// have a distinct Node ID." "It makes little difference whether storage ... is
// shared among multiple socket addresses or not."
func TestBEP45SocketsAreSeparateNodesThatMayShareAStore(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	shared := store.New(store.Config{}, 0, rnd)
	socket := func(own id.ID) *rig {
		r := &rig{t4: &fake{own: own, has: 8}}
		r.Responder = New(Config{Table4: r.t4, Store: shared, Tokens: store.NewTokens(0, rnd), Rand: rnd})
		return r
	}
	a, b := socket(own4), socket(own6)
	ma, _ := a.ask(t, from4, query("get_peers", with("info_hash", target)))
	tokenA := bytes.Clone(ma.Response.Token)
	idA := ma.Response.ID
	mb, _ := b.ask(t, from4, query("get_peers", with("info_hash", target)))
	if idA == mb.Response.ID || idA != own4 || mb.Response.ID != own6 {
		t.Error("the sockets share an id")
	}
	// "Write-tokens must only be sent from the same socket on which they were
	// received": so our tokens are valid at one socket only.
	if m, _ := b.ask(t, from4, announce(tokenA, with("info_hash", target)+"4:porti1e")); m.Error.Code != 203 {
		t.Errorf("%+v", m)
	}
	a.ask(t, from4, announce(tokenA, with("info_hash", target)+"4:porti1e"))
	if m, _ := b.ask(t, from4, query("get_peers", with("info_hash", target))); m.Response.Values.Len() != 1 {
		t.Errorf("%+v", m.Response)
	}
	if len(a.t4.asked) != 2 || len(b.t4.asked) != 3 {
		t.Error("each table must get the nodes that asked its socket:", a.t4.asked, b.t4.asked)
	}
}

func TestBEP51Sample(t *testing.T) {
	r := setup(Config{Rate: -1}, store.Config{})
	ask := func(from netip.AddrPort, args string) (krpc.Message, krpc.Returned) {
		m, _ := r.ask(t, from, query("sample_infohashes", with("target", target)+args))
		return m, m.Returned()
	}
	// "Nodes supporting this extension should always include the samples field
	// in the response, even when it is zero-length."
	if _, ret := ask(from4, ""); !ret.HasSamples || len(ret.Samples) != 0 || ret.Num != 0 {
		t.Errorf("%+v", ret)
	}
	hashes := map[id.ID]bool{}
	for i := range 100 {
		h := target
		h[0] = byte(i)
		hashes[h] = true
		r.cfg.Store.Announce(0, h, from4, false)
	}
	m, ret := ask(from4, "")
	// "The num field indicates how many infohash keys are currently in the
	// node's storage." "The permissible range is between 0 and 21600 seconds".
	if len(ret.Samples) != 20*id.Len || ret.Num != 100 || ret.Interval != 21600 || len(m.Response.Nodes) != 8*26 {
		t.Errorf("%+v", ret)
	}
	for h := range slices.Chunk(ret.Samples, id.Len) {
		if !hashes[id.ID(h)] {
			t.Errorf("%x is not kept", h)
		}
	}
	// "The fact that the precomputed set will not change within that interval".
	first := bytes.Clone(ret.Samples)
	for _, args := range []string{"", "4:wantl2:n42:n6e"} {
		r.now = mono.Time(44 * time.Minute)
		m, again := ask(from4, args)
		if !bytes.Equal(again.Samples, first) || len(m.Raw) > krpc.MaxDatagram || len(m.Response.Nodes) != 8*26 {
			t.Errorf("%d bytes, %+v", len(m.Raw), again)
		}
	}
	if _, ret := ask(from6, ""); len(ret.Samples) != 0 || ret.Num != 0 {
		t.Error("BEP 32: infohashes of the other DHT")
	}
}

func TestANodeWithoutAStoreAcceptsNothing(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	r := &rig{t4: &fake{own: own4, has: 8}}
	r.Responder = New(Config{Table4: r.t4, Rand: rnd})
	for name, q := range map[string][]byte{"get_peers": query("get_peers", with("info_hash", target)+"6:scrapei1e"), "get": get(with("target", target)), "sample": query("sample_infohashes", with("target", target))} {
		m, _ := r.ask(t, from4, q)
		if m.Response.Token != nil || m.Response.Values != nil || len(m.Response.Nodes) != 8*26 {
			t.Errorf("%s: %+v", name, m.Response)
		}
	}
	for _, q := range [][]byte{announce(nil, with("info_hash", target)+"4:porti1e"), query("put", "5:token0:1:v1:a")} {
		if m, _ := r.ask(t, from4, q); m.Error.Code != 203 {
			t.Errorf("%+v", m)
		}
	}
}
