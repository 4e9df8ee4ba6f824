package krpc

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	theirs "github.com/anacrolix/dht/v2/krpc"
	naive "github.com/anacrolix/torrent/bencode"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

const (
	idA = "abcdefghij0123456789"
	idM = "mnopqrstuvwxyz123456"
)

// The example packets of BEP 5.
const (
	pingQuery     = "d1:ad2:id20:" + idA + "e1:q4:ping1:t2:aa1:y1:qe"
	pingReply     = "d1:rd2:id20:" + idM + "e1:t2:aa1:y1:re"
	findNodeQuery = "d1:ad2:id20:" + idA + "6:target20:" + idM + "e1:q9:find_node1:t2:aa1:y1:qe"
	getPeersQuery = "d1:ad2:id20:" + idA + "9:info_hash20:" + idM + "e1:q9:get_peers1:t2:aa1:y1:qe"
	getPeersReply = "d1:rd2:id20:" + idA + "5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re"
	announceQuery = "d1:ad2:id20:" + idA + "12:implied_porti1e9:info_hash20:" + idM + "4:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe"
	genericError  = "d1:eli201e23:A Generic Error Ocurrede1:t2:aa1:y1:ee"
)

func parse(t *testing.T, s string) Message {
	t.Helper()
	var m Message
	if err := Parse([]byte(s), &m); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return m
}

func ident(s string) (v id.ID) { copy(v[:], s); return v }

// query returns a query with the given method and content of "a" after the id.
func query(name, args string) string {
	return fmt.Sprintf("d1:ad2:id20:%s%se1:q%d:%s1:t2:aa1:y1:qe", idA, args, len(name), name)
}

func TestExamplePacketsOfBEP5(t *testing.T) {
	for s, kind := range map[string]Kind{pingQuery: Ping, findNodeQuery: FindNode, getPeersQuery: GetPeers, announceQuery: AnnouncePeer} {
		m := parse(t, s)
		q := m.Query
		if m.Y != 'q' || string(m.T) != "aa" || string(q.T) != "aa" || q.Kind != kind || q.ID != ident(idA) || q.Bad != "" || string(m.Raw) != s {
			t.Errorf("%q: %+v", s, m)
		}
		if (kind != Ping) != (q.HasTarget && q.Target == ident(idM)) {
			t.Errorf("%q: target %v", s, q.Target)
		}
		if kind == AnnouncePeer && (!q.ImpliedPort || string(q.Token) != "aoeusnth") {
			t.Errorf("%q: %+v", s, q)
		}
	}
	if m := parse(t, pingReply); m.Y != 'r' || m.Response.ID != ident(idM) || string(m.T) != "aa" {
		t.Errorf("%+v", m)
	}
	if m := parse(t, getPeersReply); string(m.Response.Token) != "aoeusnth" || m.Response.Values.Len() != 2 || string(m.Response.Values) != "l6:axje.u6:idhtnme" {
		t.Errorf("%+v", m)
	}
	if m := parse(t, genericError); m.Y != 'e' || m.Error.Code != CodeGeneric || string(m.Error.Text) != "A Generic Error Ocurred" {
		t.Errorf("%+v", m)
	}
}

