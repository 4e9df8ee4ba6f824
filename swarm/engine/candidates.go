package engine

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/internal/mono"
)

// Caps of the book.
const (
	// maxKnown addresses are remembered: more than a torrent dials in an hour.
	// Beyond that the worst of a few chosen at random makes room.
	maxKnown = 4000
	// maxBans bounds the memory of bans; the oldest is forgotten first.
	maxBans = 4096
	// evictSample addresses are looked at to find one to forget.
	evictSample = 16
)

// How long an address rests after a failure, doubling each time.
const (
	retryFirst = 10 * time.Second
	retryMax   = 30 * time.Minute
	// A hint was given by a person or a link, so it is tried more eagerly.
	retryHintMax = time.Minute
	// What has nothing for us rests longer.
	retryUseless = 10 * time.Minute
	// What we are connected to by another way is dialled when that ends.
	retryDuplicate = time.Minute
	// What served us well and broke off.
	retryGood = 3 * time.Second
)

type candState uint8

const (
	candIdle candState = iota
	candDialing
	candConnected
	candBarred // our own address, or banned: never again
)

// candidate is an address in the book.
type candidate struct {
	addr      netip.AddrPort
	source    Source
	state     candState
	fails     uint8 // dials in a row that came to nothing
	tried     bool  // dialled at least once
	answered  bool  // a handshake was done at least once
	refused   bool  // a dial failed, and none has succeeded
	seed      bool  // had everything when last seen
	encrypted bool  // encrypts or would like to, as we or who told us saw
	next      mono.Time
}

// A book is the bounded memory of addresses. Deciding reads the slice only; the
// map finds an address in it.
type book struct {
	list    []candidate
	index   map[netip.AddrPort]int32
	dialing int
	tried   int // addresses ever dialled
	refused int // of those, never answered
	next    mono.Time
	private bool // no DHT, no PEX (BEP 27)
	hints   bool // hints are dialled though private
	rng     *rand.Rand
	self    netip.Addr // our own address, as the network sees it
	port    uint16     // our own

	bans    map[netip.AddrPort]struct{}
	banList []netip.AddrPort
	banNext int
}

