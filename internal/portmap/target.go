package portmap

import (
	"cmp"
	"net/netip"
	"slices"

	"seedbed/internal/addrs"
)

// maxTargets limits the addresses that are mapped. Machines with more interfaces that have a
// gateway are rare, and each target costs a goroutine and a socket.
const maxTargets = 8

// link is an interface of this machine with its default gateways.
type link struct {
	name   string
	metric uint32 // of the default route: lower is preferred
	v4     []netip.Prefix
	v6     []netip.Addr // public addresses, the preferred source address first
	gw4    netip.Addr   // invalid if there is none
	gw6    netip.Addr   // with its zone if it is link-local
}

// target is an address to map and the router to ask. It is comparable: a target that changes is
// another target.
type target struct {
	iface   string
	local   netip.Addr
	gateway netip.Addr
	// search is our IPv4 address on the interface with its prefix: UPnP devices are searched from
	// there, and may have only addresses of the prefix. It is invalid if there is none.
	search netip.Prefix
	// isGiven says that the user named the gateway.
	isGiven bool
}

// targetsOf returns what to map for a node that listens on these addresses, in order of
// preference.
func targetsOf(links []link, listen []netip.AddrPort) (ts []target) {
	slices.SortStableFunc(links, func(a, b link) int { return cmp.Compare(a.metric, b.metric) })
	for _, v6 := range []bool{false, true} {
		for _, l := range links {
			for _, a := range listen {
				if t, ok := l.target(a.Addr(), v6); ok && a.Addr().Is6() == v6 && !slices.Contains(ts, t) {
					ts = append(ts, t)
				}
			}
		}
	}
	return ts[:min(len(ts), maxTargets)]
}

// target returns the target of l for a listening address.
func (l *link) target(at netip.Addr, v6 bool) (t target, ok bool) {
	t.iface = l.name
	for _, p := range l.v4 {
		// The gateway must be on this link: we ask nobody farther away.
		if isMappable(p.Addr()) && l.gw4.IsValid() && p.Contains(l.gw4) && addrs.IsLocal(l.gw4) && !t.search.IsValid() {
			t.search = p
		}
	}
	if !v6 {
		t.local, t.gateway = t.search.Addr(), l.gw4
		return t, t.search.IsValid() && (at.IsUnspecified() || at == t.local)
	}
	for _, ip := range l.v6 {
		if isMappable(ip) && (at.IsUnspecified() || at == ip) {
			t.local = ip
			break
		}
	}
	t.gateway = l.gw6
	return t, t.local.IsValid() && l.gw6.IsValid() && addrs.IsLocal(l.gw6)
}

// givenTarget returns the target for a gateway that the user named, reached from local.
func givenTarget(links []link, local, gateway netip.Addr, listen []netip.AddrPort) (ts []target) {
	if !local.IsValid() || !addrs.IsLocal(gateway) || local == gateway {
		return nil
	}
	if !slices.ContainsFunc(listen, func(a netip.AddrPort) bool {
		return a.Addr().Is6() == local.Is6() && (a.Addr().IsUnspecified() || a.Addr() == local)
	}) {
		return nil
	}
	t := target{local: local, gateway: gateway, isGiven: true}
	for _, l := range links {
		for _, p := range l.v4 {
			if p.Addr() == local {
				t.iface, t.search = l.name, p
			}
		}
		if slices.Contains(l.v6, local) {
			t.iface = l.name
		}
	}
	return []target{t}
}
