package engine

import (
	"slices"
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

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
	// snubAfter without a block, a peer's leases go to others.
	snubAfter = 60 * time.Second
	// rejectAfter a choke, a peer with the fast extension has answered every
	// request or broken its word (BEP 6).
	rejectAfter = 10 * time.Second
)

// lease is a block asked of a peer.
type lease struct {
	chunk *chunk
	block uint32 // of the piece
	at    mono.Time
}

// download is the receiving side of a connection.
type download struct {
	choked     bool // the peer chokes us
	interested bool // we told it so
	snubbed    bool
	slowStart  bool // depth still grows with each block
	dry        bool // the last look found nothing to ask; wait until something changes
	queue      []lease
	head       int // of queue
	depth      int
	rate       rate.Meter
	second     int64 // bytes in this second
	before     int64 // and in the one before
	lastBlock  mono.Time
	chokedAt   mono.Time
	pause      mono.Time // nothing is asked until then
	rejects    int       // in a row
	allowed    []uint32  // pieces that we may ask for while choked (BEP 6)
	suggested  []uint32
}

func (d *download) out() int { return len(d.queue) - d.head }

func (d *download) push(l lease) {
	if d.head > 256 && d.head > len(d.queue)/2 {
		n := copy(d.queue, d.queue[d.head:])
		clear(d.queue[n:])
		d.queue, d.head = d.queue[:n], 0
	}
	d.queue = append(d.queue, l)
}

// pull takes lease i (from the head) out. Peers answer in order nearly always,
// so what lies before i is short and is what moves.
func (d *download) pull(i int) lease {
	at := d.head + i
	l := d.queue[at]
	copy(d.queue[d.head+1:at+1], d.queue[d.head:at])
	d.queue[d.head] = lease{}
	d.head++
	if d.head == len(d.queue) {
		d.queue, d.head = d.queue[:0], 0
	}
	return l
}

func (d *download) find(b Block) int {
	for i, l := range d.queue[d.head:] {
		if l.chunk.piece.index == b.Piece && l.block*blockSize == b.Begin {
			return i
		}
	}
	return -1
}

