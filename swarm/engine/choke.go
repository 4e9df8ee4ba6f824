package engine

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

const (
	rechokeEvery    = 10 * time.Second // BEP 3: the choker runs every ten seconds
	optimisticEvery = 30 * time.Second // BEP 3: the optimistic unchoke rotates every 30 seconds
	newcomerFor     = time.Minute      // BEP 3: a new connection is three times as likely to get the optimistic unchoke
	// A seed keeps a peer unchoked for at least turnTime and turnBytes before it gives
	// the slot to another peer.
	turnTime  = 30 * time.Second
	turnBytes = 4 << 20
)

// chokePeer is the choker's state of a peer.
type chokePeer struct {
	conn       Conn
	host       uint32    // the host it is on
	since      mono.Time // when it connected
	interested bool      // it is interested in us
	unchoked   bool      // it holds an upload slot
	optimistic bool      // it has the slot that does not depend on what the peer sends us
	unchokedAt mono.Time // when it was last unchoked; 0 means never
	rate       rate.Meter
	sent       int64     // bytes since unchokedAt
	total      int64     // bytes in total
	sentAt     mono.Time // when the last of them were sent
	stalls     uint8     // how often it was unchoked and took nothing; at most maxStalls
	retry      mono.Time // it is not unchoked before, if others wait
	credit     credit    // what it sent us

	// Valid during a round, while we download:
	gives   float64 // bytes per second that it sends us
	snubbed bool    // it does not answer our requests; see standing
}

// chokeSink carries out the choker's decisions, and answers its questions.
type chokeSink interface {
	choke(Conn)
	unchoke(Conn)
	// allowFast allows a peer without a slot to request a few pieces (BEP 6).
	allowFast(Conn)
	// snubs reports whether a peer does not answer our requests.
	snubs(Conn) bool
	// isSending reports whether blocks that the peer requested are waiting to be sent.
	isSending(Conn) bool
}

// choker decides which peers hold the upload slots. While we download, these are the
// peers that send us most; a seed serves all peers in turn. How the unchoked peers share
// the uplink is the uploader's decision, which uses merit. The choker maintains two
// invariants: at most slots peers are unchoked; and after fill, no slot is free while an
// eligible interested peer waits.
//
// A round costs O(n log n) for n peers, everything else at most O(n).
type choker struct {
	slots         int // regular slots plus the optimistic one
	rng           *rand.Rand
	open          bool         // there are pieces to serve; before that no peer is unchoked
	peers         []*chokePeer // in order of arrival
	held          int          // how many are unchoked
	freed         bool         // a slot may have become free: fill has work
	roundAt       mono.Time
	optimisticAt  mono.Time // when the optimistic unchoke rotates
	stalled       stalledPeers
	ranking       []*chokePeer   // used by round
	averageCredit float64        // average bytes per second that interested peers send us
	onHost        map[uint32]int // number of interested peers on each host; never ranged over
}

func newChoker(uploads int, rng *rand.Rand) choker {
	return choker{slots: uploads + 1, rng: rng, roundAt: mono.Never, onHost: make(map[uint32]int)}
}

// start allows unchoking: there are pieces to serve.
func (c *choker) start() { c.open = true }

// join adds a peer, choked and not interested (BEP 3).
func (c *choker) join(now mono.Time, conn Conn, p *chokePeer) {
	*p = chokePeer{conn: conn, since: now}
	c.peers = append(c.peers, p)
}

// leave removes a peer. A peer that never joined is ignored.
func (c *choker) leave(p *chokePeer) {
	i := slices.Index(c.peers, p)
	if i < 0 {
		return
	}
	c.peers = slices.Delete(c.peers, i, i+1)
	if p.unchoked || p.interested {
		c.freed = true
	}
	if p.unchoked {
		c.held--
	}
	p.unchoked, p.interested = false, false
}

// setInterested records that p is interested. It unchokes p at once if a slot is free:
// the next round may be ten seconds away, which is long in a small swarm.
func (c *choker) setInterested(now mono.Time, p *chokePeer, sink chokeSink) {
	if p.interested {
		return
	}
	p.interested = true
	switch {
	case p.unchoked:
	case c.open && now >= p.retry && c.takeSlot(sink):
		c.unchoke(now, p, sink)
	default:
		sink.allowFast(p.conn)
	}
}

