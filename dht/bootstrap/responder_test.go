package bootstrap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/table"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// server is a Shared with two IPv4 loops and one IPv6 loop.
type server struct {
	testing.TB
	*Shared
	loops [3]*Responder
	now   mono.Time
}

func newServer(t testing.TB, change ...func(*Config)) *server {
	cfg := config()
	for _, f := range change {
		f(&cfg)
	}
	s := &server{TB: t, now: 1000 * second}
	s.Shared = NewShared(cfg, s.now, State{})
	s.loops = [3]*Responder{NewResponder(s.Shared, s.now, false), NewResponder(s.Shared, s.now, false), NewResponder(s.Shared, s.now, true)}
	return s
}

// send passes a datagram to a loop and returns the reply.
func (s *server) send(loop int, from netip.AddrPort, datagram string) string {
	r := s.loops[loop]
	s.Sync(s.now, r)
	b := string(r.Datagram(nil, s.now, from, []byte(datagram)))
	s.Sync(s.now, r)
	if len(b) > krpc.MaxDatagram {
		s.Fatalf("a reply of %d bytes", len(b))
	}
	return b
}

// ask sends a query and parses the reply.
func (s *server) ask(from netip.AddrPort, datagram string) (m krpc.Message) {
	s.Helper()
	loop := 0
	if from.Addr().Is6() {
		loop = 2
	}
	b := s.send(loop, from, datagram)
	if b == "" {
		s.Fatalf("no reply to %q", datagram)
	}
	if err := krpc.Parse([]byte(b), &m); err != nil {
		s.Fatalf("%q: %v", b, err)
	}
	return m
}

// pings returns the pings that a loop sends now.
func (s *server) pings(loop int) (to []netip.AddrPort, datagrams []string) {
	for {
		b, a, ok := s.loops[loop].Ping(nil, s.now)
		if !ok {
			return to, datagrams
		}
		to, datagrams = append(to, a), append(datagrams, string(b))
	}
}

// verify adds n verified nodes.
func (s *server) verify(n int) {
	for i := range n {
		s.rings[four].Add(s.now, nodeID(i), node4(i))
	}
}

func query(name, args string) string {
	return fmt.Sprintf("d1:ad2:id20:%s%se1:q%d:%s1:t2:aa1:y1:qe", strings.Repeat("i", 20), args, len(name), name)
}

var (
	findNode = query("find_node", "6:target20:"+strings.Repeat("t", 20))
	getPeers = query("get_peers", "9:info_hash20:"+strings.Repeat("h", 20))
	ping     = query("ping", "")
	alice    = netip.MustParseAddrPort("12.0.0.1:5000")
	alice6   = netip.MustParseAddrPort("[2a00::1]:5000")
)

func pong(node id.ID, t []byte) string {
	return fmt.Sprintf("d1:rd2:id20:%se1:t%d:%s1:y1:re", node[:], len(t), t)
}

// cookieOf returns the transaction id of a ping.
func cookieOf(t testing.TB, datagram string) []byte {
	var m krpc.Message
	if err := krpc.Parse([]byte(datagram), &m); err != nil || m.Query.Kind != krpc.Ping {
		t.Fatalf("%q: %v", datagram, err)
	}
	return m.T
}

func TestANodeIsAddedAfterItAnswersOurPing(t *testing.T) {
	s := newServer(t)
	s.ask(alice, findNode)
	to, ds := s.pings(0)
	if len(to) != 1 || to[0] != alice {
		t.Fatal("with an empty ring, the ping must be due at once:", to)
	}
	if s.Ring(false).Len() != 0 {
		t.Fatal("an unverified node is in the ring")
	}
	c := cookieOf(t, ds[0])
	bob := node4(1)
	for what, send := range map[string]func(){
		"another address": func() { s.send(0, bob, pong(nodeID(1), c)) },
		"another cookie":  func() { s.send(0, alice, pong(nodeID(1), []byte("12345678"))) },
		"an error":        func() { s.send(0, alice, "d1:eli201e1:xe1:t8:"+string(c)+"1:y1:ee") },
	} {
		if send(); s.Ring(false).Len() != 0 {
			t.Fatal(what)
		}
	}
	// A reply can arrive at another loop than the one that sent the ping.
	s.send(1, alice, pong(nodeID(1), c))
	if s.Ring(false).Len() != 1 {
		t.Fatal("not in the ring")
	}
	if m := s.ask(bob, findNode); len(m.Response.Nodes) != krpc.NodeLen4 || compactAddr(m.Response.Nodes) != alice {
		t.Fatalf("%q", m.Raw)
	}
	// While there are few nodes, no node is returned to itself.
	s.now += 11 * minute
	if m := s.ask(alice, findNode); len(m.Response.Nodes) != 0 {
		t.Fatalf("%q", m.Raw)
	}
}

