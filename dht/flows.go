package dht

import (
	"net/netip"

	"seedbed/internal/mono"
)

// Who may open how much of Config.Flows. Lookups may use all of it, so that
// somebody who waits for one never waits for what runs in the background.
const (
	announceShare = 0.8 // the Announcer, of the flows as of the rate
	pingShare     = 0.5 // pings of nodes that others named
)

// room reports whether a query to an address that we have not asked lately may
// go out now. The caller holds d.mu.
func (f *family) room(now mono.Time, share float64) bool {
	return f.relaxed || f.d.flows.Room(now, share)
}

// roomFor reports the same of one address: who has sent us something or has been
// asked lately needs no new flow. The caller holds d.mu.
func (f *family) roomFor(now mono.Time, to netip.AddrPort, share float64) bool {
	return f.room(now, share) || f.d.flows.Known(now, to)
}

// useFlow notes a query on its way. The caller holds d.mu.
func (f *family) useFlow(to netip.AddrPort) {
	if !f.relaxed {
		f.d.flows.Use(f.d.now(), to)
	}
}
