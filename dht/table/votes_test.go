package table

import (
	"net/netip"
	"testing"
)

func TestVotes(t *testing.T) {
	var v Votes
	public := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{20, byte(n >> 8), byte(n), 1}) }
	ours, lie := public(1), public(2)
	for i := range 100 {
		// One liar with many addresses in one /24 has one vote.
		if _, ok := v.Add(netip.AddrFrom4([4]byte{66, 6, 6, byte(i)}), lie); ok {
			t.Fatal("one subnet settled our address")
		}
	}
	for i := range quorum {
		got, ok := v.Add(public(100+i), ours)
		if want := i == quorum-1; ok != want || ok && got != ours {
			t.Fatalf("after %d voters: %v %v", i+1, got, ok)
		}
	}
	for i := range 1000 {
		v.Add(public(1000+i), netip.AddrFrom4([4]byte{7, 7, byte(i >> 8), byte(i)}))
	}
	if len(v.cast) != maxVotes {
		t.Fatalf("%d votes are kept", len(v.cast))
	}
}
