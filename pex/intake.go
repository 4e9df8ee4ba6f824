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
	// maxLive is how many peers a sender may have announced without dropping them. BEP
	// 11: "a client should avoid taking all its connection candidates from a single PEX
	// source".
	maxLive = 200
	// slack is how many messages may arrive early, for clients that send the first two in
	// a row or measure the minute inexactly.
	slack = 4
	// patience is how many further messages are ignored before they count as a flood: BEP
	// 11 allows disconnecting peers that egregiously violate its limits.
	patience = 60
)

// Intake is the state of one peer's announcements. The zero Intake is ready for use; set
// Rules before the first Accept.
type Intake struct {
	Rules Rules

	begun   bool
	allowed rate.Bucket // messages that are processed
	ignored rate.Bucket // messages that are ignored
	live    map[netip.AddrPort]struct{}
}

// Accept returns the new peers in u: each address once, within the limits, and none that
// Rules forbid. A message that arrives too early is ignored; a flood of them is an error.
func (in *Intake) Accept(now mono.Time, u Update) ([]Peer, error) {
	limit := MaxEntries
	if !in.begun {
		in.begun = true
		in.allowed = rate.NewBucket(now, 1/Interval.Seconds(), slack)
		in.ignored = rate.NewBucket(now, 1/Interval.Seconds(), patience)
		in.live = make(map[netip.AddrPort]struct{})
		limit = MaxFirst // BEP 11: "Except for the initial PEX message"
	}
	if !in.allowed.Take(now, 1) {
		if !in.ignored.Take(now, 1) {
			return nil, &Error{Kind: Flood}
		}
		return nil, nil
	}
	for _, a := range u.Dropped {
		delete(in.live, key(a))
	}
	var news []Peer
	for _, p := range u.Added[:min(len(u.Added), limit)] {
		if len(in.live) == maxLive {
			break
		}
		if !in.Rules.Allow(p.Addr) {
			continue
		}
		k := key(p.Addr)
		if _, old := in.live[k]; old {
			continue
		}
		in.live[k] = struct{}{}
		news = append(news, p)
	}
	return slices.Clip(news), nil
}

// key identifies a contact. BEP 11: "Duplicate IP addresses (e.g. with different ports)
// should be ignored". Otherwise a peer could direct many peers at one victim. On a
// private network or this machine many clients do share an address, and a victim would be
// local.
func key(a netip.AddrPort) netip.AddrPort {
	if addrs.IsPublic(a.Addr()) {
		return netip.AddrPortFrom(addrs.Host(a.Addr()), 0)
	}
	return a
}
