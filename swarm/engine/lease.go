package engine

import (
	"time"

	"seedbed/internal/mono"
)

// lease is a block on order at a peer. It is in two lists: that of the peer, in
// the order of the requests, and that of the block. So a lease is found, added
// and removed in O(1), but for the few other peers that have the same block on
// order.
type lease struct {
	peer       *peer
	chunk      *chunk
	block      uint32 // of the piece
	at         mono.Time
	prev, next *lease // of the same peer
	other      *lease // of the same block
}

// leaseList is a peer's leases, the oldest first.
type leaseList struct {
	oldest, newest *lease
	n              int
}

func (q *leaseList) push(l *lease) {
	l.prev, l.next = q.newest, nil
	if q.newest == nil {
		q.oldest = l
	} else {
		q.newest.next = l
	}
	q.newest = l
	q.n++
}

func (q *leaseList) remove(l *lease) {
	if l.prev == nil {
		q.oldest = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		q.newest = l.prev
	} else {
		l.next.prev = l.prev
	}
	q.n--
}

// maxSpareLeases is how many leases are kept to be used again.
const maxSpareLeases = 4 * maxDepth

// grant leases block b of k to p and asks for it.
func (e *Engine) grant(p *peer, k *chunk, b uint32) {
	c := e.content
	l := c.spareLease
	if l != nil {
		c.spareLease = l.next
		c.nSpare--
	} else {
		l = new(lease)
	}
	s := &k.piece.block[b]
	*l = lease{peer: p, chunk: k, block: b, at: e.now, other: s.held}
	s.held = l
	p.down.leases.push(l)
	k.out++
	e.countLease(p, k, 1)
	want := k.piece.blockOf(b)
	e.cmd(Command{Kind: CmdRequest, Conn: p.conn, Slot: k.slot, Offset: want.Begin - k.begin, Block: want})
}

// drop takes l out of both lists. l must not be used afterwards.
func (e *Engine) drop(l *lease) {
	c, p, k := e.content, l.peer, l.chunk
	at := &k.piece.block[l.block].held
	for *at != l {
		at = &(*at).other
	}
	*at = l.other
	p.down.leases.remove(l)
	k.out--
	e.countLease(p, k, -1)
	*l = lease{}
	if c.nSpare < maxSpareLeases {
		l.next, c.spareLease = c.spareLease, l
		c.nSpare++
	}
}

// countLease counts n more leases of p in k: per chunk those of weak peers, of
// all chunks those of the others.
func (e *Engine) countLease(p *peer, k *chunk, n int) {
	c := e.content
	if !p.down.weak {
		c.firm += n
		return
	}
	before := k.weak
	k.weak += n
	switch {
	case before == 0:
		c.weakChunks++
	case k.weak == 0:
		c.weakChunks--
		e.freed = true
	}
}

// leaseOf is the lease of block b that p has, or nil.
func (pc *piece) leaseOf(p *peer, b uint32) *lease {
	for l := pc.block[b].held; l != nil; l = l.other {
		if l.peer == p {
			return l
		}
	}
	return nil
}

// find is the lease of b that p has, or nil.
func (c *content) find(p *peer, b Block) *lease {
	if c == nil || b.Begin%blockSize != 0 {
		return nil
	}
	pc := c.open[b.Piece]
	if pc == nil || int(b.Begin/blockSize) >= len(pc.block) || pc.blockOf(b.Begin/blockSize) != b {
		return nil
	}
	return pc.leaseOf(p, b.Begin/blockSize)
}

// crossTime is how long after a cancel its answer, or the block, may still come.
const crossTime = time.Minute

// cancels counts requests that were cancelled in the last crossTime or two and
// that the peer has not answered since.
type cancels struct {
	recent, before int
	since          mono.Time // of recent
}

func (c *cancels) roll(now mono.Time) {
	if d := now.Sub(c.since); d >= crossTime {
		c.before, c.recent, c.since = c.recent, 0, now
		if d >= 2*crossTime {
			c.before = 0
		}
	}
}

func (c *cancels) add(now mono.Time) {
	c.roll(now)
	c.recent++
}

// take reports whether a message can be the answer to a cancel, and counts it as
// that.
func (c *cancels) take(now mono.Time) bool {
	c.roll(now)
	switch {
	case c.before > 0:
		c.before--
	case c.recent > 0:
		c.recent--
	default:
		return false
	}
	return true
}

// giveBack ends l without a block: it is free for others.
func (e *Engine) giveBack(l *lease) {
	k, b := l.chunk, l.block
	e.drop(l)
	if s := &k.piece.block[b]; s.held == nil && !s.done {
		k.free++
		k.next = min(k.next, b)
		e.setNeedy(k)
		e.freed = true
	}
}

// cancel takes l back. told: the peer has said itself that it will not send the
// block.
func (e *Engine) cancel(l *lease, told bool) {
	p, b := l.peer, l.chunk.piece.blockOf(l.block)
	e.giveBack(l)
	if !p.closing {
		p.down.cancelled.add(e.now)
		e.cmd(Command{Kind: CmdCancel, Conn: p.conn, Block: b, Quiet: told})
	}
}

// forfeit is cancel for a lease that p did not make use of.
func (e *Engine) forfeit(l *lease, told bool) {
	p, at := l.peer, l.at
	e.cancel(l, told)
	if !p.closing {
		p.down.strike(e.now, at, told)
		e.judge(p)
	}
}

// cancelChunk takes back every lease of k.
func (e *Engine) cancelChunk(k *chunk) {
	for b := k.first; k.out > 0; b++ {
		for l := k.piece.block[b].held; l != nil; l = k.piece.block[b].held {
			e.cancel(l, false)
		}
	}
}

// cancelOthers takes back what is still on order of a block that arrived.
func (e *Engine) cancelOthers(s *block) {
	for s.held != nil {
		e.forfeit(s.held, false)
	}
}

// release takes every lease of p back.
func (e *Engine) release(p *peer, told bool) {
	for p.down.leases.oldest != nil {
		e.forfeit(p.down.leases.oldest, told)
	}
}
