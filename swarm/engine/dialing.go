package engine

import (
	"net/netip"
	"time"

	"seedbed/internal/mono"
)

// How long an address is not dialed after a failure. The time doubles with each failure.
const (
	retryFirst = 10 * time.Second
	retryMax   = 30 * time.Minute
	// An address that the user or a link names is retried sooner.
	retryHintMax = time.Minute
	// A peer that has nothing for us is dialed again after this time.
	retryUseless = 10 * time.Minute
	// An address of a peer that we are connected to through another address.
	retryDuplicate = time.Minute
	// A peer of another version of a publication may not have this version for a moment. It is dialed
	// again after this time, which doubles up to fastRetries times, before the usual times apply.
	retryVersion = 250 * time.Millisecond
	fastRetries  = 5
	// skippedPause is how long a peer is not looked at that is not needed now, but may be soon.
	skippedPause = 10 * time.Second
	// A peer that served us well before the connection broke.
	retryGood = 3 * time.Second
)

// sourceRank rates an address by how likely its sources make it a live peer.
func (c *candidate) sourceRank() int {
	switch s := c.source; {
	case s&(FromHint|FromPublication) != 0:
		return 5
	case s&(FromIncoming|FromLSD) != 0: // a peer in the local network is fast
		return 4
	case s&FromLastRun != 0:
		return 3
	case c.isCorroborated():
		return 2
	case s&FromPEX != 0: // a peer was connected to it a minute ago
		return 1
	}
	return 0
}

// tier rates an address by its failures. An address named by several sources may fail a
// few times before it ranks below one named by a single source.
func (c *candidate) tier() int {
	if c.isCorroborated() {
		return int(c.fails) - countedFails
	}
	return int(c.fails)
}

// better reports whether x should be dialed before y.
func better(x, y *candidate) bool { return compare(x, y) > 0 }

// compare returns a positive number if x should be dialed before y, a negative one if y should
// be dialed before x, and 0 if they are equal.
func compare(x, y *candidate) int {
	if d := y.tier() - x.tier(); d != 0 {
		return d
	}
	if x.answered != y.answered {
		if x.answered {
			return 1
		}
		return -1
	}
	return x.sourceRank() - y.sourceRank()
}

// pick returns the best address to dial now, or nil. Among equals it returns the one with the
// highest priority (BEP 40). Where that is unknown it starts at a random one, so that the
// peers of a swarm do not all dial the same peer. skipSeeds excludes peers that have
// everything, which are not useful to a seed unless versions are pushed to them. skipPushes
// excludes those, too.
func (b *book) pick(now mono.Time, skipSeeds, skipPushes bool) *candidate {
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
		if c.state != candIdle || c.seed && !c.pushes && skipSeeds {
			continue
		}
		if c.seed && c.pushes && skipPushes {
			next = min(next, now.Add(skippedPause))
			continue
		}
		at := c.next
		if h := b.hostOf(c); h != nil {
			if h.dialing {
				continue // the result of that dial sets next
			}
			at = max(at, h.next)
		}
		if at > now {
			next = min(next, at)
			continue
		}
		if best == nil {
			best = c
		} else if d := compare(c, best); d > 0 || d == 0 && hasPriority(c.priority, best.priority) {
			best = c
		}
	}
	if best == nil {
		b.next = next
	}
	return best
}

// dial marks c as being dialed.
func (b *book) dial(c *candidate) {
	if !c.tried {
		c.tried = true
		b.tried++
	}
	if h := b.hostOf(c); h != nil {
		h.dialing = true
	}
	c.state = candDialing
	b.dialing++
}

