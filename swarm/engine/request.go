package engine

import (
	"time"

	"seedbed/internal/mono"
)

// unwantedCost bytes that nobody asked for cost a peer as much as a message that
// makes no sense.
const unwantedCost = 1 << 10

// What the depth of a peer's queue is made of.
const (
	// queueTime is how much of a peer's flow is kept on order: far beyond any
	// round trip, so the flow is the peer's limit and not ours.
	queueTime = 3 * time.Second
	// firstDepth is ordered of a peer of unknown speed.
	firstDepth = 16
	// minDepth keeps even a crawling peer from idling between blocks.
	minDepth = 2
	// maxDepth bounds our own books, whatever reqq a peer claims.
	maxDepth = 2000
	// snubAfter without a block, what a peer has on order is asked of others, or of
	// it again.
	snubAfter = 60 * time.Second
	// rejectAfter a choke, a peer with the fast extension has answered every
	// request or broken its word (BEP 6).
	rejectAfter = 10 * time.Second
)

// download is the receiving side of a connection.
type download struct {
	choked     bool // the peer chokes us
	interested bool // we told it so
	slowStart  bool // depth still grows with each block
	dry        bool // the last look found nothing to ask; wait until something changes
	place      int  // in the engine's list of peers, when it was looked at last
	leases     leaseList
	cancelled  cancels
	depth      int
	second     int64 // bytes in this second
	before     int64 // and in the one before
	chokedAt   mono.Time
	pause      mono.Time // nothing is asked until then
	rejects    int       // in a row
	allowed    []uint32  // pieces that we may ask for while choked (BEP 6)
	suggested  []uint32

	standing
	weak bool // by its standing, or because it chokes us or is closing; see judge
}

func (d *download) out() int { return d.leases.n }

// limit is how many blocks p may have on order.
func (e *Engine) limit(p *peer) int {
	d := &p.down
	if d.isDoubtful() {
		if d.out() > 0 || e.now < d.retry {
			return 0
		}
		return 1
	}
	reqq := p.ext.Reqq
	if reqq == 0 {
		reqq = defaultReqq
	}
	n := min(d.depth, reqq, maxDepth)
	if !d.hasDelivered() {
		n = min(n, firstDepth)
	}
	// Where there are several to ask, none may hold all the memory: each has a share
	// by its speed, and never less than half of an equal one.
	if e.askable > 1 {
		pool := e.content.slots.budget * int(max(1, min(int64(e.cfg.ChunkSize), e.content.info.PieceLength)/blockSize))
		share := pool / (2 * e.askable)
		if e.downTotal > 0 {
			share = max(share, int(float64(pool)*d.rate.Rate(e.now)/e.downTotal))
		}
		n = min(n, share)
	}
	return max(n, minDepth)
}

// measure is done once a second: the depth follows what the peer delivered.
func (e *Engine) measure(p *peer) {
	d := &p.down
	flow := max(d.rate.Rate(e.now), float64(d.second))
	keep := queueTime
	if e.focus.on {
		keep = focusTime
	}
	want := int(flow * keep.Seconds() / blockSize)
	if d.slowStart && d.before > 0 && float64(d.second) < 1.25*float64(d.before) {
		d.slowStart = false
	}
	idle := d.out() == 0 && d.second == 0 // which says nothing about its speed
	if !d.slowStart && !idle {
		d.depth = min(max(want, minDepth), maxDepth)
	}
	d.before, d.second = d.second, 0
}

// mayRequest reports whether anything may be asked of p now.
func (e *Engine) mayRequest(p *peer) bool {
	return !p.closing && p.want > 0 && p.down.interested && !e.paused && !e.stopped &&
		(!p.down.choked || len(p.down.allowed) > 0)
}

// refill orders blocks of p up to its depth. It waits until a quarter of the
// queue is gone, so that requests travel in company.
func (e *Engine) refill(p *peer) {
	d := &p.down
	limit := e.limit(p)
	out := d.out()
	if out >= limit || (limit >= 8 && out > limit-limit/4) {
		return
	}
	if e.focus.on {
		e.hasten(p, limit, urgentPieces)
	}
	for d.out() < limit {
		k := e.nextChunk(p)
		if k == nil {
			break
		}
		e.leaseFrom(p, k, limit)
	}
	if d.out() > out || d.choked {
		return
	}
	switch {
	case e.takeOver(p, limit), e.focus.on && e.hasten(p, limit, maxFocus):
	case out == 0 && !e.focus.on && e.endgame(p, min(limit, endgameDepth)):
	case out == 0 && e.probe(p):
	default:
		d.dry = true
		if out == 0 && !d.isDoubtful() && e.content.firm+e.content.weakChunks > 0 {
			e.lookAgain()
		}
	}
}

// leaseFrom leases free blocks of k to p up to limit.
func (e *Engine) leaseFrom(p *peer, k *chunk, limit int) {
	pc := k.piece
	pc.only = p.conn
	end := k.first + k.blocks
	for b := k.next; b < end && k.free > 0 && p.down.out() < limit; b++ {
		if s := &pc.block[b]; s.done || s.held != nil {
			continue
		}
		k.free--
		k.next = b + 1
		e.grant(p, k, b)
	}
	e.setNeedy(k)
}

// may reports whether blocks of pc may be asked of p.
func (e *Engine) may(p *peer, pc *piece) bool {
	if !p.has.Has(int(pc.index)) || !e.content.need.Has(int(pc.index)) {
		return false
	}
	return !pc.parole || e.mayAlone(p, pc)
}

