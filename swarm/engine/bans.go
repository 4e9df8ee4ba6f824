package engine

import (
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
)

// maxBans bounds the memory of bans; the oldest is forgotten first.
const maxBans = 4096

// banList remembers which addresses are banned, and until when.
type banList struct {
	until map[netip.AddrPort]mono.Time
	keys  []netip.AddrPort // of until, in a ring; some may have expired
	next  int              // of keys, the oldest
}

func newBanList() banList { return banList{until: make(map[netip.AddrPort]mono.Time)} }

// banKey returns what a ban is on: the IP address, whatever the port. On loopback,
// where every peer of a lab shares an address, it is the port as well.
func banKey(a netip.AddrPort) netip.AddrPort {
	ip := addrs.Host(a.Addr())
	if ip.IsLoopback() {
		return netip.AddrPortFrom(ip, a.Port())
	}
	return netip.AddrPortFrom(ip, 0)
}

// add bans a key until a time, mono.Never for good, and reports whether it was
// free before. A ban in force is never shortened.
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

// of returns until when an address is banned; a time that has passed, or zero, if
// it is not.
func (l *banList) of(a netip.AddrPort) mono.Time { return l.until[banKey(a)] }

// count returns how many bans are in force.
func (l *banList) count(now mono.Time) (n int) {
	for _, key := range l.keys {
		if l.until[key] > now {
			n++
		}
	}
	return n
}
