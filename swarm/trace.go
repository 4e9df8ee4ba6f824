package swarm

import (
	"errors"
	"net/netip"

	"seedbed/swarm/engine"
)

// A Trace is called for the connections that a torrent makes, for diagnosis. Each function
// may be nil. They are called on many goroutines and must return soon.
type Trace struct {
	// Dialed is called when a dial has ended. A peer may be dialed several times, for
	// each kind of handshake.
	Dialed func(to netip.AddrPort, err error)
	// Handshaken is called when the handshake with a peer that accepted a connection has
	// ended. If err is nil, h is the peer's handshake.
	Handshaken func(peer netip.AddrPort, h Handshake, err error)
	// Closed is called when a connection has ended after its handshake.
	Closed func(peer netip.AddrPort, why engine.Fault)
}

// ErrOtherTorrent reports a peer that answered a handshake with another infohash.
var ErrOtherTorrent = errors.New("the peer answered with another infohash")

func (t *Trace) dialed(to netip.AddrPort, err error) {
	if t != nil && t.Dialed != nil {
		t.Dialed(to, err)
	}
}

func (t *Trace) handshaken(peer netip.AddrPort, h Handshake, err error) {
	if t != nil && t.Handshaken != nil {
		t.Handshaken(peer, h, err)
	}
}

func (t *Trace) closed(peer netip.AddrPort, why engine.Fault) {
	if t != nil && t.Closed != nil {
		t.Closed(peer, why)
	}
}
