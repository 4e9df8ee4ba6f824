package respond

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/store"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

const minute = mono.Time(time.Minute)

var (
	own4, own6 = ident("own id in the v4 DHT"), ident("own id in the v6 DHT")
	asker      = ident("the asking node's id")
	target     = ident("infohash or a target")

	from4 = netip.MustParseAddrPort("192.0.2.7:6881")
	from6 = netip.MustParseAddrPort("[2001:db8::7]:6881")
)

func ident(s string) (v id.ID) {
	if copy(v[:], s) != len(s) || len(s) != id.Len {
		panic(s)
	}
	return v
}

// fake is a table that returns k nodes for any target and records the sources.
type fake struct {
	own   id.ID
	v6    bool
	has   int
	asked []netip.AddrPort
}

func (f *fake) ID() id.ID { return f.own }

func (f *fake) AppendClosest(dst []byte, _ mono.Time, target id.ID, k int) []byte {
	for i := range min(k, f.has) {
		n := target
		n[19] = byte(i)
		dst = append(dst, n[:]...)
		size := krpc.PeerLen4
		if f.v6 {
			size = krpc.PeerLen6
		}
		dst = append(dst, bytes.Repeat([]byte{byte(i + 1)}, size)...)
	}
	return dst
}

func (f *fake) Asked(_ mono.Time, a netip.AddrPort, n id.ID) { f.asked = append(f.asked, a) }

type rig struct {
	*Responder
	t4, t6  *fake
	now     mono.Time
	between func() // runs while the signature of a put is verified
}

func setup(cfg Config, peers store.Config) *rig {
	r := &rig{t4: &fake{own: own4, has: 100}, t6: &fake{own: own6, v6: true, has: 100}}
	rnd := rand.New(rand.NewPCG(1, 2))
	cfg.Table4, cfg.Table6 = r.t4, r.t6
	cfg.Store, cfg.Tokens, cfg.Rand = store.New(peers, 0, rnd), store.NewTokens(0, rnd), rnd
	r.Responder = New(cfg)
	return r
}

// ask sends the datagram and parses the reply. Every reply must be canonical, at most
// 1024 bytes long, and contain the address.
func (r *rig) ask(t testing.TB, from netip.AddrPort, datagram []byte) (krpc.Message, Outcome) {
	t.Helper()
	var q, m krpc.Message
	if err := krpc.Parse(datagram, &q); err != nil {
		t.Fatalf("%q: %v", datagram, err)
	}
	b, out := r.Handle([]byte("before"), r.now, from, &q.Query)
	if out == Verify {
		if string(b) != "before" {
			t.Fatalf("%q before the signature is verified", b)
		}
		// The datagram's buffer is reused while the put waits.
		d := Defer(from, &q.Query)
		rest := bytes.Clone(datagram)
		clear(datagram)
		ok := d.Verify()
		copy(datagram, rest)
		if r.between != nil {
			r.between()
		}
		b, out = r.Finish(b, r.now, d, ok)
	}
	b, ok := bytes.CutPrefix(b, []byte("before"))
	if !ok {
		t.Fatal("the previous content of the buffer is gone")
	}
	if out == Limited || out == Martian {
		if len(b) != 0 {
			t.Fatalf("%v, yet %q", out, b)
		}
		return m, out
	}
	check(t, b, &q, from, &m)
	if (out == Answered) != (m.Y == 'r') || (out == Refused) != (m.Y == 'e') {
		t.Fatalf("%v with %q", out, b)
	}
	return m, out
}

