package bootstrap

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
)

// candidates is a bounded queue of the addresses that wait to be pinged, ordered by due
// time. It is one block of memory, which grows as needed.
type candidates struct {
	b      []byte
	stride int
	head   int // index of the first
	n      int
	max    int
}

const timeLen = 8

func newCandidates(v6 bool, max int) candidates {
	stride := timeLen + 4 + 2
	if v6 {
		stride = timeLen + 16 + 2
	}
	return candidates{stride: stride, max: max}
}

// add adds the address and reports whether it did. From half full on, it refuses a growing
// share, so that the pings are spread over time and over sources.
func (c *candidates) add(due mono.Time, a netip.AddrPort, random *rand.Rand) bool {
	if over := c.n - c.max/2; over > 0 && int(random.Uint32N(uint32(c.max-c.max/2))) < over {
		return false
	}
	if have := len(c.b) / c.stride; c.n == have {
		grown := make([]byte, min(max(64, 2*have), c.max)*c.stride)
		n := copy(grown, c.b[c.head*c.stride:])
		copy(grown[n:], c.b[:c.head*c.stride])
		c.b, c.head = grown, 0
	}
	at := (c.head + c.n) % (len(c.b) / c.stride) * c.stride
	e := binary.BigEndian.AppendUint64(c.b[at:at:at+c.stride], uint64(due))
	addrs.Append(e, a)
	c.n++
	return true
}

// due reports whether the first address is due.
func (c *candidates) due(now mono.Time) bool {
	return c.n > 0 && mono.Time(binary.BigEndian.Uint64(c.b[c.head*c.stride:])) <= now
}

// pop removes and returns the first address.
func (c *candidates) pop() netip.AddrPort {
	e := c.b[c.head*c.stride : (c.head+1)*c.stride]
	c.head = (c.head + 1) % (len(c.b) / c.stride)
	c.n--
	return addrs.Parse(e[timeLen:])
}
