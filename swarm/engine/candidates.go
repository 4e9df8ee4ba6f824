package engine

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
)

// Limits of the book.
const (
	// maxKnown is how many addresses are remembered: more than a torrent dials in an
	// hour. Above it, the worst address of a random sample is forgotten.
	maxKnown = 4000
	// evictSample is the size of that sample.
	evictSample = 16
)

type candState uint8

const (
	candIdle candState = iota
	candDialing
	candConnected
	candSelf // our own address: never dialed again
)

// candidate is an address in the book.
type candidate struct {
	addr      netip.AddrPort
	source    Source
	state     candState
	fails     uint8 // consecutive failed dials
	unreached bool  // the last dial failed because there was no route
	tried     bool  // dialed at least once
	answered  bool  // a handshake has succeeded at least once
	refused   bool  // a dial failed, and none has succeeded
	unproven  bool  // the limits of unproven.go apply
	counted   bool  // it counts for the source that named it first
	seed      bool  // had everything when last connected
	pushes    bool  // and supported sb_item
	encrypted bool  // supports or prefers encryption, as far as known
	punch     punchability
	priority  uint32 // see priority.go; 0: unknown
	next      mono.Time
	first     sourceID           // the source that named it first
	names     [maxNames]sourceID // the sources that have named it
}

// book is the bounded set of known addresses. Decisions use only the slice; the maps find
// an address in it and count.
type book struct {
	list    []candidate
	index   map[netip.AddrPort]int32
	dialing int
	tried   int // addresses ever dialed
	refused int // how many of those have never answered
	next    mono.Time
	private bool // no DHT, PEX and LSD (BEP 27)
	hints   bool // dial hints even if private
	rng     *rand.Rand
	self    [2]netip.Addr // our own IPv4 and IPv6 addresses, as far as known
	ports   addrs.Ports   // our own

	relaxed  bool // do not limit unproven addresses on private networks
	unproven unproven
	bans     banList
}

func newBook(cfg *Config, rng *rand.Rand) book {
	return book{
		index: make(map[netip.AddrPort]int32),
		hints: cfg.Hints, private: cfg.Private, relaxed: cfg.Relaxed,
		unproven: newUnproven(), bans: newBanList(),
		ports: cfg.Ports,
		next:  mono.Never,
		rng:   rng,
	}
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// ban forgets or blocks the addresses of a key until a time; mono.Never means forever.
// The caller closes their connections. It reports whether the key was not banned before.
func (b *book) ban(now mono.Time, key netip.AddrPort, until mono.Time) bool {
	fresh := b.bans.add(now, key, until)
	for i := len(b.list) - 1; i >= 0; i-- {
		c := &b.list[i]
		if c.state != candIdle || banKey(c.addr) != key {
			continue
		}
		if b.isUnproven(c) {
			b.remove(int32(i))
		} else {
			c.next = max(c.next, until)
		}
	}
	return fresh
}

// isBanned reports whether the address is banned now.
func (b *book) isBanned(now mono.Time, a netip.AddrPort) bool { return b.bans.of(a) > now }

// refusedSource reports whether addresses from a source must not be used. A private
// torrent gets peers from hints only, if at all (BEP 27).
func (b *book) refusedSource(s Source) bool {
	if !b.private {
		return false
	}
	s &^= FromDHT | FromPEX | FromLSD
	if !b.hints {
		s &^= FromHint
	}
	return s == 0
}

// add adds an address and reports whether it is new.
func (b *book) add(now mono.Time, k Candidate) bool {
	addr, from := unmap(k.Addr), sourceOf(k.From)
	ip := addr.Addr()
	if !addr.IsValid() || addr.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() ||
		b.refusedSource(k.Source) || b.isSelf(addr) {
		return false
	}
	if i, ok := b.index[addr]; ok {
		b.renew(now, &b.list[i], k.Source, from)
		return false
	}
	c := candidate{addr: addr, source: k.Source, first: from, next: max(now, b.bans.of(addr)), priority: b.priority(addr)}
	c.addName(from)
	limited := b.isUnproven(&c)
	if limited && (c.next > now || !b.admitUnproven(&c)) {
		return false
	}
	if len(b.list) >= maxKnown && !b.evict(&c) {
		return false
	}
	b.index[addr] = int32(len(b.list))
	b.list = append(b.list, c)
	if limited {
		b.trackUnproven(&b.list[len(b.list)-1])
	}
	b.next = min(b.next, c.next)
	return true
}

// renew records that a known address was named again.
func (b *book) renew(now mono.Time, c *candidate, source Source, from sourceID) {
	if c.source|source != c.source && source == FromHint {
		c.next = max(min(c.next, now), b.bans.of(c.addr)) // a hint makes it eligible again
		b.next = min(b.next, c.next)
	}
	c.source |= source
	c.addName(from)
	if !b.isUnproven(c) {
		b.untrackUnproven(c)
	}
}

// evict forgets an address that is worse than c, and reports whether it found one.
func (b *book) evict(c *candidate) bool {
	worst := int32(-1)
	for range evictSample {
		i := b.rng.Int32N(int32(len(b.list)))
		switch x := &b.list[i]; {
		case x.state == candSelf:
			b.remove(i)
			return true
		case x.state == candIdle && (worst < 0 || better(&b.list[worst], x)):
			worst = i
		}
	}
	if worst < 0 || better(&b.list[worst], c) {
		return false
	}
	b.remove(worst)
	return true
}

// remove forgets an address that is neither being dialed nor connected. The last one of
// the list moves to its index.
func (b *book) remove(i int32) {
	b.untrackUnproven(&b.list[i])
	delete(b.index, b.list[i].addr)
	last := int32(len(b.list) - 1)
	if i != last {
		b.list[i] = b.list[last]
		b.index[b.list[i].addr] = i
	}
	b.list = b.list[:last]
}

// find returns the candidate with address addr, or nil. The pointer is valid until the
// book changes.
func (b *book) find(addr netip.AddrPort) *candidate {
	if i, ok := b.index[unmap(addr)]; ok {
		return &b.list[i]
	}
	return nil
}

// setEncrypted records that addr supported encryption in an earlier run. Observations of
// this run take precedence.
func (b *book) setEncrypted(addr netip.AddrPort) {
	if c := b.find(addr); c != nil && !c.tried {
		c.encrypted = true
	}
}

// isForbidden reports whether the address was learned in a way that a private torrent
// forbids.
func (b *book) isForbidden(addr netip.AddrPort) bool {
	c := b.find(addr)
	return c != nil && b.refusedSource(c.source)
}

// setPrivate refuses addresses from DHT, PEX and LSD from now on, and forgets those that
// came from them.
func (b *book) setPrivate() {
	b.private = true
	for i := len(b.list) - 1; i >= 0; i-- {
		if c := &b.list[i]; c.state == candIdle && b.refusedSource(c.source) {
			b.remove(int32(i))
		}
	}
}

// waiting returns how many addresses could be dialed now or soon.
func (b *book) waiting(now mono.Time) (n int) {
	for i := range b.list {
		if c := &b.list[i]; c.state == candIdle && c.fails < 3 && c.next <= now.Add(time.Minute) {
			n++
		}
	}
	return n
}

// known returns how many addresses may be peers.
func (b *book) known() (n int) {
	for i := range b.list {
		if b.list[i].state != candSelf {
			n++
		}
	}
	return n
}
