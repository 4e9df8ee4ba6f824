package engine

import (
	"net/netip"
	"time"

	"seedbed/internal/mono"
	"seedbed/pex"
)

// After a request for a hole punch to an address, no other is sent for punchRest. After the
// second and later ones without a connection it is punchRestLong: behind some routers a hole
// punch never works.
const (
	punchRest     = 30 * time.Second
	punchRestLong = 30 * time.Minute
)

// punchability is what is known about how to reach an address by a hole punch (BEP 55).
type punchability struct {
	supported bool      // a peer has said that it supports ut_holepunch
	reachable bool      // a peer has said that it can be dialed
	worked    bool      // the last connection to it was made by a hole punch
	requests  uint8     // sent since the last connection
	next      mono.Time // earliest time of the next request
}

// needsPunch reports whether a dial to c is likely to fail without a hole punch.
func (c *candidate) needsPunch() bool {
	return c.punch.worked || c.punch.supported && !c.punch.reachable
}

// describe records what a peer has sent about an address by PEX. If we are connected to that
// address, we know better.
func (b *book) describe(addr netip.AddrPort, f pex.Flags) {
	c := b.find(addr)
	if c == nil {
		return
	}
	// BEP 11: 0x04 is support of uTP, 0x08 of ut_holepunch, 0x10 says that the sender has
	// dialed it. A wrong flag can only cause a request too many or one that is late.
	c.punch.supported = c.punch.supported || f&pex.Holepunch != 0
	c.punch.reachable = c.punch.reachable || f&pex.Reachable != 0
	if c.state == candIdle {
		c.seed = c.seed || f&pex.Seed != 0
		if !c.answered {
			c.encrypted = f&pex.PrefersEncryption != 0
		}
	}
}

// mayRequestPunch reports whether a relay may be asked for a hole punch to c now. It may be
// asked during a dial: the hole punch works while the dial waits for its timeout.
func (b *book) mayRequestPunch(now mono.Time, c *candidate) bool {
	return (c.punch.supported || c.punch.worked) && (c.state == candIdle || c.state == candDialing) &&
		c.addr.Port() >= MinUnprovenPort && now >= max(c.punch.next, b.bans.of(c.addr))
}

// punchRequested records that a relay was asked for a hole punch to c.
func (b *book) punchRequested(now mono.Time, c *candidate) {
	rest := punchRestLong
	if c.punch.requests == 0 {
		rest = punchRest
	}
	c.punch.requests = min(c.punch.requests, 254) + 1
	c.punch.next = now.Add(rest)
}

// punchRefused records that a relay has refused a request for a hole punch to addr. If
// another relay may know more, it may be asked at once.
func (b *book) punchRefused(now mono.Time, addr netip.AddrPort, supported bool) {
	if c := b.find(addr); c != nil {
		c.punch.supported = c.punch.supported && supported
		c.punch.worked = c.punch.worked && supported
		if c.punch.requests > 0 {
			c.punch.requests--
			c.punch.next = now
		}
	}
}

// punched records that a hole punch has led to a connection to addr. Where it failed, nothing
// is recorded: the peer may still be reached by a dial.
func (b *book) punched(now mono.Time, addr netip.AddrPort) {
	b.add(now, Candidate{Addr: addr, Source: FromPEX})
	c := b.find(addr)
	if c == nil || c.state == candSelf || c.state == candConnected {
		return
	}
	if c.state == candDialing {
		b.dialing--
	}
	b.connected(now, c)
	c.punch.worked, c.punch.requests, c.punch.next = true, 0, 0
}