func TestArguments(t *testing.T) {
	q := func(name, args string) Query { return parse(t, query(name, args)).Query }
	hash := "9:info_hash20:" + idM
	announce := func(rest string) Query { return q("announce_peer", hash+rest) }

	for _, c := range []struct {
		sentence string
		ok       bool
	}{
		{"BEP 5: the port as an integer", announce("4:porti6881e5:token1:x").Port == 6881},
		{"BEP 5: if implied_port is present and non-zero, port should be ignored", announce("12:implied_porti1e5:token1:x").Bad == "" &&
			announce("12:implied_porti1e4:porti0e5:token1:x").Bad == "" && announce("12:implied_porti2e5:token1:x").ImpliedPort},
		{"BEP 5: implied_port 0 is the same as an absent one", announce("12:implied_porti0e4:porti7e5:token1:x").Port == 7},
		{"BEP 33: seed=1", announce("4:porti1e4:seedi1e5:token1:x").Seed},
		{"BEP 33: if the value was not 1, the announcing node is a peer", !announce("4:porti1e4:seedi2e5:token1:x").Seed},
		{"BEP 33: noseed=1 and scrape=1", q("get_peers", hash+"6:noseedi1e6:scrapei1e").NoSeed && q("get_peers", hash+"6:scrapei1e").Scrape},
		{"BEP 32: want n4 and n6", q("get_peers", hash+"4:wantl2:n42:n6e").WantV4 && q("get_peers", hash+"4:wantl2:n62:n4e").WantV6},
		{"BEP 32: want one", q("get_peers", hash+"4:wantl2:n6e").HasWant && !q("get_peers", hash+"4:wantl2:n6e").WantV4},
		{"BEP 32: other strings must be silently ignored", q("get_peers", hash+"4:wantl2:n92:n4e").WantV4 && !q("get_peers", hash+"4:wantl2:n9e").HasWant},
		{"BEP 43: ro=1", parse(t, "d1:ad2:id20:"+idA+"e1:q4:ping2:roi1e1:t2:aa1:y1:qe").Query.ReadOnly},
		{"BEP 43: ro other than 1", !parse(t, "d1:ad2:id20:"+idA+"e1:q4:ping2:roi0e1:t2:aa1:y1:qe").Query.ReadOnly},
		{"the version", string(parse(t, "d1:ad2:id20:"+idA+"e1:q4:ping1:t0:1:v4:UTxx1:y1:qe").Query.Version) == "UTxx"},
		{"a malformed ip, v or ro does not invalidate a query", parse(t, "d1:ad2:id20:"+idA+"e2:ip3:abc1:q4:ping2:role1:t2:aa1:vi1e1:y1:qe").Query.Kind == Ping},
		{"keys in any order", parse(t, "d1:y1:q1:t2:aa1:q4:ping1:ad2:id20:"+idA+"ee").Query.Kind == Ping},
		{"bytes after the message are not part of Raw", string(parse(t, pingQuery+"\x00\x00").Raw) == pingQuery},
		{"unknown keys of any type are ignored", parse(t, "d1:ad2:id20:"+idA+"1:xd1:yleee1:q4:ping1:t2:aa1:y1:q1:zlli1eeee").Query.Kind == Ping},
		{"integers of any size decode", parse(t, query("ping", "1:xi99999999999999999999e")).Query.Bad == ""},
		{"an empty transaction id is valid", parse(t, "d1:ad2:id20:"+idA+"e1:q4:ping1:t0:1:y1:qe").Query.Kind == Ping},
	} {
		if !c.ok {
			t.Error(c.sentence)
		}
	}
}

func TestUnknownQueries(t *testing.T) {
	for _, c := range []struct {
		args   string
		target bool
	}{
		{"6:target20:" + idM, true},
		{"9:info_hash20:" + idM, true},
		{"9:info_hash20:" + idA + "6:target20:" + idM, true},
		{"", false},
		{"6:target3:abc", false},
		{"6:targeti1e", false},
		{"9:info_hashle", false},
	} {
		q := parse(t, query("vote", c.args)).Query
		if q.Kind != Unknown || q.Bad != "" || q.HasTarget != c.target || c.target && q.Target != ident(idM) {
			t.Errorf("%q: %+v", c.args, q)
		}
	}
}