// setNotInterested records that p is no longer interested. p keeps its slot until another
// peer wants it, because it may request again at any time.
func (c *choker) setNotInterested(p *chokePeer) {
	if p.interested {
		p.interested, c.freed = false, true
	}
}

// noteSent counts bytes that were sent to p.
func (c *choker) noteSent(now mono.Time, p *chokePeer, n int) {
	p.sent += int64(n)
	p.total += int64(n)
	p.sentAt = now
	p.rate.Add(now, n)
}

// hasFree reports whether a slot is free.
func (c *choker) hasFree() bool { return c.held < c.slots }

// takeSlot reports whether a slot is free. If none is, it first chokes a peer that is not
// interested.
func (c *choker) takeSlot(sink chokeSink) bool {
	if c.hasFree() {
		return true
	}
	for _, p := range c.peers {
		if p.unchoked && !p.interested {
			c.choke(p, sink)
			return true
		}
	}
	return false
}

func (c *choker) unchoke(now mono.Time, p *chokePeer, sink chokeSink) {
	if p.unchoked {
		return
	}
	c.held++
	p.unchoked = true
	p.unchokedAt, p.sent = now, 0
	sink.unchoke(p.conn)
}

func (c *choker) choke(p *chokePeer, sink chokeSink) {
	if !p.unchoked {
		return
	}
	c.held--
	p.unchoked, p.optimistic = false, false
	sink.choke(p.conn)
}

// postponeRound schedules the next round one full interval from now.
func (c *choker) postponeRound(now mono.Time) { c.roundAt = now.Add(rechokeEvery) }

// roundNow schedules the next round now, because the rules have changed.
func (c *choker) roundNow(now mono.Time) { c.roundAt = min(c.roundAt, now) }

// setSlots sets how many peers may be unchoked. If more are unchoked, a round that is due
// at once chokes some.
func (c *choker) setSlots(now mono.Time, slots int) {
	c.freed = c.freed || slots > c.slots
	if c.slots = slots; c.held > slots {
		c.roundNow(now)
	}
}

// fill gives free slots to the interested peers that have waited longest.
func (c *choker) fill(now mono.Time, sink chokeSink) {
	if !c.freed || !c.open {
		return
	}
	c.freed = false
	for range c.peers {
		var best *chokePeer
		for _, p := range c.peers {
			if !p.unchoked && p.interested && now >= p.retry && (best == nil || p.unchokedAt < best.unchokedAt) {
				best = p
			}
		}
		if best == nil || !c.takeSlot(sink) {
			return
		}
		c.unchoke(now, best, sink)
	}
}

// round reassigns all slots: by what peers send us while we download, in turn when we
// seed.
func (c *choker) round(now mono.Time, seeding bool, sink chokeSink) {
	c.postponeRound(now)
	if !c.open {
		return
	}
	list := c.ranking[:0]
	for _, p := range c.peers {
		if p.interested {
			list = append(list, p)
		}
	}
	c.ranking = list
	spare := c.slots - len(list) // slots left for peers that are not interested
	for _, p := range c.peers {
		if !p.unchoked || p.interested {
			continue
		}
		if spare--; spare < 0 {
			c.choke(p, sink)
		}
	}
	if len(list) > c.slots {
		if seeding {
			c.rankByTurn(now, list)
		} else {
			c.rankByMerit(now, list, sink)
		}
	}
	// Choke first, so that there are never more peers unchoked than slots.
	served := min(c.slots, len(list))
	for _, p := range list[served:] {
		c.choke(p, sink)
		sink.allowFast(p.conn)
	}
	for _, p := range list[:served] {
		c.unchoke(now, p, sink)
	}
	clear(c.ranking)
}

// rankByMerit sorts list: first the peers that send us most, then those that snub us (BEP
// 3: anti-snubbing), then those that may not be unchoked yet. The optimistic unchoke gets
// the last place with a slot.
func (c *choker) rankByMerit(now mono.Time, list []*chokePeer, sink chokeSink) {
	for _, p := range list {
		p.gives, p.snubbed = p.credit.rate(now), sink.snubs(p.conn)
	}
	slices.SortStableFunc(list, func(x, y *chokePeer) int {
		if k := compareBool(now < x.retry, now < y.retry); k != 0 {
			return k
		}
		if k := compareBool(x.snubbed, y.snubbed); k != 0 {
			return k
		}
		return cmp.Compare(y.gives, x.gives)
	})
	c.placeOptimistic(now, list)
}

