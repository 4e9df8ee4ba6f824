package simnet

import (
	"net/netip"
	"time"
)

// NAT is a kind of router between a host and the network.
type NAT uint8

const (
	// NoNAT: everything reaches the host.
	NoNAT NAT = iota
	// PreservingNAT: the router keeps the ports of the host, and lets in UDP only from
	// addresses and ports to which the host has sent in the last 2 minutes.
	PreservingNAT
	// SymmetricNAT: as PreservingNAT, but with another port for each destination.
	SymmetricNAT
)

// natTimeout is how long a router keeps a mapping that is not used.
const natTimeout = 2 * time.Minute

// natMapping is what a router knows about a socket and one destination.
type natMapping struct {
	local, remote netip.AddrPort
	port          uint16 // from which the destination sees us
	used          time.Time
}

// SetNAT puts the host behind a router, which has the addresses of the host. Nobody can dial
// the host then.
func (h *Host) SetNAT(kind NAT) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.nat = kind
}

// leave returns the source of a datagram from local to remote as remote sees it. net.mu is
// held.
func (h *Host) leave(local, remote netip.AddrPort) netip.AddrPort {
	if h.nat == NoNAT {
		return local
	}
	now := time.Now()
	for i := range h.mappings {
		if m := &h.mappings[i]; m.local == local && m.remote == remote && now.Sub(m.used) < natTimeout {
			m.used = now
			return netip.AddrPortFrom(local.Addr(), m.port)
		}
	}
	m := natMapping{local: local, remote: remote, port: local.Port(), used: now}
	if h.nat == SymmetricNAT {
		h.natPort = max(h.natPort, 50000) + 1
		m.port = h.natPort
	}
	h.mappings = append(h.mappings, m)
	return netip.AddrPortFrom(local.Addr(), m.port)
}

// behind returns the address of the host that seen leads to, which the host has mapped to seen
// or which is the same. net.mu is held.
func (h *Host) behind(seen netip.AddrPort) netip.AddrPort {
	for i := range h.mappings {
		if m := &h.mappings[i]; m.port == seen.Port() && m.local.Addr() == seen.Addr() {
			return m.local
		}
	}
	return seen
}

// letsIn reports whether the router lets in a datagram from remote to seen that arrives now.
// net.mu is held.
func (h *Host) letsIn(remote, seen netip.AddrPort) bool {
	if h.nat == NoNAT {
		return true
	}
	now := time.Now()
	for i := range h.mappings {
		m := &h.mappings[i]
		if m.remote == remote && m.local.Addr() == seen.Addr() && m.port == seen.Port() && now.Sub(m.used) < natTimeout {
			m.used = now
			return true
		}
	}
	return false
}
