package pex

import (
	"net/netip"
	"slices"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// Limits on what one peer can announce.
const (
	// maxAnnounced is how many peers a sender may have announced without dropping them. BEP
	// 11: "a client should avoid taking all its connection candidates from a single PEX
	// source".
	maxAnnounced = 200
	// maxEarly is how many messages may arrive early, for clients that send the first two in
	// a row or measure the minute inexactly.
	maxEarly = 4
	// maxIgnored is how many further messages are ignored before they count as a flood. BEP
	// 11 allows disconnecting peers that egregiously violate its limits.
	maxIgnored = 60
)

// Intake limits what is accepted from one peer. The zero Intake is ready for use; set
// Rules before the first Accept.
type Intake struct {
	Rules Rules

	started   bool
	allowed   rate.Bucket               // messages that are processed
	ignored   rate.Bucket               // messages that are ignored
	announced map[netip.AddrPort]uint16 // ports of what was announced and not dropped, by key
}

// Accept returns the new peers in u: each address once, within the limits, and none that
// Rules forbid. A message that arrives too early is ignored; a flood of them is an error.
func (in *Intake) Accept(now mono.Time, u Update) ([]Peer, error) {
	limit := MaxEntries
	if !in.started {
		in.started = true
		in.allowed = rate.NewBucket(now, 1/Interval.Seconds(), maxEarly)
		in.ignored = rate.NewBucket(now, 1/Interval.Seconds(), maxIgnored)
		in.announced = make(map[netip.AddrPort]uint16)
		limit = MaxFirst // BEP 11: "Except for the initial PEX message"
	}
	if !in.allowed.Take(now, 1) {
		if !in.ignored.Take(now, 1) {
			return nil, &Error{Kind: Flood}
		}
		return nil, nil
	}
	for _, a := range u.Dropped {
		delete(in.announced, key(a))
	}
	var accepted []Peer
	for _, p := range u.Added[:min(len(u.Added), limit)] {
		if len(in.announced) == maxAnnounced {
			break
		}
		if !in.Rules.Allow(p.Addr) {
			continue
		}
		k := key(p.Addr)
		if _, old := in.announced[k]; old {
			continue
		}
		in.announced[k] = p.Addr.Port()
		accepted = append(accepted, p)
	}
	return slices.Clip(accepted), nil
}

// Announces reports whether the other end has announced a, and has not dropped it since: it
// says that it is connected to a.
func (in *Intake) Announces(a netip.AddrPort) bool {
	port, ok := in.announced[key(a)]
	return ok && port == a.Port()
}

// Drop removes a from what the other end has announced.
func (in *Intake) Drop(a netip.AddrPort) {
	if in.Announces(a) {
		delete(in.announced, key(a))
	}
}

// key identifies a contact. BEP 11: "Duplicate IP addresses (e.g. with different ports)
// should be ignored". Otherwise a peer could make many clients dial one host. In a private
// network, or on one machine, several clients do share an address.
func key(a netip.AddrPort) netip.AddrPort {
	if addrs.IsPublic(a.Addr()) {
		return netip.AddrPortFrom(addrs.Host(a.Addr()), 0)
	}
	return a
}
