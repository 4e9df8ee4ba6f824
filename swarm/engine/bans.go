package engine

import (
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
)

// maxBans bounds the number of bans; the oldest is forgotten first.
const maxBans = 4096

// banList records which addresses are banned, and until when.
type banList struct {
	until map[netip.AddrPort]mono.Time
	keys  []netip.AddrPort // the keys of until, in a ring; some may have expired
	next  int              // index of the oldest key
}

func newBanList() banList { return banList{until: make(map[netip.AddrPort]mono.Time)} }

// banKey returns what a ban applies to: the IP address with any port. On loopback, where
// all peers of a lab share an address, it includes the port.
func banKey(a netip.AddrPort) netip.AddrPort {
	ip := addrs.Host(a.Addr())
	if ip.IsLoopback() {
		return netip.AddrPortFrom(ip, a.Port())
	}
	return netip.AddrPortFrom(ip, 0)
}

// add bans a key until a time (mono.Never means forever) and reports whether it was not
// banned before. It never shortens a ban.
func (l *banList) add(now mono.Time, key netip.AddrPort, until mono.Time) (fresh bool) {
	old, known := l.until[key]
	l.until[key] = max(old, until)
	switch {
	case known:
	case len(l.keys) < maxBans:
		l.keys = append(l.keys, key)
	default:
		delete(l.until, l.keys[l.next])
		l.keys[l.next] = key
		l.next = (l.next + 1) % maxBans
	}
	return old <= now
}

// of returns when the ban of an address ends. If the address is not banned, that is zero
// or in the past.
func (l *banList) of(a netip.AddrPort) mono.Time { return l.until[banKey(a)] }

// count returns the number of current bans.
func (l *banList) count(now mono.Time) (n int) {
	for _, key := range l.keys {
		if l.until[key] > now {
			n++
		}
	}
	return n
}