// serves reports whether q can be expected to deliver soon.
func (e *Engine) serves(q *peer) bool {
	return e.mayRequest(q) && !q.down.choked && !q.down.isDoubtful() && e.now >= q.down.pause
}

// nextChunk is an open chunk with a free block for p: of those begun if there
// is one, else of a piece begun, else of the rarest piece. Nil if there is none.
func (e *Engine) nextChunk(p *peer) *chunk {
	c := e.content
	if p.down.choked {
		return e.nextFast(p)
	}
	if e.focus.on {
		return e.nextFocused(p)
	}
	for _, k := range c.needy {
		if e.may(p, k.piece) && e.admits(p, k) {
			return k
		}
	}
	if (!e.mayBegin(p) || !c.slots.available()) && !e.relieve(p) {
		return nil
	}
	if pc := e.unfinished(p); pc != nil {
		return e.openChunk(pc)
	}
	if index, ok := e.choose(p); ok {
		return e.openChunk(e.start(index))
	}
	return nil
}

// unfinished is the first piece that was begun, lacks a slot for one of its chunks,
// and may be asked of p. Nil if there is none.
func (e *Engine) unfinished(p *peer) *piece {
	if e.content.closed == 0 {
		return nil
	}
	for _, pc := range e.content.opened {
		if pc.closed > 0 && e.may(p, pc) {
			return pc
		}
	}
	return nil
}

// choose is the idle piece that p is to begin.
func (e *Engine) choose(p *peer) (uint32, bool) {
	c := e.content
	for len(p.down.suggested) > 0 { // BEP 6: what the peer has in its cache
		n := len(p.down.suggested) - 1
		s := p.down.suggested[n]
		p.down.suggested = p.down.suggested[:n]
		if c.pick.isIdle(s) && p.has.Has(int(s)) {
			return s, true
		}
	}
	if c.nHave+len(c.opened) < randomFirst {
		return c.pick.random(p.has, p.nHas)
	}
	return c.pick.rarest(p.has, p.nHas)
}

// nextFast is nextChunk for a peer that chokes us: the pieces that it allows
// all the same (BEP 6).
func (e *Engine) nextFast(p *peer) *chunk {
	c := e.content
	for _, index := range p.down.allowed {
		if !c.need.Has(int(index)) || !p.has.Has(int(index)) || (e.focus.on && !e.focus.has(index)) {
			continue
		}
		pc := c.open[index]
		if pc == nil {
			if c.pick.isIdle(index) && c.slots.available() && e.mayBegin(p) {
				return e.openChunk(e.start(index))
			}
			continue
		}
		if !e.may(p, pc) {
			continue
		}
		for i := range pc.chunk {
			if k := &pc.chunk[i]; k.needy && e.admits(p, k) {
				return k
			}
		}
		if pc.closed > 0 && c.slots.available() && e.mayBegin(p) {
			return e.openChunk(pc)
		}
	}
	return nil
}

// received handles BlockArrived.
func (e *Engine) received(p *peer, ev BlockEvent) {
	c := e.content
	d := &p.down
	n := int(ev.Block.Length)
	d.rate.Add(e.now, n)
	e.downRate.Add(e.now, n)
	e.downloaded += int64(n)
	d.second += int64(n)
	if d.slowStart && d.depth < maxDepth {
		d.depth++
	}
	b := ev.Block.Begin / blockSize
	var k *chunk
	late := false
	if l := c.find(p, ev.Block); l != nil {
		k = l.chunk
		d.noteBlock(e.now, l.at)
		d.rejects = 0
		e.judge(p)
		e.drop(l)
	} else if k = c.landed(ev); k != nil {
		late = true // it crossed our cancel, but its place is still there
	} else {
		d.cancelled.take(e.now)
		e.wasted += int64(n)
		return
	}
	s := &k.piece.block[b]
	if s.done {
		panic("engine: a block came twice into one slot")
	}
	s.done, s.from = true, p.origin
	e.blame.hold(p.origin)
	k.done++
	d.dry = false
	if s.held != nil {
		e.cancelOthers(s)
	} else if late {
		k.free--
	}
	e.setNeedy(k)
	if k.done == k.blocks && !e.paused {
		e.store(k)
	}
}

// landed is the open chunk that a block of no lease is in, or nil.
func (c *content) landed(ev BlockEvent) *chunk {
	pc := c.open[ev.Block.Piece]
	b := ev.Block.Begin / blockSize
	if pc == nil || int(b) >= len(pc.block) {
		return nil
	}
	k := pc.chunkOf(b)
	if k.state != chunkOpen || k.slot != ev.Slot || pc.block[b].done {
		return nil
	}
	return k
}

// onUnwanted handles BlockUnwanted: a block that is of no use, and if p was
// thought to owe it, owes it no more.
func (e *Engine) onUnwanted(p *peer, b Block) {
	n := int(b.Length)
	e.downRate.Add(e.now, n)
	e.downloaded += int64(n)
	e.wasted += int64(n)
	if l := e.content.find(p, b); l != nil { // it lost a race
		e.cancel(l, true)
		p.down.cancelled.take(e.now)
		return
	}
	if !p.down.cancelled.take(e.now) {
		// BEP 6: blocks are sent only if they were asked for.
		e.charge(p, 1+float64(n)/unwantedCost)
	}
}
