package dht

import (
	"net/netip"

	"seedbed/internal/mono"
)

// Shares of Config.Flows. Lookups may use all of it, so that a user's lookup never waits
// for background work.
const (
	announceShare = 0.8 // of the Announcer, which also has this share of Rate
	pingShare     = 0.5 // of pings to nodes that we have not asked before
)

// room reports whether a query may go to a new address now. The caller holds d.mu.
func (f *family) room(now mono.Time, share float64) bool {
	return f.relaxed || f.d.flows.Allows(now, share)
}

// roomFor reports whether a query may go to this address now. An address that we asked
// recently needs no new flow. The caller holds d.mu.
func (f *family) roomFor(now mono.Time, to netip.AddrPort, share float64) bool {
	return f.room(now, share) || f.d.flows.Known(now, to)
}

// useFlow counts the flow of a query. The caller holds d.mu.
func (f *family) useFlow(to netip.AddrPort) {
	if !f.relaxed {
		f.d.flows.Use(f.d.now(), to)
	}
}
