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