func TestTheDelayGrowsWithTheRing(t *testing.T) {
	cfg := config()
	cfg.validate()
	for _, c := range []struct {
		n    int
		want time.Duration
	}{{0, 0}, {128, 15 * time.Minute / 16}, {512, 15 * time.Minute}, {100_000, 15 * time.Minute}} {
		if d := cfg.delay(c.n); d != c.want {
			t.Error(c.n, d)
		}
	}
	s := newServer(t, func(c *Config) { c.VerifyAfter = time.Minute })
	s.verify(600)
	s.ask(alice, findNode)
	s.now += minute - second
	if to, _ := s.pings(0); len(to) != 0 {
		t.Fatal("too early")
	}
	s.now += second
	if to, _ := s.pings(0); len(to) != 1 {
		t.Fatal("too late")
	}
}

func TestASourceThatAsksAgainIsOneCandidate(t *testing.T) {
	s := newServer(t)
	for range 5 {
		s.ask(alice, findNode)
	}
	if s.loops[0].Waiting() != 1 {
		t.Fatal(s.loops[0].Waiting())
	}
	s.pings(0)
	s.now += mono.Time(noteAgainAfter) // the ping may have been lost
	s.ask(alice, findNode)
	if to, _ := s.pings(0); len(to) != 1 {
		t.Fatal("not pinged again")
	}
}

func TestNodesThatDoNotBecomeCandidates(t *testing.T) {
	for what, c := range map[string]struct{ from, datagram string }{
		"read-only (BEP 43)": {"12.0.0.1:6881", strings.Replace(findNode, "1:t2:aa", "2:roi1e1:t2:aa", 1)},
		"private":            {"10.0.0.1:6881", findNode},
		"loopback":           {"127.0.0.1:1", findNode},
		"documentation":      {"192.0.2.1:6881", findNode},
		"a bad query":        {"12.0.0.1:6881", query("find_node", "")},
	} {
		s := newServer(t)
		if s.ask(netip.MustParseAddrPort(c.from), c.datagram); s.loops[0].Waiting() != 0 {
			t.Error(what)
		}
	}
	// In a private network they become candidates.
	s := newServer(t, func(c *Config) { c.Relaxed = true })
	if s.ask(netip.MustParseAddrPort("127.0.0.1:1"), findNode); s.loops[0].Waiting() != 1 {
		t.Error("a private network")
	}
}

func TestMartianSourcesGetNoReply(t *testing.T) {
	for _, a := range []string{"0.0.0.0:1", "12.0.0.1:0", "224.0.0.1:1", "255.255.255.255:1", "240.0.0.1:1", "12.0.0.1:53", "12.0.0.1:1023"} {
		s := newServer(t)
		if b := s.send(0, netip.MustParseAddrPort(a), findNode); b != "" {
			t.Errorf("%s: %q", a, b)
		}
	}
	s := newServer(t)
	if b := s.send(2, netip.MustParseAddrPort("[ff02::1]:1"), findNode); b != "" {
		t.Error("multicast")
	}
}

func TestNodesAtUnroutableAddressesAreNotAdded(t *testing.T) {
	s := newServer(t)
	a := netip.MustParseAddrPort("10.0.0.1:1")
	c := s.cookies.cookie(s.now, a)
	if s.send(0, a, pong(nodeID(1), c[:])); s.Ring(false).Len() != 0 || s.loops[0].counts.Dropped[Unroutable] != 1 {
		t.Fatal("kept")
	}
}

func TestSecureOnly(t *testing.T) {
	s := newServer(t, func(c *Config) { c.SecureOnly = true })
	c := s.cookies.cookie(s.now, alice)
	if s.send(0, alice, pong(nodeID(1), c[:])); s.Ring(false).Len() != 0 {
		t.Fatal("an id that does not fit (BEP 42)")
	}
	if s.send(0, alice, pong(table.SecureID(nodeID(1), alice.Addr()), c[:])); s.Ring(false).Len() != 1 {
		t.Fatal("an id that fits")
	}
}

