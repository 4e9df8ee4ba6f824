package pex

import (
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/mono"
)

const (
	// Interval is the minimum time between two messages to one peer (BEP 11: "Clients
	// must batch updates to send no more than 1 PEX message per minute").
	Interval = time.Minute
	// SendInterval is the minimum time between two of our messages. webtorrent
	// disconnects a peer whose messages arrive less than a minute apart, and the network
	// may delay the first more than the second.
	SendInterval = 65 * time.Second
)

// Sender tracks what has been sent to one peer. The zero Sender is ready for use; set
// Rules before the first Next.
//
// The interval starts when a message is sent, not when it is created: after Next the
// caller reports the sending by Sent, and until then no other message is due.
type Sender struct {
	Rules Rules

	due  mono.Time        // Never while a message waits to be sent
	sent []netip.AddrPort // sorted; announced to the peer and not dropped
}

// Due returns when the next message is due, if anything has changed. It returns Never until
// the last message has been sent.
func (s *Sender) Due() mono.Time { return s.due }

// Next returns the message to send now. connected lists all connected peers, by the
// addresses under which they can be dialed. It returns false if no message is due or
// nothing has changed. The first message is due at once. Peers that do not fit are sent next
// time, in the order of connected. A peer that connects and disconnects between two messages
// is never sent.
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
	keep := s.sent[:0]
	for _, a := range s.sent {
		if _, ok := slices.BinarySearchFunc(live, a, netip.AddrPort.Compare); ok || len(u.Dropped) == MaxEntries {
			keep = append(keep, a)
		} else {
			u.Dropped = append(u.Dropped, a)
		}
	}
	s.sent = keep
	for _, p := range connected {
		if len(u.Added) == MaxEntries {
			break
		}
		// No address is in both lists: added contains only addresses that were not sent,
		// and dropped only addresses that are not connected. (BEP 11: "An added contact
		// must not be dropped in the same message", and no duplicates.)
		if i, ok := slices.BinarySearchFunc(s.sent, p.Addr, netip.AddrPort.Compare); !ok && s.Rules.Allow(p.Addr) {
			s.sent = slices.Insert(s.sent, i, p.Addr)
			u.Added = append(u.Added, p)
		}
	}
	if len(u.Added)+len(u.Dropped) == 0 {
		return Update{}, false
	}
	s.due = mono.Never
	return u, true
}

// Sent records that the message of the last Next has just been sent.
func (s *Sender) Sent(now mono.Time) {
	if s.due == mono.Never {
		s.due = now.Add(SendInterval)
	}
}
