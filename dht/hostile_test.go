package dht

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	entry "seedbed/dht/bootstrap"
	"seedbed/dht/krpc"
	"seedbed/internal/bencode"
	"seedbed/internal/mono"
	"seedbed/internal/simnet"
)

var methods = []string{"ping", "find_node", "get_peers", "announce_peer", "get", "put", "sample_infohashes", "vote", ""}

// arguments are valid arguments of all methods together, in the order of a
// canonical dictionary.
var arguments = []struct{ key, good string }{
	{"cas", "i1e"}, {"id", "20:01234567890123456789"}, {"implied_port", "i0e"}, {"info_hash", "20:01234567890123456789"}, {"k", "32:" + strings.Repeat("k", 32)},
	{"noseed", "i0e"}, {"port", "i1e"}, {"salt", "3:abc"}, {"scrape", "i1e"}, {"seed", "i1e"}, {"seq", "i1e"}, {"sig", "64:" + strings.Repeat("s", 64)},
	{"target", "20:01234567890123456789"}, {"token", "8:abcdefgh"}, {"v", "d1:ai1ee"}, {"want", "l2:n4e"},
}

// badValues lists the values that replace a valid one; "" leaves the key out.
var badValues = []string{"", "i0e", "i-1e", "i1e", "i65536e", "i9223372036854775807e", "i-9223372036854775808e", "i9223372036854775808e", "i99999999999999999999e", "i01e", "ie",
	"0:", "1:x", "19:0123456789012345678", "20:01234567890123456789", "21:012345678901234567890", "99999999999999999999:x",
	"le", "de", "li1ei2ee", "l2:n4i4ee", "d1:ai1ee", "d1:bi1e1:ai1ee", "di1ei1ee", strings.Repeat("l", 30) + strings.Repeat("e", 30), strings.Repeat("l", 100) + strings.Repeat("e", 100),
	strings.Repeat("d1:a", 100) + "de" + strings.Repeat("e", 100), strings.Repeat("l", 5000), "i" + strings.Repeat("9", 1200) + "e", "64:" + strings.Repeat("s", 64), "65:" + strings.Repeat("s", 65),
	"996:" + strings.Repeat("x", 996), "997:" + strings.Repeat("x", 997), "2000:" + strings.Repeat("x", 2000)}

// args returns the dictionary "a" with some of its values replaced.
func args(replaced map[string]string) string {
	var b strings.Builder
	b.WriteString("d")
	for _, a := range arguments {
		v, ok := replaced[a.key]
		if !ok {
			v = a.good
		}
		if v != "" {
			fmt.Fprintf(&b, "%d:%s%s", len(a.key), a.key, v)
		}
	}
	return b.String() + "e"
}

func hostile(name, a string) []byte {
	return fmt.Appendf(nil, "d1:a%s1:q%d:%s1:t2:aa1:y1:qe", a, len(name), name)
}

// battery yields every method × {no "a", wrong types, short ids, huge integers, deep
// nesting, extra keys, duplicate keys, truncated anywhere, a byte flipped}.
func battery(yield func(datagram []byte)) {
	for _, name := range methods {
		good := hostile(name, args(nil))
		yield(good)
		yield(fmt.Appendf(nil, "d1:q%d:%s1:t2:aa1:y1:qe", len(name), name)) // no "a"
		for _, v := range badValues {
			yield(hostile(name, v)) // "a" of another type
			for _, a := range arguments {
				yield(hostile(name, args(map[string]string{a.key: v})))
			}
			yield(hostile(name, "d1:\x00"+v+args(nil)[1:]))
			yield(hostile(name, strings.TrimSuffix(args(nil), "e")+"1:z"+v+"e"))
			for _, key := range []string{"q", "t", "y"} {
				yield(bytes.Replace(good, fmt.Appendf(nil, "1:%s", key), fmt.Appendf(nil, "1:%s%s1:%s", key, v, key), 1)) // duplicate key
			}
		}
		for cut := range good {
			yield(good[:cut])
			for _, flip := range []byte{1, 0x10, 0x80, 'e' ^ good[cut], 'd' ^ good[cut]} {
				flipped := bytes.Clone(good)
				flipped[cut] ^= flip
				yield(flipped)
			}
		}
	}
}

