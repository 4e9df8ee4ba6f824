// Package portmap asks the routers of the local network to let peers in. It maps the node's port,
// for TCP and UDP, by PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP (IGD 1 and 2), and opens the same port in
// the IPv6 firewall of a router (a "pinhole").
//
// Start returns a Mapper. It looks for the routers of all interfaces, and for each address of this
// machine (a target) tries the methods in the order given until one works. It renews the mappings
// before they expire, notices when a router has restarted (it announces that, or does not know the mappings any more), when an interface or an address changes,
// and removes the mappings at the end. Status says what is mapped and, if nothing works, why.
//
// Only addresses behind a NAT are mapped: not loopback, and no public IPv4 address. Nothing is
// ever sent beyond the local network: a gateway must have a private or link-local address, and a UPnP
// device is asked only at the address that answered the search. What routers answer is not trusted:
// sizes and counts are limited, and a lease never makes us ask more often than minRenew.
//
// Files: mapper.go watches the interfaces, target.go decides what to map, worker.go tries the methods
// for one target, holding.go keeps what was granted, announce.go reads what routers announce; udp.go is the client of PCP and NAT-PMP, upnp.go,
// ssdp.go and pinhole.go are that of UPnP.
package portmap

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/portmap/pcp"
)

// Method is a protocol between a host and its router.
type Method uint8

const (
	PCP Method = iota + 1
	NATPMP
	UPnP
)

// String returns the name of the method as people write it.
func (m Method) String() string { return [...]string{"", "PCP", "NAT-PMP", "UPnP"}[m] }

// Methods returns all methods in the order in which they are tried.
func Methods() []Method { return []Method{PCP, NATPMP, UPnP} }

// Protocol is the transport protocol of a mapping: TCP or UDP.
type Protocol = pcp.Protocol

const (
	TCP = pcp.TCP
	UDP = pcp.UDP
)

// Config configures a Mapper.
type Config struct {
	// Listen is where the node listens, with one port, for both TCP and UDP. An unspecified
	// address stands for all addresses of its family.
	Listen []netip.AddrPort
	// Methods are the methods to try, in this order. Nil means all.
	Methods []Method
	// Gateway is the router to ask instead of those of the default routes. It must be a local
	// address. VPN servers that map ports have such an address inside the tunnel.
	Gateway netip.Addr
	// Interface is the only network interface whose routers are asked; "" means all. Control has to
	// bind the sockets to it.
	Interface string
	// Changed is called after Status has changed. It must not block. It may be nil.
	Changed func()
	// Control is called with each socket before it is used, as net.Dialer.Control is. It may bind the
	// socket to an interface. It may be nil.
	Control func(network, address string, c syscall.RawConn) error
	// Logger may be nil.
	Logger *slog.Logger

	// system replaces the sockets and interfaces of the machine in tests.
	system system
}

// IsNeeded reports whether there can be something to map for a node that listens on these addresses.
func IsNeeded(listen []netip.AddrPort) bool {
	for _, a := range listen {
		if a.Addr().IsUnspecified() || isMappable(a.Addr()) {
			return true
		}
	}
	return false
}

// isMappable reports whether an address of this machine can be behind a NAT, or for IPv6 behind
// a firewall that opens ports on request.
func isMappable(ip netip.Addr) bool {
	if ip.Is4() {
		return addrs.ScopeOf(ip) == addrs.Private
	}
	return addrs.IsPublic(ip)
}

// Mapping is a port that a router forwards to us.
type Mapping struct {
	Method   Method
	Protocol Protocol
	Router   netip.Addr // the device that was asked
	Asked    uint16     // our port, as it was asked for
	// Internal is our address, and the port to which the router sends. The port differs from Asked
	// if the router chose it. Some VPN servers do.
	Internal netip.AddrPort
	// External is where peers reach us. Its address is unspecified if the router did not say it.
	External netip.AddrPort
	Lease    time.Duration // as granted; 0 for a mapping that stays until it is removed
}

// Target is an address of this machine for which mappings are wanted.
type Target struct {
	Interface string
	Local     netip.Addr
	Gateway   netip.Addr
	Mappings  []Mapping // TCP first; several of each if several devices answered
	// Err says why there are no mappings. It is nil while the first attempt runs.
	Err error
	// Advice is what the user can do about Err, or about a mapping that does not make us reachable.
	Advice string
}

// Status is the state of a Mapper.
type Status struct {
	// Targets are sorted: the interface of the preferred route first, IPv4 before IPv6. It is empty if
	// no address of this machine needs a mapping.
	Targets []Target
}

// First returns the first mapping of one family: how peers reach us over TCP.
func (s *Status) First(v6 bool) (m Mapping, ok bool) {
	for _, t := range s.Targets {
		if len(t.Mappings) > 0 && t.Local.Is6() == v6 {
			return t.Mappings[0], true
		}
	}
	return Mapping{}, false
}

// Error says why a target has no mapping: one error for each method that was tried.
type Error struct {
	Attempts []Attempt
}

// Attempt is the failure of one method.
type Attempt struct {
	Method Method
	Err    error
}

func (e *Error) Error() string {
	texts := make([]string, len(e.Attempts))
	for i, a := range e.Attempts {
		texts[i] = fmt.Sprintf("%v: %v", a.Method, a.Err)
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the errors of the attempts.
func (e *Error) Unwrap() []error {
	errs := make([]error, len(e.Attempts))
	for i, a := range e.Attempts {
		errs[i] = a.Err
	}
	return errs
}

// adviceFor returns what the user can do if no method works.
func adviceFor(t *target, port uint16) string {
	if t.local.Is6() {
		return fmt.Sprintf("allow TCP and UDP to port %d of %s in the IPv6 firewall of the router, or enable PCP there", port, t.local)
	}
	return fmt.Sprintf("enable UPnP, NAT-PMP or PCP in the router at %s, or forward TCP and UDP port %d to %s there", t.gateway.WithZone(""), port, t.local)
}

// adviceOn returns what the user can do about a mapping that does not make us reachable, or "".
func adviceOn(m *Mapping) string {
	if ip := m.External.Addr(); !ip.IsUnspecified() && addrs.IsLocal(ip) {
		return fmt.Sprintf("the router %s is itself behind a NAT, because its external address %s is not public: forward the port in the router before it too, or ask the provider for a public address", m.Router, ip)
	}
	return ""
}