func check(t testing.TB, b []byte, q *krpc.Message, from netip.AddrPort, m *krpc.Message) {
	t.Helper()
	if _, err := bencode.ParseStrict(b, bencode.Limits{}); err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	if err := krpc.Parse(b, m); err != nil || !bytes.Equal(m.T, q.T) {
		t.Fatalf("%q: %v", b, err)
	}
	// Only a reply with an item may be longer, and then it contains no nodes.
	if n := len(b); n > krpc.MaxDatagram && (n > krpc.MaxItemDatagram || m.Returned().Value == nil || m.Response.Nodes != nil || m.Response.Nodes6 != nil) {
		t.Fatalf("BEP 32: %d bytes", n)
	}
	if want := netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port()); m.IP != want {
		t.Fatalf("BEP 42: ip is %v, not %v", m.IP, want)
	}
	if string(m.Version) != krpc.Version {
		t.Fatalf("version %q", m.Version)
	}
}

// query encodes a query; args follow the id, sorted.
func query(name, args string) []byte {
	return fmt.Appendf(nil, "d1:ad2:id20:%s%se1:q%d:%s1:t2:aa1:y1:qe", asker[:], args, len(name), name)
}

func with(key string, v id.ID) string { return fmt.Sprintf("%d:%s20:%s", len(key), key, v[:]) }

func announce(token []byte, args string) []byte {
	return query("announce_peer", args+fmt.Sprintf("5:token%d:%s", len(token), token))
}

func TestBEP5PingHasASingleKeyID(t *testing.T) {
	r := setup(Config{}, store.Config{})
	m, _ := r.ask(t, from4, query("ping", ""))
	if m.Response.ID != own4 || m.Response.Nodes != nil || m.Response.Nodes6 != nil || m.Response.Token != nil || m.Response.Values != nil {
		t.Errorf("%+v", m.Response)
	}
	if m, _ = r.ask(t, from6, query("ping", "")); m.Response.ID != own6 {
		t.Errorf("%+v", m.Response)
	}
}

func TestBEP5FindNodeReturnsTheKClosest(t *testing.T) {
	r := setup(Config{}, store.Config{})
	m, _ := r.ask(t, from4, query("find_node", with("target", target)))
	if want := r.t4.AppendClosest(nil, 0, target, 8); !bytes.Equal(m.Response.Nodes, want) || m.Response.Token != nil {
		t.Errorf("%+v", m.Response)
	}
	r.t4.has = 0
	if m, _ = r.ask(t, from4, query("find_node", with("target", target))); m.Response.Nodes == nil || len(m.Response.Nodes) != 0 {
		t.Errorf("an empty table gives %+v", m.Response)
	}
}

func TestBEP32Want(t *testing.T) {
	r := setup(Config{}, store.Config{})
	for _, c := range []struct {
		sentence   string
		from       netip.AddrPort
		want       string
		nodes, six bool
	}{
		{"in the absence of want, nodes if the request was sent over IPv4", from4, "", true, false},
		{"in the absence of want, nodes6 if the request was sent over IPv6", from6, "", false, true},
		{"n4 requests nodes", from6, "4:wantl2:n4e", true, false},
		{"n6 requests nodes6", from4, "4:wantl2:n6e", false, true},
		{"one or both", from4, "4:wantl2:n42:n6e", true, true},
		{"other strings must be silently ignored", from4, "4:wantl2:n72:n6e", false, true},
		{"other strings must be silently ignored, as if there were none", from4, "4:wantl2:n7e", true, false},
	} {
		for _, name := range []string{"find_node", "get_peers"} {
			key := map[string]string{"find_node": "target", "get_peers": "info_hash"}[name]
			m, _ := r.ask(t, c.from, query(name, with(key, target)+c.want))
			if (len(m.Response.Nodes) == 8*26) != c.nodes || (len(m.Response.Nodes6) == 8*38) != c.six {
				t.Errorf("%s of %s: %+v", c.sentence, name, m.Response)
			}
		}
	}
}

func TestBEP32ASingleStackNodeReturnsNoNodesOfTheOtherDHT(t *testing.T) {
	r := setup(Config{}, store.Config{})
	r.cfg.Table6 = nil
	m, _ := r.ask(t, from4, query("find_node", with("target", target)+"4:wantl2:n42:n6e"))
	if m.Response.Nodes == nil || m.Response.Nodes6 != nil {
		t.Errorf("%+v", m.Response)
	}
	if _, out := r.ask(t, from6, query("ping", "")); out != Martian {
		t.Error(out)
	}
}

