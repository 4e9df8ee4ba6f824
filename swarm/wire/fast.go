package wire

import (
	"crypto/sha1"
	"encoding/binary"
	"net/netip"
	"slices"

	"seedbed/internal/id"
)

// AllowedFastSet returns BEP 6's canonical allowed-fast set: k pieces of a torrent that
// the peer at ip may request while it is choked. Peers in one /24 share a set, so that
// many addresses do not obtain many pieces. If k is at least pieces, the set is all of
// them.
//
// BEP 6 does not mention IPv6. The two sides need not compute the same set, so we let the
// peers of a /64 share one.
func AllowedFastSet(ip netip.Addr, infohash id.ID, pieces, k int) []uint32 {
	if pieces <= 0 || k <= 0 {
		return nil
	}
	if k >= pieces {
		all := make([]uint32, pieces)
		for i := range all {
			all[i] = uint32(i)
		}
		return all
	}
	// BEP 6: (1) the three most significant bytes of the address, (2) followed by the
	// infohash, (3) hashed with SHA-1 as often as needed.
	var x []byte
	if ip = ip.Unmap(); ip.Is4() {
		a := ip.As4()
		x = append(x, a[0], a[1], a[2], 0)
	} else {
		a := ip.As16()
		x = append(append(x, a[:8]...), 0, 0, 0, 0, 0, 0, 0, 0)
	}
	sum := sha1.Sum(append(x, infohash[:]...))
	set := make([]uint32, 0, k)
	for {
		for i := 0; i < len(sum); i += 4 {
			p := binary.BigEndian.Uint32(sum[i:]) % uint32(pieces)
			if slices.Contains(set, p) {
				continue
			}
			if set = append(set, p); len(set) == k {
				return set
			}
		}
		sum = sha1.Sum(sum[:])
	}
}
