package reachability

import (
	"net/netip"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

const (
	// contactTime is how long a NAT may remember that we have sent something to an address.
	// Linux keeps an unanswered TCP connection for 120 s and a UDP flow for up to 180 s.
	contactTime = 3 * time.Minute
	// contactBits is the size of one generation: 64 KiB. A DHT node sends at most 250 queries a
	// second, so about a tenth of the bits is set.
	contactBits = 1 << 19
)

// Contacts is the set of addresses to which we have sent something within contactTime, and for up to that
// long after. It takes 128 KiB, and may contain some addresses that were never added: then an
// arrival from there does not count as evidence, which does no harm. The zero Contacts is empty.
type Contacts struct {
	generations [2][]uint64 // the current one and the one before
	begun       mono.Time   // of the current one
}

// Add adds the host of an address.
func (c *Contacts) Add(now mono.Time, to netip.Addr) {
	c.turn(now)
	if c.generations[0] == nil {
		c.generations[0] = make([]uint64, contactBits/64)
	}
	word, bit := place(to)
	c.generations[0][word] |= bit
}

// Has reports whether the host of an address was added.
func (c *Contacts) Has(now mono.Time, from netip.Addr) bool {
	c.turn(now)
	word, bit := place(from)
	for _, g := range c.generations {
		if g != nil && g[word]&bit != 0 {
			return true
		}
	}
	return false
}

// turn begins a new generation if it is time.
func (c *Contacts) turn(now mono.Time) {
	switch age := now.Sub(c.begun); {
	case age < contactTime:
		return
	case age < 2*contactTime:
		c.generations[0], c.generations[1] = c.generations[1], c.generations[0]
		clear(c.generations[0])
	default:
		clear(c.generations[0])
		clear(c.generations[1])
	}
	c.begun = now
}

// place returns the bit of an IPv4 address or IPv6 /64.
func place(ip netip.Addr) (word int, bit uint64) {
	h := rate.SourceOf(addrs.Host(ip)) * 0x9e3779b97f4a7c15 >> 45 // 19 bits
	return int(h / 64), 1 << (h % 64)
}