func TestBEP5AnnounceThenGetPeers(t *testing.T) {
	r := setup(Config{}, store.Config{})
	for _, from := range []netip.AddrPort{from4, from6} {
		m, _ := r.ask(t, from, query("get_peers", with("info_hash", target)))
		if m.Response.Values != nil || len(m.Response.Token) == 0 || m.Response.Nodes == nil && m.Response.Nodes6 == nil {
			t.Fatalf("no peers, yet %+v", m.Response)
		}
		token := bytes.Clone(m.Response.Token)
		m, _ = r.ask(t, from, announce(token, with("info_hash", target)+"4:porti51413e"))
		if m.Y != 'r' || m.Response.Token != nil {
			t.Fatalf("%+v", m)
		}
		m, _ = r.ask(t, from, query("get_peers", with("info_hash", target)))
		// BEP 32: values and nodes, and only values of the source's family.
		want := binary.BigEndian.AppendUint16(from.Addr().AsSlice(), 51413)
		if m.Response.Values.Len() != 1 || !bytes.Contains(m.Response.Values, want) || len(m.Response.Nodes)+len(m.Response.Nodes6) == 0 || m.Response.Token == nil {
			t.Errorf("%+v", m.Response)
		}
		// Implied port: the source port of the packet.
		r.ask(t, from, announce(token, "12:implied_porti1e"+with("info_hash", target)+"4:porti51413e"))
		m, _ = r.ask(t, from, query("get_peers", with("info_hash", target)))
		if want := binary.BigEndian.AppendUint16(from.Addr().AsSlice(), 6881); m.Response.Values.Len() != 1 || !bytes.Contains(m.Response.Values, want) {
			t.Errorf("implied port: %+v", m.Response)
		}
	}
}

func TestBEP5ABadTokenIsAProtocolError(t *testing.T) {
	r := setup(Config{}, store.Config{})
	m, _ := r.ask(t, from4, query("get_peers", with("info_hash", target)))
	token := bytes.Clone(m.Response.Token)
	other := netip.MustParseAddrPort("192.0.2.8:6881")
	for _, c := range []struct {
		sentence string
		from     netip.AddrPort
		token    []byte
		hash     id.ID
		now      mono.Time
	}{
		{"made up", from4, []byte("aoeusnth"), target, 0},
		{"empty", from4, nil, target, 0},
		{"sent to another IP address", other, token, target, 0},
		{"for another infohash", from4, token, own4, 0},
		{"too old", from4, token, target, 10 * minute},
	} {
		r.now = c.now
		m, _ := r.ask(t, c.from, announce(c.token, with("info_hash", c.hash)+"4:porti1e"))
		if m.Y != 'e' || m.Error.Code != 203 || string(m.Error.Text) != "bad token" {
			t.Errorf("%s: %+v", c.sentence, m)
		}
	}
	if _, n := r.cfg.Store.Len(); n != 0 {
		t.Error("stored despite the error")
	}
}

func TestBEP33NoTokenWhenFull(t *testing.T) {
	r := setup(Config{}, store.Config{Peers: 2})
	var tokens [3][]byte
	var from [3]netip.AddrPort
	for i := range from {
		from[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 6881)
		m, _ := r.ask(t, from[i], query("get_peers", with("info_hash", target)))
		tokens[i] = bytes.Clone(m.Response.Token)
	}
	for i, want := range []int64{0, 0, krpc.CodeServer} {
		if m, _ := r.ask(t, from[i], announce(tokens[i], with("info_hash", target)+"4:porti1e")); m.Error.Code != want {
			t.Errorf("%d: %+v", i, m)
		}
	}
	if m, _ := r.ask(t, from[2], query("get_peers", with("info_hash", target))); m.Response.Token != nil || m.Response.Values.Len() != 2 {
		t.Errorf("full, yet %+v", m.Response)
	}
	if m, _ := r.ask(t, from[0], query("get_peers", with("info_hash", target))); m.Response.Token == nil {
		t.Errorf("no token for a peer that is kept: %+v", m.Response)
	}
}