func TestReplies(t *testing.T) {
	hash := "9:info_hash20:" + strings.Repeat("h", 20)
	target := "6:target20:" + strings.Repeat("t", 20)
	for _, c := range []struct {
		name, datagram string
		nodes          int
		code           int64
	}{
		{"ping", ping, 0, 0},
		{"find_node", findNode, K, 0},
		{"get_peers", getPeers, K, 0},
		{"get", query("get", target), K, 0},
		{"sample_infohashes", query("sample_infohashes", target), K, 0},
		{"unknown with target", query("vote", target), K, 0},
		{"unknown with info_hash", query("vote", hash), K, 0},
		{"unknown", query("vote", ""), 0, krpc.CodeUnknown},
		{"find_node without target", query("find_node", ""), 0, krpc.CodeProtocol},
		{"announce_peer", query("announce_peer", hash+"4:porti1e5:token4:abcd"), 0, krpc.CodeProtocol},
		{"announce_peer without token", query("announce_peer", hash+"4:porti1e"), 0, krpc.CodeProtocol},
		{"put", query("put", "5:token4:abcd1:vi1e"), 0, krpc.CodeProtocol},
	} {
		s := newServer(t)
		s.verify(100)
		m := s.ask(alice, c.datagram)
		if m.Error.Code != c.code || len(m.Response.Nodes) != c.nodes*krpc.NodeLen4 || len(m.Response.Token) != 0 || m.Response.Values != nil {
			t.Errorf("%s: %q", c.name, m.Raw)
		}
		if (m.Response.Token != nil) != (c.name == "get_peers") {
			t.Errorf("%s: an empty token is for aria2, which reads no reply to get_peers without one: %q", c.name, m.Raw)
		}
		// BEP 42: all responses include the address of the querying node.
		if m.IP != alice {
			t.Errorf("%s: ip %v", c.name, m.IP)
		}
		if !bytes.Equal(m.T, []byte("aa")) || c.code == 0 && m.Response.ID != s.ID(false) {
			t.Errorf("%s: %q", c.name, m.Raw)
		}
	}
	s := newServer(t)
	for _, d := range []string{"", "d", "le", "hello", "d1:y1:qe", "d1:ade1:q4:ping1:t2:aa1:y1:qe", "d1:q4:ping1:t2:aa1:y1:qe"} {
		if b := s.send(0, alice, d); b != "" {
			t.Errorf("%q: %q", d, b)
		}
	}
	// BEP 51: nothing is stored here.
	if m := s.ask(alice, query("sample_infohashes", target)); !strings.Contains(string(m.Raw), "7:samples0:") || !strings.Contains(string(m.Raw), "8:intervali21600e") {
		t.Errorf("%q", m.Raw)
	}
}

func TestWant(t *testing.T) {
	s := newServer(t)
	s.verify(20)
	for i := range 20 {
		s.rings[six].Add(s.now, nodeID(i), netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x2a, 0, 5: byte(i)}), 6881))
	}
	for _, c := range []struct {
		from          netip.AddrPort
		want          string
		nodes, nodes6 int
	}{
		{alice, "", K, 0},
		{alice6, "", 0, K},
		{alice, "4:wantl2:n6e", 0, K},
		{alice6, "4:wantl2:n4e", K, 0},
		{alice, "4:wantl2:n42:n6e", K, K},
		{alice, "4:wantl2:n7e", K, 0},
	} {
		s.now += 11 * minute
		m := s.ask(c.from, query("find_node", "6:target20:"+strings.Repeat("t", 20)+c.want))
		if len(m.Response.Nodes) != c.nodes*krpc.NodeLen4 || len(m.Response.Nodes6) != c.nodes6*krpc.NodeLen6 {
			t.Errorf("%v %q: %d and %d bytes", c.from, c.want, len(m.Response.Nodes), len(m.Response.Nodes6))
		}
	}
}

func TestASourceThatAsksAgainGetsFewerNodes(t *testing.T) {
	s := newServer(t)
	s.verify(100)
	s.ask(alice, ping)
	for i, want := range []int{K, kSmall, kSmall} {
		if m := s.ask(alice, findNode); len(m.Response.Nodes) != want*krpc.NodeLen4 {
			t.Error(i, len(m.Response.Nodes))
		}
	}
	s.now += 10 * minute
	if m := s.ask(alice, findNode); len(m.Response.Nodes) != K*krpc.NodeLen4 {
		t.Error("after ten minutes")
	}
	if n := s.loops[0].counts.Queries[krpc.FindNode]; n != [NumOutcomes]uint64{Answered: 2, Small: 2} {
		t.Error(n)
	}
}

