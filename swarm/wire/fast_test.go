package wire

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"seedbed/internal/id"
)

func TestAllowedFastSetOfBEP6(t *testing.T) {
	infohash := id.ID(bytes.Repeat([]byte{0xaa}, 20))
	ip := netip.MustParseAddr("80.4.4.200")
	seven := []uint32{1059, 431, 808, 1217, 287, 376, 1188}
	nine := []uint32{1059, 431, 808, 1217, 287, 376, 1188, 353, 508}
	if d := cmp.Diff(seven, AllowedFastSet(ip, infohash, 1313, 7)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(nine, AllowedFastSet(ip, infohash, 1313, 9)); d != "" {
		t.Error(d)
	}
	mapped := netip.AddrFrom16(ip.As16())
	neighbour := netip.MustParseAddr("80.4.4.1")
	for _, ip := range []netip.Addr{mapped, neighbour} {
		if d := cmp.Diff(nine, AllowedFastSet(ip, infohash, 1313, 9)); d != "" {
			t.Errorf("%s: %s", ip, d)
		}
	}
	a := AllowedFastSet(netip.MustParseAddr("2001:db8:1:2::1"), infohash, 1313, 9)
	b := AllowedFastSet(netip.MustParseAddr("2001:db8:1:2:3:4:5:6"), infohash, 1313, 9)
	c := AllowedFastSet(netip.MustParseAddr("2001:db8:1:3::1"), infohash, 1313, 9)
	if !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Error("addresses of a /64 have different sets, or two /64 share one", a, b, c)
	}
}

// BEP 6: two sets of k pieces are equal, and a set of k+1 is the set of k plus one more.
func TestAllowedFastSetGrowsByOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ip := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "ip")))
		infohash := id.ID(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "infohash"))
		pieces := rapid.IntRange(0, 40).Draw(t, "pieces")
		k := rapid.IntRange(0, 45).Draw(t, "k")
		set := AllowedFastSet(ip, infohash, pieces, k)
		if len(set) != min(pieces, k) {
			t.Fatalf("%d of %d pieces: %v", k, pieces, set)
		}
		seen := map[uint32]bool{}
		for _, p := range set {
			if p >= uint32(pieces) || seen[p] {
				t.Fatalf("%d of %d pieces: %v", k, pieces, set)
			}
			seen[p] = true
		}
		if k < pieces-1 && !slices.Equal(AllowedFastSet(ip, infohash, pieces, k+1)[:k], set) {
			t.Fatalf("%d pieces: the first %d of %d differ", pieces, k, k+1)
		}
	})
}