func TestBEP33SeedAndNoseed(t *testing.T) {
	r := setup(Config{}, store.Config{})
	for i := range 60 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), 6881)
		m, _ := r.ask(t, from, query("get_peers", with("info_hash", target)))
		seed := ""
		if i < 50 {
			seed = "4:seedi1e"
		}
		r.ask(t, from, announce(bytes.Clone(m.Response.Token), with("info_hash", target)+"4:porti1e"+seed))
	}
	m, _ := r.ask(t, from4, query("get_peers", with("info_hash", target)+"6:noseedi1e4:wantl2:n42:n6e"))
	leechers := 0
	for v := range m.Response.Values.List() {
		if b, _ := v.Bytes(); b[3] > 50 {
			leechers++
		}
	}
	if n := m.Response.Values.Len(); leechers != 10 || n < 30 || n >= 60 {
		t.Errorf("%d leechers in %d values", leechers, n)
	}
}

func TestBEP32ValuesFillTheDatagramBesideTheNodes(t *testing.T) {
	r := setup(Config{Rate: -1}, store.Config{ManyPerIP: true})
	for i := range 400 {
		r.cfg.Store.Announce(0, target, netip.AddrPortFrom(from4.Addr(), uint16(i+1)), false)
		r.cfg.Store.Announce(0, target, netip.AddrPortFrom(from6.Addr(), uint16(i+1)), false)
	}
	for _, c := range []struct {
		from   netip.AddrPort
		want   string
		values int
	}{{from4, "", 80}, {from4, "4:wantl2:n42:n6e", 40}, {from6, "", 25}, {from6, "4:wantl2:n42:n6e", 15}} {
		m, _ := r.ask(t, c.from, query("get_peers", with("info_hash", target)+c.want))
		if m.Response.Values.Len() < c.values || len(m.Raw) < krpc.MaxDatagram-21 {
			t.Errorf("%d values in %d bytes", m.Response.Values.Len(), len(m.Raw))
		}
	}
}

func TestErrors(t *testing.T) {
	r := setup(Config{}, store.Config{})
	for _, c := range []struct {
		query string
		code  int64
	}{
		{string(query("find_node", "")), 203},
		{string(query("find_node", "6:target3:abc")), 203},
		{string(query("get_peers", "")), 203},
		{string(query("get_peers", "9:info_hashi5e")), 203},
		{string(query("announce_peer", "")), 203},
		{string(query("announce_peer", with("info_hash", target)+"5:token1:x")), 203},
		{string(query("announce_peer", with("info_hash", target)+"4:porti99999e5:token1:x")), 203},
		{string(query("vote", "")), 204},
		{string(query("", "")), 204},
		{string(query(strings.Repeat("long", 300), "")), 204},
		{string(query("put", "5:token1:x1:v3:abc")), 203},
		{string(query("put", "")), 203},
		{string(query("get", "")), 203},
		{string(query("sample_infohashes", "6:targetle")), 203},
		{string(query("vote", "6:target3:abc")), 204},
	} {
		if m, _ := r.ask(t, from4, []byte(c.query)); m.Error.Code != c.code {
			t.Errorf("%q: %+v", c.query, m)
		}
	}
}

func TestAnUnknownQueryWithATargetIsTreatedAsFindNode(t *testing.T) {
	r := setup(Config{}, store.Config{})
	want := r.t4.AppendClosest(nil, 0, target, 8)
	for _, q := range [][]byte{query("vote", with("target", target)), query("get_mutable", with("target", target)), query("vote", with("info_hash", target))} {
		m, _ := r.ask(t, from4, q)
		if !bytes.Equal(m.Response.Nodes, want) || m.Response.Token != nil || m.Response.Values != nil {
			t.Errorf("%q: %+v", q, m)
		}
	}
}