func TestEachSourceAndEach64IsLimited(t *testing.T) {
	s := newServer(t)
	answered := func(loop int, from func(i int) netip.AddrPort) (n int) {
		for i := range 200 {
			if s.send(loop, from(i), ping) != "" {
				n++
			}
		}
		return n
	}
	if n := answered(0, func(i int) netip.AddrPort { return netip.AddrPortFrom(alice.Addr(), uint16(5000+i)) }); n != 50 {
		t.Error("IPv4:", n)
	}
	in64 := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x2a, 15: byte(i)}), 6881)
	}
	if n := answered(2, in64); n != 50 {
		t.Error("IPv6:", n)
	}
	if n := answered(0, node4); n != 200 {
		t.Error("others:", n)
	}
}

func TestUnderLoadLowPrioritiesAreDroppedFirst(t *testing.T) {
	bad := query("vote", "")
	for _, c := range []struct {
		fill float64
		want [4]bool // bad, repeated, ping, arriving
	}{
		{0, [4]bool{true, true, true, true}},
		{0.3, [4]bool{false, true, true, true}},
		{0.6, [4]bool{false, false, true, true}},
		{0.9, [4]bool{false, false, false, true}},
	} {
		s := newServer(t)
		s.verify(100)
		s.ask(alice, findNode)
		for range 100 {
			s.loops[0].Pressure(c.fill)
		}
		got := [4]bool{s.send(0, alice, bad) != "", s.send(0, alice, findNode) != "", s.send(0, alice, ping) != "", s.send(0, node4(1), findNode) != ""}
		if got != c.want {
			t.Errorf("%v full: %v", c.fill, got)
		}
		s.loops[0].Pressure(0)
		for range 100 {
			s.loops[0].Pressure(0)
		}
		if s.send(0, alice, bad) == "" {
			t.Error("still dropped after the load ended")
		}
	}
	s := newServer(t)
	s.loops[0].Pressure(1)
	if s.send(0, alice, bad) == "" {
		t.Error("one full batch must not count as overload")
	}
}

func TestOurIDMatchesOurExternalAddress(t *testing.T) {
	s := newServer(t)
	ours := netip.MustParseAddrPort("8.8.8.8:6881")
	for i := range 5 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, byte(i), 1, 1}), 6881)
		c := s.cookies.cookie(s.now, a)
		d := fmt.Sprintf("d2:ip6:\x08\x08\x08\x08\x1a\xe11:rd2:id20:%se1:t8:%s1:y1:re", strings.Repeat("x", 20), c[:])
		s.send(0, a, d)
	}
	if s.External(false) != ours.Addr() || !table.Secure(s.ID(false), ours.Addr()) {
		t.Fatal(s.External(false), s.ID(false))
	}
	if m := s.ask(alice, ping); m.Response.ID != s.ID(false) {
		t.Fatal("another id in the reply")
	}
}

func TestPingRate(t *testing.T) {
	s := newServer(t, func(c *Config) { c.PingRate = 100; c.Relaxed = true })
	for i := range 5000 {
		s.send(0, node4(i), findNode)
	}
	n := 0
	for range 100 {
		s.now += second / 10
		to, _ := s.pings(0)
		n += len(to)
	}
	if n < 1000 || n > 1026 {
		t.Fatalf("%d pings in 10 s at 100 a second", n)
	}
}

func TestStateIsRestored(t *testing.T) {
	s := newServer(t)
	s.verify(600)
	s.rings[six].Add(s.now, nodeID(1), alice6)
	now := time.Unix(1_800_000_000, 0)
	st := s.State(now)
	b := st.Append(nil)
	got, err := ParseState(b)
	if err != nil || got.IDs != st.IDs || !got.Saved.Equal(now) || !bytes.Equal(got.Nodes[0], st.Nodes[0]) || !bytes.Equal(got.Nodes[1], st.Nodes[1]) {
		t.Fatal(err, got)
	}
	got.Fresh = true
	next := NewShared(config(), 0, got)
	if next.Ring(false).Len() != 600 || next.Ring(true).Len() != 1 || next.ID(false) != s.ID(false) || next.ID(true) != s.ID(true) {
		t.Fatal(next.Ring(false).Len(), next.Ring(true).Len())
	}
	next.Ring(false).consistent(t)

	// Old nodes are pinged first, without a delay, and kept until then.
	got.Fresh = false
	next = NewShared(config(), 0, got)
	if next.Ring(false).Len() != 0 || len(next.State(now).Nodes[0]) != len(st.Nodes[0]) {
		t.Fatal("old nodes count as verified")
	}
	r := NewResponder(next, 0, false)
	asked := 0
	for now := mono.Time(0); now < 10*second; now += second / 10 {
		next.Sync(now, r)
		for {
			b, to, ok := r.Ping(nil, now)
			if !ok {
				break
			}
			asked++
			r.Datagram(nil, now, to, []byte(pong(nodeID(asked), cookieOf(t, string(b)))))
		}
	}
	if asked != 600 || next.Ring(false).Len() != 600 {
		t.Fatal(asked, next.Ring(false).Len())
	}
}

