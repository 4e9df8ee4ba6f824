package krpc

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/id"
)

// dict is a naive encoder of a dictionary.
func dict(m map[string]string) string {
	var b strings.Builder
	b.WriteString("d")
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(text(k) + m[k])
	}
	return b.String() + "e"
}

func text[T ~string | ~[]byte](s T) string { return fmt.Sprintf("%d:%s", len(s), s) }

// encodeFull encodes all fields of r, without a limit on the length.
func encodeFull(r *Reply) string {
	ret := map[string]string{"id": text(r.ID[:])}
	for key, v := range map[string][]byte{"BFpe": r.BloomPeers, "BFsd": r.BloomSeeds, "k": r.K, "nodes": r.Nodes, "nodes6": r.Nodes6,
		"samples": r.Samples, "sig": r.Sig, "token": r.Token} {
		if v != nil {
			ret[key] = text(v)
		}
	}
	if r.Samples != nil {
		ret["interval"], ret["num"] = fmt.Sprintf("i%de", r.Interval), fmt.Sprintf("i%de", r.Num)
	}
	if r.HasSeq {
		ret["seq"] = fmt.Sprintf("i%de", r.Seq)
	}
	if r.V != nil {
		ret["v"] = string(r.V)
	}
	ip, size := r.To.Addr().AsSlice(), PeerLen4
	if is6(r.To) {
		size = PeerLen6
	}
	if len(r.Values) > 0 {
		ret["values"] = "l"
		for v := range slices.Chunk(r.Values, size) {
			ret["values"] += text(v)
		}
		ret["values"] += "e"
	}
	port := r.To.Port()
	return dict(map[string]string{"ip": text(append(ip, byte(port>>8), byte(port))), "r": dict(ret), "t": text(r.T), "v": text(Version), "y": "1:r"})
}

// shorten removes the least important part of r. It returns false if only the required
// fields are left.
func shorten(r *Reply) bool {
	drop := func(b *[]byte, size int) bool {
		switch {
		case *b == nil:
			return false
		case len(*b) == 0:
			*b = nil
		default:
			*b = (*b)[:len(*b)-size]
		}
		return true
	}
	if is6(r.To) {
		return len(r.Values) > 0 && drop(&r.Values, PeerLen6) || drop(&r.Nodes, NodeLen4) || drop(&r.Nodes6, NodeLen6)
	}
	return len(r.Values) > 0 && drop(&r.Values, PeerLen4) || drop(&r.Nodes6, NodeLen6) || drop(&r.Nodes, NodeLen4)
}

// "A node obeying this specification must not send UDP datagrams with a payload larger than
// 1024 octets". What does not fit is left out in the order of BEP 33: values, additionally
// requested nodes, mandatory nodes. An item that is too large for a datagram with these is
// sent without any optional field.
func TestBEP32ReplyKeepsWhatFitsIn1024Octets(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789"), 500)
	largest := 0
	rapid.Check(t, func(t *rapid.T) {
		pick := func(what string, n, size int) []byte {
			if k := rapid.IntRange(-1, n).Draw(t, what); k >= 0 {
				return long[:k*size]
			}
			return nil
		}
		r := Reply{To: rapid.SampledFrom([]netip.AddrPort{to4, to6}).Draw(t, "to"), ID: id.ID(long)}
		r.T = long[:rapid.IntRange(0, MaxT).Draw(t, "t")]
		r.Nodes, r.Nodes6 = pick("nodes", 9, NodeLen4), pick("nodes6", 9, NodeLen6)
		r.Token = pick("token", 8, 1)
		size, _ := valueLen(is6(r.To))
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			r.Values = pick("values", 150, size)
		case 1:
			r.Values, r.BloomPeers, r.BloomSeeds = pick("values", 150, size), long[:BloomLen], long[:BloomLen]
		case 2:
			r.Samples = append([]byte{}, pick("samples", MaxSamples, id.Len)...)
			r.Num, r.Interval = rapid.IntRange(0, 1<<40).Draw(t, "num"), rapid.IntRange(0, 21600).Draw(t, "interval")
		case 3:
			r.V = fmt.Appendf(nil, "%d:", rapid.IntRange(100, MaxValue-4).Draw(t, "v"))
			r.V = append(r.V, long[:MaxValue-4]...)[:4+rapid.IntRange(0, MaxValue-4).Draw(t, "cut")]
			if r.HasSeq = rapid.Bool().Draw(t, "mutable"); r.HasSeq {
				r.K, r.Sig, r.Seq = long[:KeyLen], long[:SigLen], rapid.Int64Min(0).Draw(t, "seq")
			}
		}
		got, most := string(r.Append(nil)), r.MaxValues()
		values := len(r.Values) / size
		for len(encodeFull(&r)) > MaxDatagram && shorten(&r) {
		}
		if want := encodeFull(&r); got != want {
			t.Fatalf("%d bytes, could be %d:\n%q\n%q", len(got), len(want), got, want)
		}
		if n := len(r.Values) / size; n != min(values, most) {
			t.Fatalf("%d of %d values, MaxValues returned %d", n, values, most)
		}
		if len(got) > MaxDatagram && (r.V == nil || r.Nodes != nil || r.Nodes6 != nil) {
			t.Fatalf("%d bytes without need", len(got))
		}
		largest = max(largest, len(got))
	})
	r := Reply{To: to6, T: long[:MaxT], ID: id.ID(long), Token: long[:8], Nodes: long[:0], Nodes6: long[:NodeLen6],
		K: long[:KeyLen], Sig: long[:SigLen], HasSeq: true, Seq: 1<<63 - 1, V: long[:MaxValue]}
	if n := len(r.Append(nil)); n != MaxItemDatagram || largest > n {
		t.Errorf("the largest item takes %d bytes, not %d", n, MaxItemDatagram)
	}
}

func TestBEP32ErrorFitsIn1024Octets(t *testing.T) {
	for _, to := range []netip.AddrPort{to4, to6} {
		b := AppendError(nil, to, bytes.Repeat([]byte{7}, MaxT), CodeServer, strings.Repeat("long", 1000))
		if m := parse(t, string(b)); len(b) > MaxDatagram || m.Error.Code != CodeServer {
			t.Errorf("%d bytes, %+v", len(b), m)
		}
	}
}
