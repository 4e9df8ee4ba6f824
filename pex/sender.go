package pex

import (
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/mono"
)

const (
	// Interval is the least time between two messages to one peer (BEP 11:
	// "Clients must batch updates to send no more than 1 PEX message per minute").
	Interval = time.Minute
	// SendInterval is the least time between two messages of ours. webtorrent
	// disconnects a peer whose messages arrive less than a minute apart, and the
	// network may delay the first more than the second.
	SendInterval = 65 * time.Second
)

// Sender is what one peer has been told. The zero Sender has told nothing; set
// Rules before the first Next.
//
// A message counts from when it is sent, not from when it is made: after Next the
// caller says when that was by Sent, and until then no other message is due.
type Sender struct {
	Rules Rules

	due  mono.Time        // Never while a message waits to be sent
	told []netip.AddrPort // sorted; as the peer must believe after our messages
}

// Due is when Next may have something to say, if there is anything to say; Never
// until a message that was made is sent.
func (s *Sender) Due() mono.Time { return s.due }

// Next is the message to send now, given all peers that are connected, by the
// addresses under which they can be dialled; false when none is due or there is
// no news. The first comes at once. What does not fit is told next time, in
// the order of connected; a peer that came and went in between is not told.
func (s *Sender) Next(now mono.Time, connected []Peer) (Update, bool) {
	if now.Before(s.due) {
		return Update{}, false
	}
	// BEP 11: a peer is included in added "once a connection is successfully
	// established and included in the dropped field once it is disconnected".
	live := make([]netip.AddrPort, 0, len(connected))
	for _, p := range connected {
		if s.Rules.Allow(p.Addr) {
			live = append(live, p.Addr)
		}
	}
	slices.SortFunc(live, netip.AddrPort.Compare)

	var u Update
	keep := s.told[:0]
	for _, a := range s.told {
		if _, ok := slices.BinarySearchFunc(live, a, netip.AddrPort.Compare); ok || len(u.Dropped) == MaxEntries {
			keep = append(keep, a)
		} else {
			u.Dropped = append(u.Dropped, a)
		}
	}
	s.told = keep
	for _, p := range connected {
		if len(u.Added) == MaxEntries {
			break
		}
		// A told address is never in both lists: it is in added only when it was
		// not told, and in dropped only when it is not connected. (BEP 11: "An added
		// contact must not be dropped in the same message", and no duplicates.)
		if i, ok := slices.BinarySearchFunc(s.told, p.Addr, netip.AddrPort.Compare); !ok && s.Rules.Allow(p.Addr) {
			s.told = slices.Insert(s.told, i, p.Addr)
			u.Added = append(u.Added, p)
		}
	}
	if len(u.Added)+len(u.Dropped) == 0 {
		return Update{}, false
	}
	s.due = mono.Never
	return u, true
}

// Sent notes that the message of the last Next was sent now.
func (s *Sender) Sent(now mono.Time) {
	if s.due == mono.Never {
		s.due = now.Add(SendInterval)
	}
}
