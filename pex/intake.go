package pex

import (
	"net/netip"
	"slices"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// Limits of what one peer can tell.
const (
	// maxLive is how many peers a teller may have standing, added and not
	// dropped. BEP 11: "a client should avoid taking all its connection candidates
	// from a single PEX source".
	maxLive = 200
	// slack is how many messages may come early, for clients that send the first
	// two in a row or count their minute loosely.
	slack = 4
	// patience is how many messages more are merely ignored, before they are a
	// flood: BEP 11 lets one disconnect peers that egregiously violate its limits.
	patience = 60
)

// Intake is what one peer has told. The zero Intake has heard nothing; set
// Rules before the first Accept.
type Intake struct {
	Rules Rules

	begun   bool
	allowed rate.Bucket // messages that are read
	ignored rate.Bucket // messages that are overlooked
	live    map[netip.AddrPort]struct{}
}

// Accept is what is news in u and may be believed: each address once, within
// the limits, none that Rules forbid. A message that comes too early is
// ignored; a flood of them is an error.
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

// key is what makes a contact the same as another. BEP 11: "Duplicate IP
// addresses (e.g. with different ports) should be ignored", or a teller could
// aim many peers at one victim. On a private network or this machine many
// clients do share an address, and the victim would be near.
func key(a netip.AddrPort) netip.AddrPort {
	if addrs.IsPublic(a.Addr()) {
		return netip.AddrPortFrom(addrs.Host(a.Addr()), 0)
	}
	return a
}