func FuzzParseState(f *testing.F) {
	s := newServer(f)
	s.verify(3)
	st := s.State(time.Unix(1_800_000_000, 0))
	good := st.Append(nil)
	f.Add(good)
	f.Add(good[:len(good)-5])
	f.Add([]byte(stateMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		// The checksum would reject nearly all input.
		if len(b) >= 4 {
			b = withSum(b[:len(b)-4])
		}
		st, err := ParseState(b)
		if err != nil {
			if _, ok := err.(StateError); !ok {
				t.Fatal(err)
			}
			return
		}
		if again := st.Append(nil); !bytes.Equal(again, b) {
			t.Fatalf("%q becomes %q", b, again)
		}
		NewShared(config(), 0, st).Ring(false).consistent(t)
	})
}

func withSum(b []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(b), crc32.Checksum(b, castagnoli))
}

// For any input: no panic, no reply above the size that BEP 32 allows, none without
// a transaction id, and only verified nodes in the ring.
func FuzzDatagram(f *testing.F) {
	for _, d := range []string{findNode, getPeers, ping, query("vote", ""), query("put", ""), pong(nodeID(1), []byte("12345678"))} {
		f.Add([]byte(d), []byte{12, 0, 0, 1}, uint16(1), 0.0)
	}
	f.Add([]byte(findNode), make([]byte, 16), uint16(1), 0.9)
	f.Fuzz(func(t *testing.T, d, ip []byte, port uint16, fill float64) {
		a, ok := netip.AddrFromSlice(ip)
		if !ok {
			return
		}
		s := newServer(t, func(c *Config) { c.Sources, c.Candidates = 64, 64 })
		s.verify(50)
		for _, r := range s.loops {
			r.Pressure(fill)
			b := r.Datagram(nil, s.now, netip.AddrPortFrom(a.Unmap(), port), d)
			s.Sync(s.now, r)
			var m krpc.Message
			if len(b) > krpc.MaxDatagram || len(b) > 0 && (krpc.Parse(b, &m) != nil || m.Y == 'q') {
				t.Fatalf("%q", b)
			}
		}
		if s.Ring(false).Len() != 50 || s.Ring(true).Len() != 0 {
			t.Fatal("an unverified node was added")
		}
	})
}

func TestNoAllocations(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Rate = 1e6; c.Burst = 1e6 })
	s.verify(100_000)
	r := s.loops[0]
	s.Sync(s.now, r)
	buf := make([]byte, 0, krpc.MaxDatagram)
	both := query("find_node", "6:target20:"+strings.Repeat("t", 20)+"4:wantl2:n42:n6e")
	i := 0
	for _, q := range []string{ping, findNode, both, getPeers, query("vote", ""), query("find_node", ""), query("announce_peer", ""), "rubbish"} {
		d := []byte(q)
		for range 2000 { // the queue of candidates grows
			i++
			r.Datagram(buf, s.now, node4(i%10_000), d)
		}
		if n := testing.AllocsPerRun(500, func() {
			i++
			s.Sync(s.now, r)
			r.Datagram(buf, s.now, node4(i%10_000), d)
		}); n != 0 {
			t.Errorf("%q: %v allocations", q, n)
		}
	}
}

// BenchmarkQuery measures a query from the datagram to the reply, with all
// protections, from 10,000 sources.
func BenchmarkQuery(b *testing.B) {
	for _, q := range []struct{ name, datagram string }{
		{"ping", ping}, {"find_node", findNode}, {"get_peers", getPeers},
		{"announce_peer", query("announce_peer", "9:info_hash20:"+strings.Repeat("h", 20)+"4:porti1e5:token4:abcd")},
	} {
		b.Run(q.name, func(b *testing.B) {
			s := newServer(b, func(c *Config) { c.Repeat = -1 })
			s.verify(100_000)
			r := s.loops[0]
			from := make([]netip.AddrPort, 10_000)
			for i := range from {
				from[i] = node4(i * 7)
			}
			buf, d := make([]byte, 0, krpc.MaxDatagram), []byte(q.datagram)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				// Each source sends a query about every 100 ms.
				now := s.now + mono.Time(i)*10*mono.Time(time.Microsecond)
				if i%32 == 0 {
					s.Sync(now, r)
				}
				if out := r.Datagram(buf, now, from[i%len(from)], d); len(out) == 0 {
					b.Fatal("no reply")
				}
				i++
			}
		})
	}
}
