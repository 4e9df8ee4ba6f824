package fleet

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var addrCmp = cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })

// What a member says of itself always fits, with the addresses that come first.
func TestMetaFits(t *testing.T) {
	m := meta{Store: hashOf("s3://bucket")}
	for range 20 {
		m.Addrs = append(m.Addrs, netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666]:65535"))
	}
	b := m.encode()
	got, err := parseMeta(b)
	if err != nil || len(b) > maxMeta || len(got.Addrs) != maxAddrs || got.Store != m.Store {
		t.Errorf("%d bytes, %+v, %v", len(b), got, err)
	}
}

// A node that listens on addresses that mean nothing to others is a member all the same.
func TestMetaLeavesOutWhatOthersRefuse(t *testing.T) {
	m := meta{}
	for _, a := range []string{"[fe80::1%eth0]:6881", "0.0.0.0:6881", "192.0.2.1:0", "192.0.2.1:6881"} {
		m.Addrs = append(m.Addrs, netip.MustParseAddrPort(a))
	}
	if got, err := parseMeta(m.encode()); err != nil || len(got.Addrs) != 1 || got.Addrs[0] != m.Addrs[0] {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestMessagesAreChecked(t *testing.T) {
	for _, s := range []string{
		"", "null x", "[]", `{"a":["0.0.0.0:1"]}`, `{"a":["1.2.3.4:0"]}`, `{"a":["224.0.0.1:1"]}`, `{"a":["[fe80::1%eth0]:1"]}`, `{"a":["name:1"]}`, `{"a":[""]}`,
		`{"s":"` + strings.Repeat("a", maxText+1) + `"}`, `{"a":[` + strings.Repeat(`"1.2.3.4:5",`, maxAddrs) + `"1.2.3.4:5"]}`, `{"x":"` + strings.Repeat("a", maxMeta) + `"}`,
	} {
		if m, err := parseMeta([]byte(s)); err == nil {
			t.Errorf("a meta of %.40s: %+v", s, m)
		}
	}
	for _, s := range []string{
		"", "{}", `{"n":""}`, `{"n":"a b"}`, `{"n":"a\u001b[2J"}`, `{"n":"a","u":-1}`, `{"n":"a","u":1e40}`, `{"n":"a","h":92233720368547759}`, `{"n":"a","v":"\u001b[2J"}`, `{"n":"a","v":"` + strings.Repeat("v", maxText+1) + `"}`,
		`{"n":"` + strings.Repeat("n", maxName+1) + `"}`, `{"n":"a","x":"` + strings.Repeat("a", maxReport) + `"}`,
	} {
		if r, err := parseReport([]byte(s)); err == nil {
			t.Errorf("a report of %.40s: %+v", s, r)
		}
	}
	// Members of other versions.
	if m, err := parseMeta([]byte(`{"s":"a","a":["[::ffff:1.2.3.4]:5"],"new":{"x":[1]}}`)); err != nil || m.Addrs[0] != netip.MustParseAddrPort("1.2.3.4:5") {
		t.Errorf("%+v, %v", m, err)
	}
	if r, err := parseReport([]byte(`{"n":"a","t":5,"new":{"x":[1]}}`)); err != nil || r.Start != 5 {
		t.Errorf("%+v, %v", r, err)
	}
}

func FuzzMeta(f *testing.F) {
	m := meta{Store: "0123456789abcdef", Addrs: []netip.AddrPort{netip.MustParseAddrPort("1.2.3.4:6881"), netip.MustParseAddrPort("[2001:db8::1]:6881")}}
	f.Add(m.encode())
	f.Add([]byte(`{"a":["[::ffff:1.2.3.4]:5"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMeta(b)
		if err != nil {
			return
		}
		again, err := parseMeta(m.encode())
		if err != nil && len(m.Store) <= 16 {
			t.Fatalf("%+v cannot be parsed again: %v", m, err)
		}
		if err == nil && len(again.Addrs) == len(m.Addrs) && !cmp.Equal(m, again, addrCmp) {
			t.Fatalf("%+v became %+v", m, again)
		}
	})
}

func FuzzReport(f *testing.F) {
	r := report{Name: "node-1", Start: 1, Seq: 2, Numbers: Numbers{Version: "1.0", Torrents: 100_000, Owned: 50_000, Uploaded: 1 << 50}}
	f.Add(r.encode())
	f.Add([]byte(`{"n":"a","t":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseReport(b)
		if err != nil {
			return
		}
		if CheckName(r.Name) != nil || r.Owned < 0 || r.Uploaded < 0 {
			t.Fatalf("%+v", r)
		}
		if again, err := parseReport(r.encode()); err != nil || again != r {
			t.Fatalf("%+v became %+v: %v", r, again, err)
		}
	})
}