// dialFailed records that a dial failed. encrypted says that an encrypted handshake
// should be tried first next time.
func (b *book) dialFailed(now mono.Time, addr netip.AddrPort, f Fault, encrypted bool) {
	c := b.find(addr)
	if c == nil || c.state != candDialing {
		return
	}
	b.dialing--
	c.state, c.encrypted = candIdle, encrypted
	if !c.answered && !c.refused {
		c.refused = true
		b.refused++
	}
	if c.fails < 255 {
		c.fails++
	}
	c.unreached = f == FaultUnreach || f == FaultLocal
	b.hostFailed(now, c)
	if b.refusedSource(c.source) { // setPrivate has kept it because it was being dialed
		b.remove(b.index[c.addr])
		return
	}
	b.deferDial(now, c, b.backoff(c))
	if f == FaultSelf || b.isSelf(c.addr) {
		c.state = candSelf
	}
}

// dialSucceeded records that a dial has led to a connection.
func (b *book) dialSucceeded(now mono.Time, addr netip.AddrPort, encrypted bool) {
	if c := b.find(addr); c != nil && c.state == candDialing {
		b.dialing--
		b.connected(now, c)
		c.encrypted = encrypted
	}
}

// addIncoming records where a peer that dialed us listens. It returns false if that address
// must not be dialed.
func (b *book) addIncoming(now mono.Time, addr netip.AddrPort) bool {
	b.add(now, Candidate{Addr: addr, Source: FromIncoming})
	c := b.find(addr)
	if c == nil || c.state == candSelf {
		return false
	}
	if c.state == candIdle {
		b.connected(now, c)
	}
	return true
}

// connected records that c has answered, which proves the address.
func (b *book) connected(now mono.Time, c *candidate) {
	if c.refused {
		c.refused = false
		b.refused--
	}
	b.untrackUnproven(c)
	c.state, c.answered = candConnected, true
	b.next = min(b.next, now) // other addresses of the same host may now be dialed
}

// disconnected records that the connection to addr has ended. A good connection, one that
// lasted or was useful, is retried soon. seed says that the peer had everything, and pushes that it
// supported sb_item.
func (b *book) disconnected(now mono.Time, addr netip.AddrPort, f Fault, good, seed, pushes bool) {
	c := b.find(addr)
	if c == nil || c.state != candConnected {
		return
	}
	c.state, c.seed, c.pushes = candIdle, seed, pushes
	if b.refusedSource(c.source) { // setPrivate has kept it because it was connected
		b.remove(b.index[c.addr])
		return
	}
	if f == FaultSelf || b.isSelf(addr) {
		c.state = candSelf
		return
	}
	switch f {
	case FaultUseless:
		b.deferDial(now, c, retryUseless)
		return
	case FaultDuplicate:
		b.deferDial(now, c, retryDuplicate)
		return
	case FaultNetwork:
		b.retrySoon(now, c)
		return
	}
	switch {
	case good && f != FaultProtocol && f != FaultSlow:
		c.fails = 0
		b.deferDial(now, c, retryGood+time.Duration(b.rng.Int64N(int64(retryGood))))
		return
	case c.fails < 255:
		c.fails++
	}
	b.deferDial(now, c, b.backoff(c))
}

// revive makes addresses that were not useful eligible again, because we need pieces
// after all.
func (b *book) revive(now mono.Time) {
	for i := range b.list {
		if c := &b.list[i]; c.state == candIdle && c.fails == 0 {
			c.next = max(min(c.next, now), b.bans.of(c.addr))
		}
	}
	b.next = min(b.next, now)
}

// wake makes pick look again now, because the limits may have grown.
func (b *book) wake(now mono.Time) { b.next = min(b.next, now) }

func (b *book) backoff(c *candidate) time.Duration {
	if c.source&FromPublication != 0 && c.fails <= fastRetries {
		return retryVersion << (max(c.fails, 1) - 1)
	}
	limit := retryMax
	if c.source&FromHint != 0 {
		limit = retryHintMax
	}
	d := retryFirst << min(max(int(c.fails), 1)-1, 10)
	d = min(d, limit)
	return d + time.Duration(b.rng.Int64N(int64(d)/4)) // jitter, so that addresses are not all dialed again at once
}

func (b *book) deferDial(now mono.Time, c *candidate, d time.Duration) {
	c.next = max(now.Add(d), b.bans.of(c.addr))
	b.next = min(b.next, c.next)
}