// expected is the correct reaction to a datagram, derived from the BEPs with a parser
// that is as simple as possible: nothing, a response (with nodes or not), or an error
// with one of several codes. Tokens count as invalid.
type expected struct {
	answered, nodes bool
	codes           []int64
}

func expect(b []byte) (e expected) {
	v, _, err := bencode.Parse(b, bencode.Limits{Depth: 32, Tokens: 8192, BigInts: true})
	if err != nil || v.Kind() != bencode.Dict {
		return e
	}
	t, okT := v.Get("t").Bytes()
	y, _ := v.Get("y").Bytes()
	q, okQ := v.Get("q").Bytes()
	a := v.Get("a")
	node, _ := a.Get("id").Bytes()
	known := []string{"a", "e", "ip", "q", "r", "ro", "t", "v", "y"}
	if !okT || len(t) > krpc.MaxT || string(y) != "q" || !okQ || a.Kind() != bencode.Dict || len(node) != 20 ||
		v.Get("r").Kind() == bencode.Dict || twice(v, known) || twice(a, nil) {
		return e
	}
	e.answered = true
	fault := func(code int64, is bool) {
		if is {
			e.codes = append(e.codes, code)
		}
	}
	isHash := func(key string) bool { s, _ := a.Get(key).Bytes(); return len(s) == 20 }
	isInt := func(key string) bool { _, ok := a.Get(key).Int(); return ok }
	badInt := func(key string) bool { return a.Get(key) != nil && !isInt(key) }
	badWant := false
	if w := a.Get("want"); w != nil {
		badWant = w.Kind() != bencode.List
		for s := range w.List() {
			badWant = badWant || s.Kind() != bencode.String
		}
	}
	token, isToken := a.Get("token").Bytes()
	isToken = isToken && len(token) <= krpc.MaxToken
	switch string(q) {
	case "ping":
	case "find_node", "sample_infohashes":
		e.nodes = true
		fault(203, !isHash("target") || badWant)
	case "get":
		e.nodes = true
		fault(203, !isHash("target") || badWant || badInt("seq"))
	case "get_peers":
		e.nodes = true
		fault(203, !isHash("info_hash") || badWant || badInt("scrape") || badInt("noseed"))
	case "announce_peer":
		fault(203, true)
	case "put":
		item := a.Get("v")
		salt, _ := a.Get("salt").Bytes()
		_, err := bencode.ParseStrict(item, bencode.Limits{BigInts: true})
		fault(205, len(item) > 1000)
		fault(207, len(salt) > 64)
		// Any other fault may give a 203 too, as the token does.
		fault(203, err != nil || len(item) <= 1000 && len(salt) <= 64 || !isToken || badInt("seq") || badInt("cas"))
	default:
		e.nodes = isHash("target") || isHash("info_hash")
		fault(204, !e.nodes)
	}
	return e
}

// twice reports whether the dictionary contains one of the keys, or any argument
// key, more than once.
func twice(v bencode.Value, keys []string) bool {
	seen := map[string]bool{}
	for k := range v.Dict() {
		is := slices.Contains(keys, string(k))
		for _, a := range arguments {
			is = is || keys == nil && a.key == string(k)
		}
		if is && seen[string(k)] {
			return true
		}
		seen[string(k)] = true
	}
	return false
}

