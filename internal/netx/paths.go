package netx

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// Local is an address of this machine on a network interface.
type Local struct {
	Prefix    netip.Prefix // the address with the length of its network
	Interface string
}

// Paths describes how this machine reaches other machines. It is comparable with Equal.
type Paths struct {
	// Internet has the address from which packets to the internet are sent, for IPv4 and IPv6.
	// It is the zero Local if there is no route, or if the interface has no carrier.
	Internet [2]Local
	// Locals has all addresses except loopback and link-local ones, sorted. Those of interfaces
	// that are down count: their connections continue when the interface is up again.
	Locals []Local
}

// newPaths returns the Paths with these addresses, in a canonical order.
func newPaths(sources [2]netip.Addr, locals []Local, hasCarrier func(iface string) bool) (p Paths) {
	for _, l := range locals {
		ip := l.Prefix.Addr()
		// Link-local addresses come and go with the interfaces of containers, and no peer uses them.
		if !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			p.Locals = append(p.Locals, l)
		}
	}
	slices.SortFunc(p.Locals, func(a, b Local) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	p.Locals = slices.Compact(p.Locals)
	for f, ip := range sources {
		if l, ok := p.local(ip); ok && hasCarrier(l.Interface) {
			p.Internet[f] = l
		}
	}
	return p
}

// Equal reports whether p and q are the same.
func (p *Paths) Equal(q *Paths) bool {
	return p.Internet == q.Internet && slices.Equal(p.Locals, q.Locals)
}

// local returns the Local with an address.
func (p *Paths) local(ip netip.Addr) (Local, bool) {
	for _, l := range p.Locals {
		if l.Prefix.Addr() == ip {
			return l, true
		}
	}
	return Local{}, false
}

// Has reports whether ip is an address of this machine.
func (p *Paths) Has(ip netip.Addr) bool {
	_, ok := p.local(ip)
	return ok
}

// to returns the Local from which packets to an address are sent: that of the network to which
// the address belongs, or else that for the internet. It is the zero Local if there is none.
func (p *Paths) to(remote netip.Addr) (best Local) {
	for _, l := range p.Locals {
		if l.Prefix.Contains(remote) && (!best.Prefix.IsValid() || l.Prefix.Bits() > best.Prefix.Bits()) {
			best = l
		}
	}
	if !best.Prefix.IsValid() {
		best = p.Internet[familyOf(remote)]
	}
	return best
}

func familyOf(ip netip.Addr) int { return familyIndex(ip.Is6()) }

// familyIndex is the index of a family in arrays by family: IPv4 first.
func familyIndex(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

const (
	// brokenAfter is how long a path may be interrupted before the connections over it are given
	// up. TCP and uTP wait about as long as the interruption took before they send again, so new
	// connections are faster.
	brokenAfter = 5 * time.Second
	// goneAfter is how long a machine may sleep before its connections are given up. Peers and
	// routers forget a connection that is silent for two minutes (BEP 3).
	goneAfter = 2 * time.Minute
)

// Change is a change of the Paths of this machine.
type Change struct {
	// Before has the paths before the change. For a family without a route it has the last path
	// that there was.
	Before Paths
	After  Paths
	// Interrupted is how long a family had no route until now.
	Interrupted [2]time.Duration
	// Slept is how long the machine, or this process, was suspended until now.
	Slept time.Duration
}

// HasMoved reports whether packets of a family now reach the internet by another path, or
// again after an interruption or a suspension. Then our external address may be another one.
func (c *Change) HasMoved(v6 bool) bool {
	f := familyIndex(v6)
	after := c.After.Internet[f]
	return after != Local{} && (after != c.Before.Internet[f] || c.Interrupted[f] > 0 || c.Slept > 0)
}

// HasEnded reports whether there is no route to the internet any more in a family.
func (c *Change) HasEnded(v6 bool) bool {
	f := familyIndex(v6)
	return c.After.Internet[f] == Local{} && c.Before.Internet[f] != Local{} && c.Interrupted[f] == 0
}

// HasLostAddress reports whether an address that this machine had is gone.
func (c *Change) HasLostAddress() bool {
	return slices.ContainsFunc(c.Before.Locals, func(l Local) bool { return c.HasLost(l.Prefix.Addr()) })
}

// HasLost reports whether this machine had an address that is gone. Addresses that are on no
// interface, but can be used (AnyIP, ip-route(8)), are not lost.
func (c *Change) HasLost(ip netip.Addr) bool { return c.Before.Has(ip) && !c.After.Has(ip) }

// IsLost reports whether a connection is useless after the change, so that it would only wait
// for a timeout. local is unspecified for a uTP connection: its packets have the source address that
// the system chooses for each, and a peer does not accept them from another address than before.
func (c *Change) IsLost(local, remote netip.Addr) bool {
	local, remote = local.Unmap().WithZone(""), remote.Unmap().WithZone("")
	if !local.IsValid() || remote.IsLoopback() {
		return false
	}
	if c.Slept > goneAfter {
		return true
	}
	before, after := c.Before.to(remote), c.After.to(remote)
	if !local.IsUnspecified() {
		if c.HasLost(local) {
			return true
		}
		if before.Prefix.Addr() != local {
			return false // it does not use the path that the system chooses
		}
	}
	switch f := familyOf(remote); {
	case after == Local{} || before == Local{}:
		return false // it may come back
	case c.Interrupted[f] > brokenAfter && after == c.After.Internet[f]:
		return true
	case local.IsUnspecified():
		return before.Prefix.Addr() != after.Prefix.Addr()
	default: // another address of the same interface does not affect TCP
		return before.Interface != after.Interface
	}
}
