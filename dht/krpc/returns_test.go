package krpc

import (
	"strings"
	"testing"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

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
	// BEP 51: an empty samples distinguishes a node without samples from one without support.
	if err := Parse([]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa7:samples0:e1:t2:tt1:y1:re"), &m); err != nil || !m.Returned().HasSamples {
		t.Errorf("%v, %+v", err, m.Returned())
	}
	if err := Parse([]byte("d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:tt1:y1:qe"), &m); err != nil || m.Returned().HasSeq {
		t.Error("a query has return values")
	}
}

// Returned does not panic on any message that Parse accepts, and returns only values of the
// lengths that callers rely on.
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