// check compares the reply with the expected reaction.
func check(t testing.TB, who string, datagram, reply []byte, from netip.AddrPort) {
	t.Helper()
	want := expect(datagram)
	if len(reply) == 0 {
		if want.answered {
			t.Errorf("%s: no reply to %q, want %+v", who, datagram, want)
		}
		return
	}
	var m krpc.Message
	v, err := bencode.ParseStrict(reply, bencode.Limits{})
	if err != nil || krpc.Parse(reply, &m) != nil || len(reply) > krpc.MaxDatagram {
		t.Fatalf("%s: to %q the reply is %q: %v", who, datagram, reply, err)
	}
	asked, _, _ := bencode.Parse(datagram, bencode.Limits{BigInts: true})
	echoed, _ := asked.Get("t").Bytes()
	nodes := m.Response.Nodes != nil || m.Response.Nodes6 != nil
	switch {
	case !want.answered:
		t.Errorf("%s: %q is answered %q", who, datagram, reply)
	case !bytes.Equal(m.T, echoed) || m.IP != from:
		t.Errorf("%s: to %q from %v the reply is %q", who, datagram, from, reply)
	case len(want.codes) > 0:
		if m.Y != 'e' || !slices.Contains(want.codes, m.Error.Code) {
			t.Errorf("%s: %q is answered %q, want one of %d", who, datagram, reply, want.codes)
		}
	case m.Y != 'r' || nodes != want.nodes || v.Get("r").Get("v") != nil:
		t.Errorf("%s: %q is answered %q, want %+v", who, datagram, reply, want)
	}
}

// target receives the datagrams: an ordinary node or a bootstrap node, without
// the sockets.
type target struct {
	name string
	take func(b []byte, from netip.AddrPort) []byte
	held func() int // number of entries that it stores for other nodes
}

func targets(t testing.TB) []target {
	d := newNode(t, Config{Conns: conn(t, simnet.New(1, simnet.Link{}), public(1)), Private: true})
	var m krpc.Message
	ordinary := target{"node", func(b []byte, from netip.AddrPort) []byte {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.families[0].datagram(d.now(), nil, b, from, &m)
	}, func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		n, _ := d.answers.store.Len()
		return n + d.answers.store.Items() + len(d.answers.waiting)
	}}
	now := mono.Time(time.Second)
	s := entry.NewShared(entry.Config{V4: true, Rate: 1e9, Burst: 1e9, Rand: rand.New(rand.NewPCG(1, 2))}, now, entry.State{})
	r := entry.NewResponder(s, now, false)
	bootstrap := target{"bootstrap node", func(b []byte, from netip.AddrPort) []byte {
		out := r.Datagram(nil, now, from, b)
		s.Sync(now, r)
		return out
	}, func() int { return s.Ring(false).Len() }}
	return []target{ordinary, bootstrap}
}

func TestHostileBattery(t *testing.T) {
	for _, who := range targets(t) {
		sent, answered := 0, 0
		battery(func(b []byte) {
			sent++
			from := at(public(2 + sent%1000))
			reply := who.take(bytes.Clone(b), from)
			if len(reply) > 0 {
				answered++
			}
			check(t, who.name, b, reply, from)
		})
		if answered < 5000 || sent-answered < 3000 {
			t.Errorf("the battery has too few of either kind: %s answers %d of %d", who.name, answered, sent)
		}
		if n := who.held(); n != 0 {
			t.Errorf("%s: %d entries were stored", who.name, n)
		}
	}
}

// FuzzDatagram covers the full processing of a packet, in both kinds of node.
func FuzzDatagram(f *testing.F) {
	for _, name := range methods {
		f.Add(hostile(name, args(nil)))
	}
	for _, s := range []string{
		"d1:rd2:id20:01234567890123456789e1:t4:aaaa1:y1:re", "d1:eli203e3:bade1:t4:aaaa1:y1:ee", "d1:q4:ping1:t2:aa1:y1:qe", "d",
		"d1:ad2:id20:01234567890123456789e2:ip6:abcdef1:q4:ping2:roi1e1:t32:012345678901234567890123456789011:v4:UTab1:y1:qe",
		"d1:ad2:id20:012345678901234567896:target20:01234567890123456789e1:q9:find_node1:t0:1:y1:qe",
	} {
		f.Add([]byte(s))
	}
	all, from := targets(f), at(public(2))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, who := range all {
			reply := who.take(bytes.Clone(b), from)
			check(t, who.name, b, reply, from)
			if n := who.held(); n != 0 {
				t.Errorf("%s: %d entries were stored", who.name, n)
			}
		}
	})
}