// limit is how many blocks p may have on order.
func (e *Engine) limit(p *peer) int {
	d := &p.down
	if d.snubbed {
		return 1
	}
	reqq := p.ext.Reqq
	if reqq == 0 {
		reqq = defaultReqq
	}
	n := min(d.depth, reqq, maxDepth)
	// Where several download, none may hold all the memory: each has a share by
	// its speed, and never less than half of an equal one.
	if e.active > 1 {
		pool := e.content.slots.budget * int(max(1, min(int64(e.cfg.ChunkSize), e.content.info.PieceLength)/blockSize))
		share := pool / (2 * e.active)
		if e.downTotal > 0 {
			share = max(share, int(float64(pool)*d.rate.Rate(e.now)/e.downTotal/2))
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
	if d.out() > out {
		return
	}
	if e.focus.on {
		d.dry = !e.hasten(p, limit, maxFocus)
		return
	}
	if !d.choked && !e.endgame(p, min(limit, endgameDepth)) && out == 0 && !e.steal(p, limit) {
		d.dry = true
	}
}

// leaseFrom leases free blocks of k to p up to limit.
func (e *Engine) leaseFrom(p *peer, k *chunk, limit int) {
	pc := k.piece
	if pc.parole {
		pc.only = p.conn
	}
	end := k.first + k.blocks
	for b := k.next; b < end && k.free > 0 && p.down.out() < limit; b++ {
		if s := &pc.block[b]; s.done || s.leases > 0 {
			continue
		}
		k.free--
		k.next = b + 1
		e.grant(p, k, b)
	}
	e.setNeedy(k)
}

func (e *Engine) grant(p *peer, k *chunk, b uint32) {
	k.piece.block[b].leases++
	p.down.push(lease{k, b, e.now})
	want := k.piece.blockOf(b)
	e.cmd(Command{Kind: CmdRequest, Conn: p.conn, Slot: k.slot, Offset: want.Begin - k.begin, Block: want})
}

// may reports whether blocks of pc may be asked of p.
func (e *Engine) may(p *peer, pc *piece) bool {
	if !p.has.Has(int(pc.index)) || !e.content.need.Has(int(pc.index)) {
		return false
	}
	if pc.parole && pc.only != p.conn {
		if q := e.conns[pc.only]; q != nil && e.serves(q) && q.has.Has(int(pc.index)) {
			return false
		}
		return e.trusted(p, pc.index)
	}
	return true
}

// serves reports whether q can be expected to deliver soon.
func (e *Engine) serves(q *peer) bool {
	return e.mayRequest(q) && !q.down.choked && !q.down.snubbed && e.now >= q.down.pause
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
		if e.may(p, k.piece) {
			return k
		}
	}
	if !c.slots.available() && !e.relieve(p) {
		return nil
	}
	for _, pc := range c.opened {
		if pc.closed > 0 && e.may(p, pc) {
			return e.openChunk(pc)
		}
	}
	if index, ok := e.choose(p); ok {
		return e.openChunk(e.start(index))
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
		if c.pick.pos[s] >= 0 && p.has.Has(int(s)) {
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
		if !c.need.Has(int(index)) || !p.has.Has(int(index)) || (e.focus.on && !slices.Contains(e.focus.order, index)) {
			continue
		}
		pc := c.open[index]
		if pc == nil {
			if c.pick.pos[index] >= 0 && c.slots.available() {
				return e.openChunk(e.start(index))
			}
			continue
		}
		if !e.may(p, pc) {
			continue
		}
		for i := range pc.chunk {
			if pc.chunk[i].needy {
				return &pc.chunk[i]
			}
		}
		if pc.closed > 0 && c.slots.available() {
			return e.openChunk(pc)
		}
	}
	return nil
}

// giveBack ends lease i of p without a block: it is free for others.
func (e *Engine) giveBack(p *peer, i int) lease {
	l := p.down.pull(i)
	pc := l.chunk.piece
	s := &pc.block[l.block]
	s.leases--
	if s.leases == 0 && !s.done {
		l.chunk.free++
		l.chunk.next = min(l.chunk.next, l.block)
		e.setNeedy(l.chunk)
		e.freed = true
	}
	return l
}

// cancel takes lease i back from p. told: p has said itself that it will not
// send the block.
func (e *Engine) cancel(p *peer, i int, told bool) {
	l := e.giveBack(p, i)
	if !p.closing {
		e.cmd(Command{Kind: CmdCancel, Conn: p.conn, Block: l.chunk.piece.blockOf(l.block), Quiet: told})
	}
}

// cancelWhere takes back every lease of the chunks that match.
func (e *Engine) cancelWhere(match func(*chunk) bool) {
	for _, p := range e.peers {
		for i := p.down.out() - 1; i >= 0; i-- {
			if match(p.down.queue[p.down.head+i].chunk) {
				e.cancel(p, i, false)
			}
		}
	}
}

// cancelBlock takes back what others still have on order of a block that came.
func (e *Engine) cancelBlock(b Block) {
	for _, p := range e.peers {
		if i := p.down.find(b); i >= 0 {
			e.cancel(p, i, false)
		}
	}
}

// release takes every lease of p back.
func (e *Engine) release(p *peer, told bool) {
	for p.down.out() > 0 {
		e.cancel(p, 0, told)
	}
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
	d.lastBlock = e.now
	d.snubbed, d.rejects = false, 0
	if d.slowStart && d.depth < maxDepth {
		d.depth++
	}
	b := ev.Block.Begin / blockSize
	var k *chunk
	late := false
	if i := d.find(ev.Block); i >= 0 {
		k = d.pull(i).chunk
		k.piece.block[b].leases--
	} else if k = c.landed(ev); k != nil {
		late = true // it crossed our cancel, but its place is still there
	} else {
		e.wasted += int64(n)
		return
	}
	s := &k.piece.block[b]
	if s.done {
		panic("engine: a block came twice into one slot")
	}
	s.done, s.from = true, p.origin
	e.origins.hold(p.origin)
	k.done++
	if s.leases > 0 {
		e.cancelBlock(ev.Block)
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
	if e.content == nil || b.Begin%blockSize != 0 {
		return
	}
	if i := p.down.find(b); i >= 0 {
		e.cancel(p, i, true)
	}
}