func TestInvalidArgumentsOfAKnownQueryAreBad(t *testing.T) {
	hash := "9:info_hash20:" + idM
	for _, s := range []string{
		query("find_node", ""), query("find_node", "6:target19:"+idM[1:]), query("find_node", "6:target21:"+idM+"x"),
		query("find_node", "6:targeti7e"), query("find_node", "9:info_hash20:"+idM), query("find_node", "6:target20:"+idM+"4:wanti4e"),
		query("find_node", "6:target20:"+idM+"4:wantli4ee"),
		query("get_peers", ""), query("get_peers", "6:target20:"+idM), query("get_peers", "9:info_hashle"),
		query("get_peers", hash+"4:want2:n4"), query("get_peers", hash+"6:noseed1:1"), query("get_peers", hash+"6:scrapele"),
		query("announce_peer", ""), query("announce_peer", "4:porti1e5:token1:x"), query("announce_peer", hash+"4:porti1e"),
		query("announce_peer", hash+"4:porti1e5:tokeni1e"), query("announce_peer", hash+"5:token1:x"),
		query("announce_peer", hash+"4:porti0e5:token1:x"), query("announce_peer", hash+"4:porti65536e5:token1:x"),
		query("announce_peer", hash+"4:porti99999999999999999999e5:token1:x"), query("announce_peer", hash+"4:porti-1e5:token1:x"), query("announce_peer", hash+"4:port4:68815:token1:x"),
		query("announce_peer", "12:implied_port1:1"+hash+"4:porti1e5:token1:x"), query("announce_peer", hash+"4:porti1e4:seedle5:token1:x"),
		query("announce_peer", hash+"4:porti1e5:token129:"+strings.Repeat("x", 129)),
	} {
		if m := parse(t, s); m.Query.Bad == "" || m.Query.Kind == Unknown {
			t.Errorf("%q passes", s)
		}
	}
}

func TestInvalidMessages(t *testing.T) {
	for s, want := range map[string]Error{
		"":                                    ErrNotDict,
		"d":                                   ErrBencode,
		"le":                                  ErrNotDict,
		"hello":                               ErrNotDict,
		pingQuery[:len(pingQuery)-1]:          ErrBencode,
		strings.Repeat("d1:a", 100_000):       ErrBencode,
		"d1:x" + strings.Repeat("l", 100_000): ErrBencode,
		"d1:t2:aai03ei1ee":                    ErrBencode,
		"de":                                  ErrT,
		"d1:ad2:id20:" + idA + "e1:q4:ping1:y1:qe":                                      ErrT,
		"d1:ad2:id20:" + idA + "e1:q4:ping1:ti1e1:y1:qe":                                ErrT,
		"d1:ad2:id20:" + idA + "e1:q4:ping1:t33:" + strings.Repeat("t", 33) + "1:y1:qe": ErrT,
		"d1:ad2:id20:" + idA + "e1:q4:ping1:t2:aae":                                     ErrY,
		"d1:ad2:id20:" + idA + "e1:q4:ping1:t2:aa1:y1:xe":                               ErrY,
		"d1:ad2:id20:" + idA + "e1:q4:ping1:t2:aa1:y2:qqe":                              ErrY,
		"d1:ad2:id20:" + idA + "e1:q4:ping1:t2:aa1:yi1ee":                               ErrY,
		"d1:ad2:id20:" + idA + "e1:t2:aa1:y1:qe":                                        ErrQ,
		"d1:ad2:id20:" + idA + "e1:qi4e1:t2:aa1:y1:qe":                                  ErrQ,
		"d1:q4:ping1:t2:aa1:y1:qe":                                                      ErrArgs,
		"d1:ale1:q4:ping1:t2:aa1:y1:qe":                                                 ErrArgs,
		"d1:ade1:q4:ping1:t2:aa1:y1:qe":                                                 ErrID,
		"d1:ad2:id19:" + idA[1:] + "e1:q4:ping1:t2:aa1:y1:qe":                           ErrID,
		"d1:ad2:id21:" + idA + "xe1:q4:ping1:t2:aa1:y1:qe":                              ErrID,
		"d1:ad2:idi20ee1:q4:ping1:t2:aa1:y1:qe":                                         ErrID,
		"d1:ad2:id20:" + idA + "2:id20:" + idM + "e1:q4:ping1:t2:aa1:y1:qe":             ErrRepeated,
		"d1:ad2:id20:" + idA + "e1:ad2:id20:" + idM + "e1:q4:ping1:t2:aa1:y1:qe":        ErrRepeated,
		"d1:ad2:id20:" + idA + "e1:q4:ping1:t2:aa1:t2:bb1:y1:qe":                        ErrRepeated,
		"d1:ad2:id20:" + idA + "e1:q4:ping1:rd2:id20:" + idA + "e1:t2:aa1:y1:qe":        ErrY,
		"d1:t2:aa1:y1:re":                            ErrReturn,
		"d1:ri1e1:t2:aa1:y1:re":                      ErrReturn,
		"d1:rde1:t2:aa1:y1:re":                       ErrID,
		"d1:rd2:id19:" + idA[1:] + "e1:t2:aa1:y1:re": ErrID,
		"d1:ade1:t2:aa1:y1:re":                       ErrReturn,
		"d1:t2:aa1:y1:ee":                            ErrErr,
		"d1:e3:bad1:t2:aa1:y1:ee":                    ErrErr,
		"d1:rd2:id20:" + idA + "5:nodes0:5:nodes0:e1:t2:aa1:y1:re": ErrRepeated,
	} {
		var m Message
		if err := Parse([]byte(s), &m); err != want {
			t.Errorf("%.120q: %v, want %v", s, err, want)
		}
	}
}

