package krpc

import (
	"bytes"
	"strings"
	"testing"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

func TestAppendQuery(t *testing.T) {
	own, target := id.ID([]byte(strings.Repeat("o", 20))), id.ID{}
	zero, seven := int64(0), int64(7)
	k, sig := bytes.Repeat([]byte("k"), 32), bytes.Repeat([]byte("s"), 64)
	for _, c := range []struct {
		method string
		ask    Ask
		ro     bool
		want   string
	}{
		{"ping", Ask{}, false, "d1:ad2:id20:OWNe1:q4:ping1:t2:tt1:v4:VVVV1:y1:qe"},
		{"ping", Ask{}, true, "d1:ad2:id20:OWNe1:q4:ping2:roi1e1:t2:tt1:v4:VVVV1:y1:qe"}, // BEP 43
		// A target of zeros is a target, and a cas of 0 is a condition.
		{"find_node", Ask{Target: &target, Want4: true, Want6: true}, false,
			"d1:ad2:id20:OWN6:target20:ZERO4:wantl2:n42:n6ee1:q9:find_node1:t2:tt1:v4:VVVV1:y1:qe"},
		{"get_peers", Ask{InfoHash: &target, Scrape: true}, false, // BEP 33
			"d1:ad2:id20:OWN9:info_hash20:ZERO6:scrapei1ee1:q9:get_peers1:t2:tt1:v4:VVVV1:y1:qe"},
		{"announce_peer", Ask{InfoHash: &target, Port: 7, ImpliedPort: true, Seed: true, Token: []byte("tok")}, false,
			"d1:ad2:id20:OWN12:implied_porti1e9:info_hash20:ZERO4:porti7e4:seedi1e5:token3:toke1:q13:announce_peer1:t2:tt1:v4:VVVV1:y1:qe"},
		{"get", Ask{Target: &target, Seq: &seven}, false,
			"d1:ad2:id20:OWN3:seqi7e6:target20:ZEROe1:q3:get1:t2:tt1:v4:VVVV1:y1:qe"},
		{"put", Ask{Cas: &zero, K: k, Sig: sig, Salt: []byte("n"), Seq: &seven, Token: []byte("tok"), Value: bencode.Value("i5e")}, false,
			"d1:ad3:casi0e2:id20:OWN1:k32:" + string(k) + "4:salt1:n3:seqi7e3:sig64:" + string(sig) + "5:token3:tok1:vi5ee1:q3:put1:t2:tt1:v4:VVVV1:y1:qe"},
	} {
		c.ask.ID = own
		b := AppendQuery(nil, []byte("tt"), c.method, &c.ask, c.ro)
		got := strings.NewReplacer(string(own[:]), "OWN", string(target[:]), "ZERO", Version, "VVVV").Replace(string(b))
		if got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.method, got, c.want)
		}
		if _, err := bencode.ParseStrict(b, bencode.Limits{}); err != nil {
			t.Errorf("%s is not canonical: %v", c.method, err)
		}
		var m Message
		if err := Parse(b, &m); err != nil || m.Y != 'q' || m.Query.ID != own || m.Query.Bad != "" && c.method != "announce_peer" {
			t.Errorf("%s is not what we take ourselves: %v, %q", c.method, err, m.Query.Bad)
		}
	}
}

func TestReturned(t *testing.T) {
	k, sig, bf := strings.Repeat("k", 32), strings.Repeat("s", 64), strings.Repeat("f", 256)
	b := "d1:rd4:BFpe256:" + bf + "4:BFsd256:" + bf + "2:id20:aaaaaaaaaaaaaaaaaaaa8:intervali60e1:k32:" + k +
		"3:numi9e7:samples40:" + strings.Repeat("i", 40) + "3:seqi0e3:sig64:" + sig + "1:vd1:ai1eee1:t2:tt1:y1:re"
	var m Message
	if err := Parse([]byte(b), &m); err != nil {
		t.Fatal(err)
	}
	r := m.Returned()
	if string(r.BloomPeers) != bf || string(r.BloomSeeds) != bf || string(r.K) != k || string(r.Sig) != sig || !r.HasSeq || r.Seq != 0 ||
		string(r.Value) != "d1:ai1ee" || len(r.Samples) != 40 || !r.HasSamples || r.Interval != 60 || r.Num != 9 {
		t.Errorf("%+v", r)
	}
	// BEP 51: an empty samples tells a node that has none from one that does not know of them.
	if err := Parse([]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa7:samples0:e1:t2:tt1:y1:re"), &m); err != nil || !m.Returned().HasSamples {
		t.Errorf("%v, %+v", err, m.Returned())
	}
	if err := Parse([]byte("d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:tt1:y1:qe"), &m); err != nil || m.Returned().HasSeq {
		t.Error("a query returns nothing")
	}
	for what, r := range map[string]string{
		"k": "1:k31:" + k[1:], "sig": "3:sig1:s", "seq": "3:seq1:1", "BFsd": "4:BFsd3:abc", "samples": "7:samples3:abc", "num": "3:numle",
	} {
		if err := Parse([]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa"+r+"e1:t2:tt1:y1:re"), &m); err == nil {
			t.Errorf("a malformed %s passed", what)
		}
	}
}

// Whatever Parse accepts, Returned reads without panic, and only in the lengths
// that callers rely on.
func FuzzReturned(f *testing.F) {
	f.Add([]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa1:k32:kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk3:seqi1e1:v1:ae1:t2:tt1:y1:re"))
	f.Add([]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa7:samples20:iiiiiiiiiiiiiiiiiiii8:intervali1e3:numi-1ee1:t2:tt1:y1:re"))
	f.Add([]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa1:vde1:vlee1:t2:tt1:y1:re"))
	f.Add([]byte("d1:eli203e1:xe1:t2:tt1:y1:ee"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		if Parse(b, &m) != nil {
			return
		}
		r := m.Returned()
		ok := func(b []byte, n int) bool { return b == nil || len(b) == n }
		if !ok(r.K, 32) || !ok(r.Sig, 64) || !ok(r.BloomSeeds, 256) || !ok(r.BloomPeers, 256) || len(r.Samples)%id.Len != 0 {
			t.Errorf("%+v", r)
		}
		if r.Value != nil {
			if _, rest, err := bencode.Parse(r.Value, bencode.Limits{}); err != nil || len(rest) > 0 {
				t.Errorf("value %q: %v", r.Value, err)
			}
		}
	})
}
