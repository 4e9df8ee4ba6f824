package engine

import (
	"slices"

	"seedbed/internal/fifo"
	"seedbed/swarm/wire"
)

const (
	// ourReqq is how many requests of a peer we keep (BEP 10 reqq); what comes
	// beyond is rejected. 16 MiB on order feed any connection.
	ourReqq = 1024
	// What is handed to the shell at a time, by the peer's speed: half a second's
	// worth, so that a choke or a cancel cuts quickly.
	minWindow = 256 << 10
	maxWindow = 4 << 20
	// maxHanded bounds the blocks of a window, which may be of one byte each.
	maxHanded = 1024
	// allowedFast is how many pieces a peer that has little may have while it
	// is choked (BEP 6: k = 10).
	allowedFast = 10
)

// upload is what a peer requested.
type upload struct {
	queue    fifo.Queue[Block]
	inflight int64    // bytes with the shell
	handed   int      // blocks with the shell
	fast     []uint32 // what it may ask for while choked
	fastLeft int      // blocks of that it may still have
}

func (e *Engine) onRequest(p *peer, b Block) {
	c := e.content
	if c == nil {
		e.reject(p, b)
		return
	}
	if int64(b.Piece) >= int64(c.n) || b.Length == 0 || b.Length > wire.MaxBlock ||
		int64(b.Begin)+int64(b.Length) > c.askable(b.Piece) {
		e.close(p, FaultProtocol)
		return
	}
	u := &p.up
	allowed := p.choke.unchoked
	if !allowed && u.fastLeft > 0 && slices.Contains(u.fast, b.Piece) {
		u.fastLeft--
		allowed = true
	}
	// A request that crossed our choke, or that lost a race with lt_donthave, is
	// no fault.
	if !allowed || !c.have.Has(int(b.Piece)) || u.queue.Len() >= ourReqq {
		e.reject(p, b)
		return
	}
	u.queue.Push(b)
	c.super.requested(&p.super, b.Piece)
	e.hadUse = true
}

// askable is how far into a piece a peer may ask. Some clients take the padding of
// a v2 torrent to go on to the end of its last piece.
func (c *content) askable(piece uint32) int64 {
	if !c.info.HasV1() {
		return c.info.PieceLength
	}
	return c.info.PieceSize(int(piece))
}

// reject answers a request that will not be served; without the fast extension
// silence is the answer.
func (e *Engine) reject(p *peer, b Block) {
	if p.reserved.Fast() {
		e.send(p, wire.Msg{Type: wire.Reject, Index: b.Piece, Begin: b.Begin, Length: b.Length})
	}
}

func (e *Engine) onCancel(p *peer, b Block) {
	for i, x := range p.up.queue.All() {
		if x == b {
			p.up.queue.RemoveAt(i)
			e.hadUse = true
			e.reject(p, b) // BEP 6: a cancelled request is answered too
			return
		}
	}
	if p.up.handed > 0 && b.Length > 0 {
		e.cmd(Command{Kind: CmdWithdraw, Conn: p.conn, Block: b})
	}
}

// serve hands p's requests to the shell, half a window at a time at least.
func (e *Engine) serve(p *peer) {
	u := &p.up
	if u.queue.Len() == 0 || e.paused || p.closing {
		return
	}
	window := min(max(int64(p.choke.rate.Rate(e.now)/2), minWindow), maxWindow)
	if u.inflight > window/2 {
		return
	}
	for u.queue.Len() > 0 && u.inflight < window && u.handed < maxHanded && e.choker.maySend(e.now, &p.choke, u.queue.Front().Length) {
		b := u.queue.Pop()
		if !e.content.have.Has(int(b.Piece)) {
			e.reject(p, b)
			continue
		}
		u.inflight += int64(b.Length)
		u.handed++
		e.cmd(Command{Kind: CmdUpload, Conn: p.conn, Block: b})
		p.lastOut = e.now
	}
}

// onUploaded handles BlockUploaded.
func (e *Engine) onUploaded(p *peer, b Block) {
	n := int(b.Length)
	p.up.inflight -= int64(n)
	p.up.handed--
	e.choker.noteSent(e.now, &p.choke, n)
	e.upRate.Add(e.now, n)
	e.content.super.flow.add(e.now, n)
	e.uploaded += int64(n)
}

// onUnsent handles BlockUnsent.
func (e *Engine) onUnsent(p *peer, b Block) {
	p.up.inflight -= int64(b.Length)
	p.up.handed--
	e.reject(p, b)
}

// allowFast tells an interested peer that we choke which pieces it may have all
// the same, so that a newcomer has something to trade (BEP 6: not to a peer
// that has more than k pieces already).
func (e *Engine) allowFast(p *peer) {
	c := e.content
	if c == nil || !p.reserved.Fast() || p.super.limited || p.up.fast != nil || p.down.nHas > allowedFast {
		return
	}
	p.up.fast = wire.AllowedFastSet(p.addr.Addr(), e.cfg.InfoHash, c.n, allowedFast)
	p.up.fast = slices.DeleteFunc(p.up.fast, func(i uint32) bool { return !c.have.Has(int(i)) })
	for _, i := range p.up.fast {
		e.send(p, wire.Msg{Type: wire.AllowedFast, Index: i})
		p.up.fastLeft += int((c.info.PieceSize(int(i)) + blockSize - 1) / blockSize)
	}
	p.up.fastLeft *= 2 // each may be asked for twice
}