// A malformed field of a response is ignored; the other fields are still used.
func TestOneMalformedFieldDoesNotInvalidateAResponse(t *testing.T) {
	nodes, nodes6 := strings.Repeat("n", 3*NodeLen4), strings.Repeat("m", 2*NodeLen6)
	good := func() map[string]string {
		return map[string]string{
			"BFpe": "256:" + strings.Repeat("p", 256), "BFsd": "256:" + strings.Repeat("s", 256), "id": "20:" + idA, "interval": "i60e", "k": "32:" + strings.Repeat("k", 32),
			"nodes": "78:" + nodes, "nodes6": "76:" + nodes6, "num": "i9e", "samples": "40:" + idA + idM, "seq": "i7e", "sig": "64:" + strings.Repeat("g", 64),
			"token": "3:tok", "v": "5:value", "values": "l6:abcdefe",
		}
	}
	write := func(fields map[string]string) string {
		r := "d1:rd"
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			r += fmt.Sprintf("%d:%s%s", len(key), key, fields[key])
		}
		return r + "e1:t2:aa1:y1:re"
	}
	read := func(s string) (m Message, r Returned, peers []netip.AddrPort) {
		m = parse(t, s)
		return m, m.Returned(), slices.Collect(m.Response.Peers())
	}
	m, r, peers := read(write(good()) + "\x00")
	if string(m.Response.Nodes) != nodes || string(m.Response.Nodes6) != nodes6 || string(m.Response.Token) != "tok" || len(peers) != 1 ||
		string(r.Value) != "5:value" || r.K == nil || r.Sig == nil || !r.HasSeq || r.BloomPeers == nil || r.BloomSeeds == nil || len(r.Samples) != 40 || r.Num != 9 {
		t.Fatalf("%+v, %+v, %v", m, r, peers)
	}
	for key := range good() {
		for _, bad := range []string{"0:", "1:x", "i1e", "i-1e", "i99999999999999999999e", "le", "de", "li1ei2ee", "l1:x6:abcdefi3e4:abcde", "79:" + nodes + "x", "77:" + nodes6 + "x", "129:" + strings.Repeat("x", 129)} {
			fields := good()
			fields[key] = bad
			if key == "id" {
				var m Message
				if err := Parse([]byte(write(fields)), &m); err != ErrID {
					t.Errorf("an id of %q: %v", bad, err)
				}
				continue
			}
			m, r, peers := read(write(fields))
			ours := func(k string, ok bool) {
				if !ok && k != key {
					t.Errorf("%s of %.20q invalidates %s", key, bad, k)
				}
			}
			ours("nodes", string(m.Response.Nodes) == nodes)
			ours("nodes6", string(m.Response.Nodes6) == nodes6)
			ours("token", string(m.Response.Token) == "tok")
			ours("values", len(peers) == 1)
			ours("v", string(r.Value) == "5:value")
			ours("k", r.K != nil)
			ours("sig", r.Sig != nil)
			ours("seq", r.HasSeq && r.Seq == 7)
			ours("BFpe", r.BloomPeers != nil)
			ours("BFsd", r.BloomSeeds != nil)
			ours("samples", len(r.Samples) == 40)
			ours("num", r.Num == 9)
			ours("interval", r.Interval == 60)
			if len(m.Response.Nodes)%NodeLen4+len(m.Response.Nodes6)%NodeLen6+len(r.Samples)%id.Len != 0 || len(m.Response.Token) > MaxToken {
				t.Errorf("%s of %.20q: %+v", key, bad, m.Response)
			}
		}
	}
	// Complete nodes before an extra byte, and a peer among other values, are used.
	fields := good()
	fields["nodes"], fields["values"] = "79:"+nodes+"x", "li3e1:x6:abcdef4:abcdlee"
	if m, _, peers := read(write(fields)); string(m.Response.Nodes) != nodes || len(peers) != 1 {
		t.Errorf("%+v, %v", m.Response, peers)
	}
	for _, head := range []string{"2:ip5:xxxxx", "2:ip1:x", "2:ipi1e"} {
		if m := parse(t, "d"+head+"1:rd2:id20:"+idA+"e1:t2:aa1:vi1e1:y1:re"); m.IP.IsValid() || m.Version != nil || m.Response.ID != ident(idA) {
			t.Errorf("%q: %+v", head, m)
		}
	}
	for _, e := range []string{"le", "li201ee", "l3:bade", "li201ei5ee", "l3:bad3:bade"} {
		if m := parse(t, "d1:e"+e+"1:t2:aa1:y1:ee"); m.Y != 'e' || m.Error.Code != 0 && m.Error.Code != 201 {
			t.Errorf("%q: %+v", e, m)
		}
	}
}