// compareBool orders false before true.
func compareBool(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

// placeOptimistic moves the optimistic unchoke, which does not depend on what a peer
// sends us, to the last place with a slot.
func (c *choker) placeOptimistic(now mono.Time, list []*chokePeer) {
	rest := list[c.slots-1:]
	chosen := -1
	if now < c.optimisticAt {
		chosen = slices.IndexFunc(rest, func(p *chokePeer) bool { return p.optimistic })
	}
	if chosen < 0 {
		c.optimisticAt = now.Add(optimisticEvery)
		if chosen = c.drawOptimistic(now, rest); chosen < 0 {
			return
		}
	}
	for _, p := range list {
		p.optimistic = false
	}
	rest[chosen].optimistic = true
	rest[0], rest[chosen] = rest[chosen], rest[0]
}

// drawOptimistic chooses a peer of list at random by weight and returns its index, or -1
// if all weights are zero.
func (c *choker) drawOptimistic(now mono.Time, list []*chokePeer) int {
	total := 0
	for _, p := range list {
		total += c.weight(now, p)
	}
	if total == 0 {
		return -1
	}
	at := c.rng.IntN(total)
	for i, p := range list {
		if at -= c.weight(now, p); at < 0 {
			return i
		}
	}
	panic("engine: weights changed during a draw")
}

// weight returns a peer's weight in the draw for the optimistic unchoke. Peers on one
// host share the weight of one peer.
func (c *choker) weight(now mono.Time, p *chokePeer) int {
	const alone = 1 << 10
	switch {
	case p.optimistic, now < p.retry:
		return 0 // it has just had the optimistic unchoke, or must wait
	case now.Sub(p.since) < newcomerFor:
		return max(3*alone/c.sharing(p), 1)
	}
	return max(alone/c.sharing(p), 1)
}

// claim is the priority of a peer for the slots of a seed, highest first.
type claim uint8

const (
	claimTurn     claim = iota // it is unchoked and its turn is not over
	claimWaits                 // it is choked and waiting for its turn
	claimOver                  // its turn is over
	claimUnproven              // many peers are stalled, and this one has not yet proven that it reads
	claimPaused                // it took nothing when it was unchoked
)

func (c *choker) claimOf(now mono.Time, p *chokePeer) claim {
	switch {
	case now < p.retry:
		return claimPaused
	case c.stalled.many && !p.isProven():
		return claimUnproven
	case !p.unchoked:
		return claimWaits
	case p.sent >= turnBytes && now.Sub(p.unchokedAt) >= turnTime:
		return claimOver
	case now.Sub(p.unchokedAt) >= 4*turnTime: // however little it took
		return claimOver
	}
	return claimTurn
}

// rankByTurn sorts list by claims. Among peers whose turn is not over, the fastest comes
// first; among others with equal claims, the one that has waited longest.
func (c *choker) rankByTurn(now mono.Time, list []*chokePeer) {
	slices.SortStableFunc(list, func(x, y *chokePeer) int {
		k := c.claimOf(now, x)
		if d := cmp.Compare(k, c.claimOf(now, y)); d != 0 {
			return d
		}
		switch k {
		case claimTurn:
			return cmp.Compare(y.rate.Rate(now), x.rate.Rate(now))
		case claimUnproven: // the newest is the least likely to be stalled
			return cmp.Compare(y.since, x.since)
		}
		return cmp.Compare(x.unchokedAt, y.unchokedAt)
	})
	// The last slot is for the first unproven peer, because it could not prove itself
	// without a slot.
	last := c.slots - 1
	if !c.stalled.many || c.claimOf(now, list[last]) >= claimUnproven {
		return
	}
	k := slices.IndexFunc(list[c.slots:], func(p *chokePeer) bool { return c.claimOf(now, p) == claimUnproven })
	if k >= 0 {
		list[last], list[c.slots+k] = list[c.slots+k], list[last]
	}
}
