package krpc

import (
	"strings"
	"testing"

	"seedbed/internal/bencode"
)

var (
	key32, sig64 = strings.Repeat("k", 32), strings.Repeat("s", 64)
	token8       = "5:token8:aoeusnth"
)

// put returns the arguments of a put of a mutable item, in canonical order.
func put(cas, k, salt, seq, sig, token, v string) string {
	return cas + k + salt + seq + sig + token + v
}

func TestBEP44PutArguments(t *testing.T) {
	m := parse(t, query("put", token8+"1:v12:Hello World!"))
	if q := m.Query; q.Kind != Put || q.Bad != "" || string(q.V) != "12:Hello World!" || q.K != nil || q.HasTarget || string(q.Token) != "aoeusnth" {
		t.Errorf("immutable: %+v", q)
	}
	m = parse(t, query("put", "3:casi4e")) // cas before the id does not matter: it is still a query
	if m.Query.Bad == "" {
		t.Error("a put without anything passes")
	}
	m = parse(t, query("put", "1:k32:"+key32+"4:salt6:foobar3:seqi7e3:sig64:"+sig64+token8+"1:vd1:ai1e1:bli2eee"))
	q := m.Query
	if q.Kind != Put || q.Bad != "" || string(q.V) != "d1:ai1e1:bli2eee" || string(q.K) != key32 || string(q.Sig) != sig64 ||
		string(q.Salt) != "foobar" || q.Seq != 7 || q.HasCAS || q.CAS != 0 {
		t.Errorf("mutable: %+v", q)
	}
	m = parse(t, "d1:ad3:casi6e2:id20:"+idA+"1:k32:"+key32+"3:seqi7e3:sig64:"+sig64+token8+"1:v0:e1:q3:put1:t2:aa1:y1:qe")
	if q := m.Query; q.Bad != "" || !q.HasCAS || q.CAS != 6 {
		t.Errorf("cas: %+v", q)
	}
	// BEP 44: the cas field only applies to mutable puts.
	m = parse(t, "d1:ad3:casi6e2:id20:"+idA+token8+"1:v0:e1:q3:put1:t2:aa1:y1:qe")
	if q := m.Query; q.Bad != "" || q.HasCAS {
		t.Errorf("cas of an immutable item: %+v", q)
	}
}

func TestBEP44InvalidPuts(t *testing.T) {
	k, sig, seq := "1:k32:"+key32, "3:sig64:"+sig64, "3:seqi7e"
	v1001, v1000 := "1:v997:"+strings.Repeat("x", 997), "1:v996:"+strings.Repeat("x", 996)
	for _, c := range []struct {
		sentence, args string
		code           int
	}{
		{"no token", "1:v0:", 203},
		{"a token that is not a string", "5:tokeni1e1:v0:", 203},
		{"no v", token8, 203},
		{"1000 bytes", token8 + v1000, 0},
		{"v is any bencoded type, even an integer of any size", token8 + "1:vi99999999999999999999e", 0},
		{"a seq above MAX_INT64", put("", k, "", "3:seqi9223372036854775808e", sig, token8, "1:v0:"), 203},
		{"message (v field) too big", token8 + v1001, 205},
		{"message (v field) too big, mutable", put("", k, "", seq, sig, token8, v1001), 205},
		{"a salt of 64 bytes", put("", k, "4:salt64:"+sig64, seq, sig, token8, "1:v0:"), 0},
		{"salt (salt field) too big", put("", k, "4:salt65:x"+sig64, seq, sig, token8, "1:v0:"), 207},
		{"a salt that is not a string", put("", k, "4:saltle", seq, sig, token8, "1:v0:"), 203},
		{"unsorted keys in v", token8 + "1:vd1:bi1e1:ai1ee", 203},
		{"a key twice in v", token8 + "1:vd1:ai1e1:ai1ee", 203},
		{"k without sig", put("", k, "", seq, "", token8, "1:v0:"), 203},
		{"sig without k", put("", "", "", seq, sig, token8, "1:v0:"), 203},
		{"no seq", put("", k, "", "", sig, token8, "1:v0:"), 203},
		{"a short k", put("", "1:k3:abc", "", seq, sig, token8, "1:v0:"), 203},
		{"a long sig", put("", k, "", seq, "3:sig65:x"+sig64, token8, "1:v0:"), 203},
		{"a seq that is not an integer", put("", k, "", "3:seq1:7", sig, token8, "1:v0:"), 203},
		{"a negative seq", put("", k, "", "3:seqi-1e", sig, token8, "1:v0:"), 203},
		{"the largest seq", put("", k, "", "3:seqi9223372036854775807e", sig, token8, "1:v0:"), 0},
		{"a cas that is not an integer", put("3:casle", k, "", seq, sig, token8, "1:v0:"), 203},
		{"a key without k", put("", "1:kle", "", "", "", token8, "1:v0:"), 203},
	} {
		m := parse(t, query("put", c.args))
		if m.Query.BadCode != c.code || (m.Query.Bad == "") != (c.code == 0) {
			t.Errorf("%s: %d %q, want %d", c.sentence, m.Query.BadCode, m.Query.Bad, c.code)
		}
	}
}

