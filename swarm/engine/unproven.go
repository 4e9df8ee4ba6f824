package engine

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
)

// An address that only the DHT, PEX or an announce in the local network has named is
// unproven: it may have been named to make us attack it. These limits bound what a third party can receive from us:
//
//   - For each host, few addresses are kept and one is dialed at a time, with growing
//     pauses while none answers.
//   - Ports below 1024 are never dialed.
//   - One source cannot fill the book.
//
// Addresses named by several sources come first. A source that names many ports of one
// host replaces only its own addresses, so that it cannot displace an honest peer at the
// same host. An address is exempt if the user, a link, the peer itself or an earlier
// connection confirms it. If we listen on a private address, as in a laboratory, private
// addresses are exempt too.
const (
	// maxPortsPerHost is how many unproven addresses of one host are kept.
	maxPortsPerHost = 3
	// maxPerSource is how many of the unproven addresses that one source named first are
	// kept. An address that has failed countedFails times no longer counts.
	maxPerSource = 100
	countedFails = 3
	// MinUnprovenPort is the lowest unproven port that is dialed. Lower ports belong to
	// services that a SYN flood harms or that raise alarms.
	MinUnprovenPort = 1024
	// maxNames is how many sources of an address are remembered.
	maxNames = 3
	// hostRest is how long a host is not dialed after a dial to an unproven address of
	// it has failed. It doubles with each consecutive failure.
	hostRest    = 2 * time.Second
	hostRestMax = time.Minute
)

// sourceID identifies the network of the node or peer that named an address: its IPv4 /24
// or IPv6 /64, which usually has one owner. 0 means unknown.
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

// host is the state of the unproven addresses of one host.
type host struct {
	kept    []netip.AddrPort
	dialing bool
	fails   uint8 // consecutive failed dials
	next    mono.Time
}

// hostKey returns what counts as one host: an IPv4 address, or an IPv6 /64, because all
// addresses of a /64 may belong to one machine.
func hostKey(ip netip.Addr) netip.Addr {
	ip = addrs.Host(ip)
	if ip.Is6() {
		p, _ := ip.Prefix(64) // never fails for 64 bits of an IPv6 address
		return p.Addr()
	}
	return ip
}

// unproven counts the unproven addresses of a book.
type unproven struct {
	hosts map[netip.Addr]*host
	named map[sourceID]int // addresses by the source that named them first
}

func newUnproven() unproven {
	return unproven{hosts: make(map[netip.Addr]*host), named: make(map[sourceID]int)}
}

// isUnproven reports whether the limits apply to c.
func (b *book) isUnproven(c *candidate) bool {
	proven := c.answered || c.source&^(FromDHT|FromPEX|FromLSD) != 0
	return !proven && !(b.relaxed && addrs.IsLocal(c.addr.Addr()))
}

// admitUnproven reports whether the limits allow adding an unproven address. It may remove
// another address of the same host.
func (b *book) admitUnproven(c *candidate) bool {
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

// leastUseful returns the index of the address of a full host to replace by one that
// first named, or -1. It prefers, in this order: an address that has failed often, one
// that has failed, one named by the same source, and one of a source that named several
// of the kept addresses. Addresses named by several sources are replaced only after they
// have failed often.
func (b *book) leastUseful(h *host, first sourceID) int32 {
	worst, rank := int32(-1), 0
	for _, a := range h.kept {
		i := b.index[a]
		c := &b.list[i]
		r := 0
		switch {
		case c.state != candIdle:
		case c.fails >= countedFails:
			r = 4
		case c.isCorroborated():
		case c.fails > 0:
			r = 3
		case c.first == first:
			r = 2
		case b.keptFrom(h, c.first) > 1:
			r = 1
		}
		if r > rank {
			worst, rank = i, r
		}
	}
	return worst
}

// keptFrom returns how many of the kept addresses of a host were named first by a source.
func (b *book) keptFrom(h *host, first sourceID) (n int) {
	for _, a := range h.kept {
		if b.list[b.index[a]].first == first {
			n++
		}
	}
	return n
}

// trackUnproven counts the unproven address c, which has been added to the book.
func (b *book) trackUnproven(c *candidate) {
	key := hostKey(c.addr.Addr())
	h := b.unproven.hosts[key]
	if h == nil {
		h = new(host)
		b.unproven.hosts[key] = h
	}
	h.kept = append(h.kept, c.addr)
	c.unproven, c.counted = true, true
	b.unproven.named[c.first]++
}

// untrackSource stops counting c for the source that named it first.
func (b *book) untrackSource(c *candidate) {
	if !c.counted {
		return
	}
	c.counted = false
	if b.unproven.named[c.first]--; b.unproven.named[c.first] == 0 {
		delete(b.unproven.named, c.first)
	}
}

// untrackUnproven ends the limits for c, which has been proven or is being forgotten.
func (b *book) untrackUnproven(c *candidate) {
	if !c.unproven {
		return
	}
	c.unproven = false
	b.untrackSource(c)
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

// hostFailed records that a dial to an unproven address failed.
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
	if c.fails >= countedFails {
		b.untrackSource(c)
	}
}

// isCorroborated reports whether several sources have named the address.
func (c *candidate) isCorroborated() bool { return c.names[1] != 0 }

// addName records one more source of the address.
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