func TestBEP43AReadOnlyNodeIsAnsweredAndNotAddedToTheTable(t *testing.T) {
	r := setup(Config{}, store.Config{})
	ro := fmt.Appendf(nil, "d1:ad2:id20:%se1:q4:ping2:roi1e1:t2:aa1:y1:qe", asker[:])
	if _, out := r.ask(t, from4, ro); out != Answered || len(r.t4.asked) != 0 {
		t.Error(out, r.t4.asked)
	}
	r.ask(t, from4, query("ping", ""))
	r.ask(t, from6, query("ping", ""))
	mapped := netip.AddrPortFrom(netip.AddrFrom16(from4.Addr().As16()), from4.Port())
	r.ask(t, mapped, query("ping", ""))
	if fmt.Sprint(r.t4.asked, r.t6.asked) != fmt.Sprint([]netip.AddrPort{from4, from4}, []netip.AddrPort{from6}) {
		t.Error(r.t4.asked, r.t6.asked)
	}
}

func TestMartiansAreDropped(t *testing.T) {
	r := setup(Config{}, store.Config{})
	for _, a := range []string{"192.0.2.1:0", "[2001:db8::1]:0", "0.0.0.0:6881", "[::]:6881", "224.0.0.1:6881", "255.255.255.255:6881", "[ff02::1]:6881", "[::ffff:0.0.0.0]:1",
		"192.0.2.1:53", "192.0.2.1:1023", "[2001:db8::1]:123"} {
		if _, out := r.ask(t, netip.MustParseAddrPort(a), query("ping", "")); out != Martian {
			t.Error(a, out)
		}
	}
	if _, out := r.ask(t, netip.AddrPort{}, query("ping", "")); out != Martian {
		t.Error(out)
	}
	for _, a := range []string{"127.0.0.1:1", "[::1]:1", "10.0.0.1:6881", "[fd00::1]:6881", "[fe80::1%eth0]:6881"} {
		if _, out := r.ask(t, netip.MustParseAddrPort(a), query("ping", "")); out != Answered {
			t.Error(a, out)
		}
	}
	if len(r.t4.asked)+len(r.t6.asked) != 5 {
		t.Error("martian addresses were added to the table")
	}
}

func TestASourceThatAsksTooOftenIsDropped(t *testing.T) {
	r := setup(Config{Rate: 10, Burst: 20}, store.Config{})
	ping := query("ping", "")
	answered := func(from string, n int) (k int) {
		for range n {
			if _, out := r.ask(t, netip.MustParseAddrPort(from), ping); out == Answered {
				k++
			}
		}
		return k
	}
	for _, c := range []struct {
		sentence string
		after    time.Duration
		from     string
		n, want  int
	}{
		{"a burst", 0, "192.0.2.1:6881", 100, 20},
		{"another port is the same source", 0, "192.0.2.1:6882", 100, 0},
		{"a neighbour is another", 0, "192.0.2.2:6881", 100, 20},
		{"a second later", time.Second, "192.0.2.1:6881", 100, 10},
		{"a minute later", time.Minute, "192.0.2.1:6881", 100, 20},
		{"IPv6", 0, "[2001:db8:0:1::1]:6881", 100, 20},
		{"the same /64", 0, "[2001:db8:0:1::2]:6881", 100, 0},
		{"another /64", 0, "[2001:db8:0:2::1]:6881", 100, 20},
	} {
		r.now += mono.Time(c.after)
		if got := answered(c.from, c.n); got != c.want {
			t.Errorf("%s: %d answered, want %d", c.sentence, got, c.want)
		}
	}
	r = setup(Config{Rate: -1}, store.Config{})
	if got := answered("192.0.2.1:6881", 10_000); got != 10_000 {
		t.Error("limited although there is no rate limit:", got)
	}
}

func TestConfigThatLacksATablePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	New(Config{})
}