func TestBEP44GetArguments(t *testing.T) {
	m := parse(t, query("get", "3:seqi0e6:target20:"+idM+"4:wantl2:n6e"))
	if q := m.Query; q.Kind != Get || q.Bad != "" || !q.HasSeq || q.Seq != 0 || q.Target != ident(idM) || !q.WantV6 {
		t.Errorf("%+v", q)
	}
	if m = parse(t, query("get", "6:target20:"+idM)); m.Query.HasSeq || m.Query.Bad != "" {
		t.Errorf("%+v", m.Query)
	}
	for _, args := range []string{"", "6:target3:abc", "9:info_hash20:" + idM, "3:seq1:x6:target20:" + idM, "6:target20:" + idM + "4:wanti1e"} {
		if m = parse(t, query("get", args)); m.Query.BadCode != 203 {
			t.Errorf("%q: %+v", args, m.Query)
		}
	}
}

func TestBEP51SampleArguments(t *testing.T) {
	m := parse(t, query("sample_infohashes", "6:target20:"+idM))
	if q := m.Query; q.Kind != SampleInfohashes || q.Bad != "" || q.Target != ident(idM) {
		t.Errorf("%+v", q)
	}
	for _, args := range []string{"", "6:targeti1e", "6:target20:" + idM + "4:want2:n4"} {
		if m = parse(t, query("sample_infohashes", args)); m.Query.BadCode != 203 {
			t.Errorf("%q: %+v", args, m.Query)
		}
	}
}

func TestExtensionsAreCanonical(t *testing.T) {
	tail := "1:t2:aa1:v4:" + Version + "1:y1:re"
	head := "d2:ip6:\xc0\x00\x02\x01\x1a\xe11:rd"
	bloom := strings.Repeat("b", 256)
	for _, c := range []struct {
		r    Reply
		want string
	}{
		{Reply{BloomPeers: []byte(bloom), BloomSeeds: []byte(strings.ToUpper(bloom)), Token: []byte("tok")},
			"4:BFpe256:" + bloom + "4:BFsd256:" + strings.ToUpper(bloom) + "2:id20:" + idM + "5:token3:tok"},
		{Reply{V: []byte("d1:ai1ee"), Nodes: []byte{}, Token: []byte("tok")}, "2:id20:" + idM + "5:nodes0:5:token3:tok1:vd1:ai1ee"},
		{Reply{V: []byte("i1e"), K: []byte(key32), Sig: []byte(sig64), Seq: -3, HasSeq: true, Nodes: []byte{}, Token: []byte("tok")},
			"2:id20:" + idM + "1:k32:" + key32 + "5:nodes0:3:seqi-3e3:sig64:" + sig64 + "5:token3:tok1:vi1e"},
		{Reply{HasSeq: true}, "2:id20:" + idM + "3:seqi0e"},
		{Reply{Samples: []byte(idM + idA), Interval: 21600, Num: 7, Nodes: []byte{}},
			"2:id20:" + idM + "8:intervali21600e5:nodes0:3:numi7e7:samples40:" + idM + idA},
		{Reply{Samples: []byte{}}, "2:id20:" + idM + "8:intervali0e3:numi0e7:samples0:"},
	} {
		c.r.To, c.r.T, c.r.ID = to4, []byte("aa"), ident(idM)
		got := c.r.Append(nil)
		if want := head + c.want + "e" + tail; string(got) != want {
			t.Errorf("\n%q\n%q", got, want)
		}
		if _, err := bencode.ParseStrict(got, bencode.Limits{}); err != nil {
			t.Error(err)
		}
	}
}

func TestNoAllocationsForItems(t *testing.T) {
	b := []byte(query("put", put("", "1:k32:"+key32, "4:salt3:abc", "3:seqi1e", "3:sig64:"+sig64, token8, "1:vd1:ai1ee")))
	var m Message
	if n := testing.AllocsPerRun(100, func() {
		if Parse(b, &m) != nil || m.Query.Bad != "" {
			t.Fatal(m.Query.Bad)
		}
	}); n != 0 {
		t.Error(n, "allocations")
	}
}