func TestTruncatedMessagesAreInvalid(t *testing.T) {
	var m Message
	for _, s := range []string{pingQuery, announceQuery, getPeersReply, genericError} {
		for i := range s {
			if err := Parse([]byte(s[:i]), &m); err == nil {
				t.Errorf("%q passes", s[:i])
			}
		}
	}
}

func TestBEP42IP(t *testing.T) {
	for _, c := range []struct{ raw, want string }{
		{"\x01\x02\x03\x04\x1a\xe1", "1.2.3.4:6881"},
		{"\x01\x02\x03\x04", "1.2.3.4:0"},
		{"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1a\xe1", "[2001:db8::1]:6881"},
		{"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x01\x02\x03\x04\x1a\xe1", "1.2.3.4:6881"},
	} {
		for _, s := range []string{
			"d2:ip%d:%s1:rd2:id20:" + idA + "e1:t2:aa1:y1:re",
			"d1:eli203e3:bade2:ip%d:%s1:t2:aa1:y1:ee",
		} {
			if m := parse(t, fmt.Sprintf(s, len(c.raw), c.raw)); m.IP.String() != c.want {
				t.Errorf("%q: %v", c.raw, m.IP)
			}
		}
	}
	if m := parse(t, pingReply); m.IP.IsValid() {
		t.Error("an address although the message has none")
	}
}

func TestBEP32HybridValues(t *testing.T) {
	s := "d1:rd2:id20:" + idA + "6:valuesl6:abcdef18:abcdefghijklmnopqr6:abcdefee1:t2:aa1:y1:re"
	if m := parse(t, s); m.Response.Values.Len() != 3 {
		t.Errorf("%+v", m.Response)
	}
}

var (
	to4 = netip.MustParseAddrPort("192.0.2.1:6881")
	to6 = netip.MustParseAddrPort("[2001:db8::1]:6881")
)