func newBook(cfg *Config, rng *rand.Rand) book {
	return book{
		index: make(map[netip.AddrPort]int32),
		bans:  make(map[netip.AddrPort]struct{}),
		hints: cfg.Hints, private: cfg.Private,
		port: cfg.ListenPort,
		next: mono.Never,
		rng:  rng,
	}
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// banKey is what a ban is on: the IP address, whatever the port. On loopback,
// where every peer of a lab shares an address, it is the port as well.
func banKey(a netip.AddrPort) netip.AddrPort {
	a = unmap(a)
	if a.Addr().IsLoopback() {
		return a
	}
	return netip.AddrPortFrom(a.Addr(), 0)
}

func (b *book) banned(a netip.AddrPort) bool {
	_, ok := b.bans[banKey(a)]
	return ok
}

func (b *book) ban(key netip.AddrPort) {
	if _, ok := b.bans[key]; ok {
		return
	}
	if len(b.banList) < maxBans {
		b.banList = append(b.banList, key)
	} else {
		delete(b.bans, b.banList[b.banNext])
		b.banList[b.banNext] = key
		b.banNext = (b.banNext + 1) % maxBans
	}
	b.bans[key] = struct{}{}
	for i := len(b.list) - 1; i >= 0; i-- {
		if c := &b.list[i]; c.state == candIdle && b.banned(c.addr) {
			b.remove(int32(i))
		}
	}
}

// refusedSource reports whether an address learned so must not be used: in a
// private torrent peers come from hints alone, if at all (BEP 27).
func (b *book) refusedSource(s Source) bool {
	if !b.private {
		return false
	}
	s &^= FromDHT | FromPEX
	if !b.hints {
		s &^= FromHint
	}
	return s == 0
}

// add learns an address and returns whether it is new.
func (b *book) add(now mono.Time, addr netip.AddrPort, source Source) bool {
	addr = unmap(addr)
	ip := addr.Addr()
	if !addr.IsValid() || addr.Port() == 0 || ip.IsUnspecified() || ip.IsMulticast() ||
		b.refusedSource(source) || b.banned(addr) || (addr.Port() == b.port && ip == b.self) {
		return false
	}
	if i, ok := b.index[addr]; ok {
		c := &b.list[i]
		if c.source|source != c.source && source == FromHint {
			c.next = min(c.next, now) // a hint revives what was given up
			b.next = min(b.next, now)
		}
		c.source |= source
		return false
	}
	c := candidate{addr: addr, source: source, next: now}
	if len(b.list) >= maxKnown && !b.evict(&c) {
		return false
	}
	b.index[addr] = int32(len(b.list))
	b.list = append(b.list, c)
	b.next = min(b.next, now)
	return true
}

// evict makes room for c if something in the book is worse than it.
func (b *book) evict(c *candidate) bool {
	worst := int32(-1)
	for range evictSample {
		i := b.rng.Int32N(int32(len(b.list)))
		switch x := &b.list[i]; {
		case x.state == candBarred:
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

// remove forgets an address that is neither dialled nor connected; the last of the list takes its place.
func (b *book) remove(i int32) {
	delete(b.index, b.list[i].addr)
	last := int32(len(b.list) - 1)
	if i != last {
		b.list[i] = b.list[last]
		b.index[b.list[i].addr] = i
	}
	b.list = b.list[:last]
}

// find is the candidate of addr, or nil. The pointer is good until the book
// changes.
func (b *book) find(addr netip.AddrPort) *candidate {
	if i, ok := b.index[unmap(addr)]; ok {
		return &b.list[i]
	}
	return nil
}

// setEncrypted notes that an earlier run met addr encrypted; what this run has seen
// of it counts more.
func (b *book) setEncrypted(addr netip.AddrPort) {
	if c := b.find(addr); c != nil && !c.tried {
		c.encrypted = true
	}
}

// sourceRank orders sources by how likely a live peer stands behind them.
func sourceRank(s Source) int {
	switch {
	case s&FromHint != 0:
		return 4
	case s&FromIncoming != 0:
		return 3
	case s&FromLastRun != 0:
		return 2
	case s&FromPEX != 0: // a peer was connected to it a minute ago
		return 1
	}
	return 0
}

// better reports whether x is to be dialled before y.
func better(x, y *candidate) bool {
	if x.fails != y.fails {
		return x.fails < y.fails
	}
	if x.answered != y.answered {
		return x.answered
	}
	return sourceRank(x.source) > sourceRank(y.source)
}

// pick is the best address to dial now, or nil. Equals are taken from a random
// place, so that a swarm does not fall upon one peer. skipSeeds passes over
// those that have everything, which are of no use to a seed.
func (b *book) pick(now mono.Time, skipSeeds bool) *candidate {
	if now < b.next {
		return nil
	}
	n := len(b.list)
	var best *candidate
	next := mono.Never
	start := 0
	if n > 1 {
		start = b.rng.IntN(n)
	}
	for k := range n {
		i := start + k
		if i >= n {
			i -= n
		}
		c := &b.list[i]
		if c.state != candIdle || (skipSeeds && c.seed) {
			continue
		}
		if c.next > now {
			next = min(next, c.next)
			continue
		}
		if best == nil || better(c, best) {
			best = c
		}
	}
	if best == nil {
		b.next = next
	}
	return best
}

// dial marks c as being dialled.
func (b *book) dial(c *candidate) {
	if !c.tried {
		c.tried = true
		b.tried++
	}
	c.state = candDialing
	b.dialing++
}

// failed is the end of a dial that came to nothing.
func (b *book) failed(now mono.Time, c *candidate) {
	if c.state == candDialing {
		b.dialing--
	}
	c.state = candIdle
	if !c.answered && !c.refused {
		c.refused = true
		b.refused++
	}
	if c.fails < 255 {
		c.fails++
	}
	b.rest(now, c, b.backoff(c))
}

// connected notes that c answered.
func (b *book) connected(c *candidate) {
	if c.state == candDialing {
		b.dialing--
	}
	if c.refused {
		c.refused = false
		b.refused--
	}
	c.state, c.answered = candConnected, true
}

// parted notes that the connection to c is over. A good one, that lasted or
// brought us something, is missed: it is tried again soon.
func (b *book) parted(now mono.Time, c *candidate, f Fault, good bool) {
	c.state = candIdle
	switch f {
	case FaultSelf:
		c.state = candBarred
		return
	case FaultUseless:
		b.rest(now, c, retryUseless)
		return
	case FaultDuplicate:
		b.rest(now, c, retryDuplicate)
		return
	}
	switch {
	case good && f != FaultProtocol:
		c.fails = 0
		b.rest(now, c, retryGood+time.Duration(b.rng.Int64N(int64(retryGood))))
		return
	case c.fails < 255:
		c.fails++
	}
	b.rest(now, c, b.backoff(c))
}

// revive lets addresses that rest for want of use be dialled again: we need
// pieces after all.
func (b *book) revive(now mono.Time) {
	for i := range b.list {
		if c := &b.list[i]; c.state == candIdle && c.fails == 0 {
			c.next = min(c.next, now)
		}
	}
	b.next = min(b.next, now)
}

func (b *book) backoff(c *candidate) time.Duration {
	limit := retryMax
	if c.source&FromHint != 0 {
		limit = retryHintMax
	}
	d := retryFirst << min(max(int(c.fails), 1)-1, 10)
	d = min(d, limit)
	return d + time.Duration(b.rng.Int64N(int64(d)/4)) // spread, so that failures do not march in step
}

func (b *book) rest(now mono.Time, c *candidate, d time.Duration) {
	if b.banned(c.addr) {
		c.state = candBarred
		return
	}
	c.next = now.Add(d)
	b.next = min(b.next, c.next)
}

// setPrivate refuses DHT and PEX from now on and forgets what they told.
func (b *book) setPrivate() {
	b.private = true
	for i := len(b.list) - 1; i >= 0; i-- {
		if c := &b.list[i]; c.state == candIdle && b.refusedSource(c.source) {
			b.remove(int32(i))
		}
	}
}

// setSelf learns our own address; what is in the book of it is not dialled.
func (b *book) setSelf(ip netip.Addr) {
	b.self = ip.Unmap()
	if c := b.find(netip.AddrPortFrom(b.self, b.port)); c != nil && c.state == candIdle {
		c.state = candBarred
	}
}

// waiting is how many addresses could be dialled now or soon.
func (b *book) waiting(now mono.Time) (n int) {
	for i := range b.list {
		if c := &b.list[i]; c.state == candIdle && c.fails < 3 && c.next <= now.Add(time.Minute) {
			n++
		}
	}
	return n
}

// known is how many addresses may be peers.
func (b *book) known() (n int) {
	for i := range b.list {
		if b.list[i].state != candBarred {
			n++
		}
	}
	return n
}
