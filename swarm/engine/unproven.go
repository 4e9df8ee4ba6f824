package engine

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
)

// An address that only the DHT or PEX has named is unproven: whoever named it may
// want us to attack it. Limits bound what a third party can be made to receive:
//
//   - of one host few addresses are kept and one is dialled at a time, with
//     growing pauses while none answers;
//   - ports below 1024 are not dialled at all;
//   - one source cannot fill the book.
//
// Addresses that several sources name come first, and a source that names many
// ports of one host replaces its own, so that a liar cannot hide an honest peer
// behind the same address. An address is exempt when the user, a link, the peer
// itself or an earlier connection proves it. Where we listen on a private address,
// as in a laboratory, private addresses are exempt.
const (
	// maxPortsPerHost unproven addresses of one host are kept.
	maxPortsPerHost = 3
	// maxPerSource unproven addresses are kept of those that one source named first.
	// An address that has failed chargedFails times no longer counts.
	maxPerSource = 100
	chargedFails = 3
	// MinUnprovenPort is the lowest unproven port that is dialled. Below it are the
	// services that a SYN flood hurts or that raise an alarm.
	MinUnprovenPort = 1024
	// maxNames sources of an address are remembered.
	maxNames = 3
	// hostRest is the pause after a dial to an unproven address of a host has failed.
	// It doubles with each failure in a row.
	hostRest    = 2 * time.Second
	hostRestMax = time.Minute
)

// sourceID identifies the network of the node or peer that named an address: its
// IPv4 /24 or IPv6 /64, all of which one owner is likely to hold. 0 is unknown.
type sourceID uint64

func sourceOf(from netip.Addr) sourceID {
	if !from.IsValid() {
		return 0
	}
	if from = from.Unmap(); from.Is4() {
		b := from.As4()
		return 1<<32 | sourceID(b[0])<<16 | sourceID(b[1])<<8 | sourceID(b[2])
	}
	b := from.As16()
	return max(sourceID(binary.BigEndian.Uint64(b[:])), 1)
}

// host holds what is known of the unproven addresses of one host.
type host struct {
	kept    []netip.AddrPort
	dialing bool
	fails   uint8 // dials in a row that came to nothing
	next    mono.Time
}

// hostKey returns what counts as one host: an IPv4 address or an IPv6 /64, all
// of whose addresses may lead to one machine.
func hostKey(ip netip.Addr) netip.Addr {
	ip = addrs.Host(ip)
	if ip.Is6() {
		p, _ := ip.Prefix(64) // never fails for 64 bits of an IPv6 address
		return p.Addr()
	}
	return ip
}

// unproven holds the counts of a book that are limited.
type unproven struct {
	hosts map[netip.Addr]*host
	named map[sourceID]int // addresses that count for the source that named them first
}

func newUnproven() unproven {
	return unproven{hosts: make(map[netip.Addr]*host), named: make(map[sourceID]int)}
}

// isUnproven reports whether the limits hold for c.
func (b *book) isUnproven(c *candidate) bool {
	proven := c.answered || c.source&^(FromDHT|FromPEX) != 0
	return !proven && !(b.relaxed && addrs.IsLocal(c.addr.Addr()))
}

// makePlace reports whether the limits leave a place for an unproven address. It
// may forget another of the same host for it.
func (b *book) makePlace(c *candidate) bool {
	if c.addr.Port() < MinUnprovenPort || addrs.ScopeOf(c.addr.Addr()) == addrs.Never ||
		c.first != 0 && b.unproven.named[c.first] >= maxPerSource {
		return false
	}
	h := b.unproven.hosts[hostKey(c.addr.Addr())]
	if h == nil || len(h.kept) < maxPortsPerHost {
		return true
	}
	replaced := b.leastUseful(h, c.first)
	if replaced < 0 {
		return false
	}
	b.remove(replaced)
	return true
}

// leastUseful returns which address of a full host gives way to one that first
// names, or -1: in this order one that has failed, one that the same source
// named, one of a source that holds several of the places. What several sources
// name gives way only after it has failed often.
func (b *book) leastUseful(h *host, first sourceID) int32 {
	worst, rank := int32(-1), 0
	for _, a := range h.kept {
		i := b.index[a]
		c := &b.list[i]
		r := 0
		switch {
		case c.state != candIdle:
		case c.fails >= chargedFails:
			r = 4
		case c.isCorroborated():
		case c.fails > 0:
			r = 3
		case c.first == first:
			r = 2
		case b.places(h, c.first) > 1:
			r = 1
		}
		if r > rank {
			worst, rank = i, r
		}
	}
	return worst
}

// places returns how many places of a host are held by addresses that a source
// named first.
func (b *book) places(h *host, first sourceID) (n int) {
	for _, a := range h.kept {
		if b.list[b.index[a]].first == first {
			n++
		}
	}
	return n
}

// charge counts c, an unproven address that is now in the book.
func (b *book) charge(c *candidate) {
	key := hostKey(c.addr.Addr())
	h := b.unproven.hosts[key]
	if h == nil {
		h = new(host)
		b.unproven.hosts[key] = h
	}
	h.kept = append(h.kept, c.addr)
	c.unproven, c.charged = true, true
	b.unproven.named[c.first]++
}

// discharge no longer counts c for the source that named it first.
func (b *book) discharge(c *candidate) {
	if !c.charged {
		return
	}
	c.charged = false
	if b.unproven.named[c.first]--; b.unproven.named[c.first] == 0 {
		delete(b.unproven.named, c.first)
	}
}

// release ends the limits for c: it is proven, or forgotten.
func (b *book) release(c *candidate) {
	if !c.unproven {
		return
	}
	c.unproven = false
	b.discharge(c)
	key := hostKey(c.addr.Addr())
	h := b.unproven.hosts[key]
	h.kept = slices.DeleteFunc(h.kept, func(a netip.AddrPort) bool { return a == c.addr })
	if c.state == candDialing {
		h.dialing = false
	}
	if len(h.kept) == 0 {
		delete(b.unproven.hosts, key)
	}
}

// hostOf returns the host of an unproven candidate, or nil.
func (b *book) hostOf(c *candidate) *host {
	if !c.unproven {
		return nil
	}
	return b.unproven.hosts[hostKey(c.addr.Addr())]
}

// hostFailed notes that a dial to an unproven address failed.
func (b *book) hostFailed(now mono.Time, c *candidate) {
	h := b.hostOf(c)
	if h == nil {
		return
	}
	h.dialing = false
	h.next = now.Add(min(hostRest<<min(h.fails, 10), hostRestMax))
	if h.fails < 255 {
		h.fails++
	}
	b.next = min(b.next, h.next)
	if c.fails >= chargedFails {
		b.discharge(c)
	}
}

// isCorroborated reports whether several sources have named the address.
func (c *candidate) isCorroborated() bool { return c.names[1] != 0 }

// addName notes one more source that named the address.
func (c *candidate) addName(s sourceID) {
	for i, n := range c.names {
		if n == s || s == 0 {
			return
		}
		if n == 0 {
			c.names[i] = s
			return
		}
	}
}