func TestRepliesAreCanonicalAndContainTheRequestorsAddress(t *testing.T) {
	ip4 := "2:ip6:\xc0\x00\x02\x01\x1a\xe1"
	tail := "1:t2:aa1:v4:" + Version + "1:y1:"
	r := Reply{To: to4, T: []byte("aa"), ID: ident(idM)}
	if got, want := string(r.Append(nil)), "d"+ip4+"1:rd2:id20:"+idM+"e"+tail+"re"; got != want {
		t.Errorf("pong\n%q\n%q", got, want)
	}
	r.Nodes = []byte{}
	if got, want := string(r.Append(nil)), "d"+ip4+"1:rd2:id20:"+idM+"5:nodes0:e"+tail+"re"; got != want {
		t.Errorf("no nodes\n%q\n%q", got, want)
	}
	r = Reply{To: netip.AddrPortFrom(netip.AddrFrom16(to4.Addr().As16()), to4.Port()), T: []byte("aa"), ID: ident(idM), Nodes: bytes.Repeat([]byte("n"), 52),
		Nodes6: bytes.Repeat([]byte("m"), 38), Token: []byte("tok"), Values: []byte("axje.uidhtnm")}
	if got, want := string(r.Append([]byte("x"))), "xd"+ip4+"1:rd2:id20:"+idM+"5:nodes52:"+strings.Repeat("n", 52)+"6:nodes638:"+strings.Repeat("m", 38)+
		"5:token3:tok6:valuesl6:axje.u6:idhtnmee"+tail+"re"; got != want {
		t.Errorf("peers\n%q\n%q", got, want)
	}
	r = Reply{To: to6, T: []byte("aa"), ID: ident(idM), Values: bytes.Repeat([]byte("v"), 18)}
	if got, want := string(r.Append(nil)), "d2:ip18:\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x1a\xe11:rd2:id20:"+idM+
		"6:valuesl18:vvvvvvvvvvvvvvvvvvee"+tail+"re"; got != want {
		t.Errorf("peers over IPv6\n%q\n%q", got, want)
	}
	if got, want := string(AppendError(nil, to4, []byte("aa"), CodeProtocol, "bad token")), "d1:eli203e9:bad tokene"+ip4+tail+"ee"; got != want {
		t.Errorf("error\n%q\n%q", got, want)
	}
}

func TestAppendPanicsOnALongTransactionID(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	(&Reply{To: to4, T: make([]byte, MaxT+1)}).Append(nil)
}

func TestErrorTexts(t *testing.T) {
	for e := ErrBencode; e <= ErrErr; e++ {
		if !strings.HasPrefix(e.Error(), "krpc: ") {
			t.Error(uint8(e), e.Error())
		}
	}
	for k := Unknown; k <= SampleInfohashes; k++ {
		if k.String() == "" {
			t.Error(uint8(k))
		}
	}
}

func TestNoAllocations(t *testing.T) {
	var m Message
	buf := make([]byte, 0, MaxDatagram)
	r := Reply{To: to4, T: []byte("aa"), Nodes: make([]byte, 8*NodeLen4), Token: make([]byte, 8), Values: make([]byte, 600)}
	for _, s := range []string{pingQuery, findNodeQuery, getPeersQuery, announceQuery, getPeersReply, genericError, "d1:q4:ping1:t2:aa1:y1:qe", "rubbish", "d1:ad2:id"} {
		b := []byte(s)
		if n := testing.AllocsPerRun(100, func() { Parse(b, &m) }); n != 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		r.Append(buf)
		AppendError(buf, to6, r.T, CodeProtocol, "bad token")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, s string }{{"ping", pingQuery}, {"find_node", findNodeQuery}, {"get_peers", getPeersQuery}, {"announce_peer", announceQuery}, {"reply", getPeersReply}} {
		b.Run(c.name, func(b *testing.B) {
			in := []byte(c.s)
			var m Message
			b.ReportAllocs()
			for b.Loop() {
				if err := Parse(in, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("anacrolix find_node", func(b *testing.B) {
		in := []byte(findNodeQuery)
		b.ReportAllocs()
		for b.Loop() {
			var m theirs.Msg
			if err := naive.Unmarshal(in, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	buf := make([]byte, 0, MaxDatagram)
	r := Reply{To: to4, T: []byte("aa"), Nodes: make([]byte, 8*NodeLen4)}
	b.Run("nodes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Append(buf)
		}
	})
	r.Token, r.Values = make([]byte, 8), make([]byte, 600)
	b.Run("nodes and values", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Append(buf)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "d", "de", pingQuery, pingReply, findNodeQuery, getPeersQuery, getPeersReply, announceQuery, genericError, pingQuery + "x",
		query("vote", "6:target20:"+idM), query("get_peers", "9:info_hash20:"+idM+"6:noseedi1e6:scrapei1e4:wantl2:n42:n6e"),
		query("put", "1:k32:"+strings.Repeat("k", 32)+"4:salt3:abc3:seqi1e3:sig64:"+strings.Repeat("s", 64)+"5:token2:xx1:vd1:ai1ee"), query("get", "3:seqi1e6:target20:"+idM),
		"d2:ip6:abcdef1:rd2:id20:" + idA + "5:nodes26:abcdefghijklmnopqrstuvwxyz6:nodes60:5:token2:xx6:valuesl18:abcdefghijklmnopqree1:t2:aa1:v4:LT\x01\x021:y1:re",
		"d1:rd2:id20:" + idA + "8:intervali60e1:k32:abcdefghijklmnopqrstuvwxyz012345" + "3:numi4e7:samples20:" + idM + "3:seqi1e1:vd1:bi1e1:ali1eeee2:roi1e1:t2:aa1:y1:re",
		"d1:eli203e3:badli1eee1:rd2:id20:" + idA + "e1:t2:aa1:y1:ee", "d1:x" + strings.Repeat("l", 1000)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		err := Parse(b, &m)
		if err != nil {
			if _, ok := err.(Error); !ok || err.Error() == "" {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		if !bytes.HasPrefix(b, m.Raw) || len(m.T) > MaxT {
			t.Fatalf("%+v", m)
		}
		v, rest, err := bencode.Parse(m.Raw, bencode.Limits{})
		if err != nil || len(rest) != 0 {
			t.Fatal(err)
		}
		switch m.Y {
		case 'q':
			a, _ := v.Get("a").Get("id").Bytes()
			if m.Query.ID != ident(string(a)) || len(a) != id.Len {
				t.Fatalf("%+v", m.Query)
			}
			if m.Query.Kind == AnnouncePeer && m.Query.Bad == "" && m.Query.Port == 0 && !m.Query.ImpliedPort {
				t.Fatal("an announce without a port")
			}
			if q := m.Query; q.Kind == Put && q.Bad == "" && (len(q.V) == 0 || len(q.V) > MaxValue || len(q.Salt) > MaxSalt || q.K != nil && (len(q.K) != KeyLen || len(q.Sig) != SigLen || q.Seq < 0)) {
				t.Fatalf("%+v", q)
			}
			if (m.Query.Bad == "") != (m.Query.BadCode == 0) {
				t.Fatalf("%+v", m.Query)
			}
			reply := (&Reply{To: to4, T: m.T, ID: m.Query.ID, Nodes: []byte{}}).Append(nil)
			if err := Parse(reply, &m); err != nil || m.Response.ID != ident(string(a)) {
				t.Fatal(err)
			}
		case 'r', 'e':
			if len(m.Response.Nodes)%NodeLen4+len(m.Response.Nodes6)%NodeLen6 != 0 || len(m.Response.Token) > MaxToken {
				t.Fatalf("%+v", m.Response)
			}
			for a := range m.Response.Peers() {
				if !a.IsValid() || a.Addr().Is4In6() {
					t.Fatal(a)
				}
			}
			if c := m.Clone(); !reflect.DeepEqual(*c, m) {
				t.Fatalf("%+v, cloned %+v", m, *c)
			}
		default:
			t.Fatal(m.Y)
		}
	})
}
