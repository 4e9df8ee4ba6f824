package engine

import (
	"slices"

	"seedbed/swarm/wire"
)

const (
	// ourReqq is how many requests of a peer we queue (BEP 10 reqq); we reject more. 16
	// MiB of requests are enough for any connection.
	ourReqq = 1024
	// allowedFast is how many pieces a peer that has few may request while it is choked
	// (BEP 6: k = 10).
	allowedFast = 10
)

// upload holds the requests of a peer, and the pieces it may request while choked.
type upload struct {
	uploadPeer
	fast     []uint32 // pieces that it may request while choked; nil if none were announced
	fastLeft int      // blocks of those pieces that it may still request
	away     *away    // nil if all that it requested was within reach
}

func (e *Engine) onRequest(p *peer, b Block) {
	c := e.content
	if c == nil {
		e.reject(p, b)
		return
	}
	if int64(b.Piece) >= int64(c.n) || b.Length == 0 || b.Length > wire.MaxBlock ||
		int64(b.Begin)+int64(b.Length) > c.requestLimit(b.Piece) {
		e.close(p, FaultProtocol)
		return
	}
	u := &p.up
	allowed := p.choke.unchoked
	if !allowed && u.fastLeft > 0 && slices.Contains(u.fast, b.Piece) {
		u.fastLeft--
		allowed = true
	}
	// A request sent before our choke or lt_donthave (BEP 54) arrived is not a violation.
	if !allowed || !c.have.Has(int(b.Piece)) || u.queue.Len() >= ourReqq {
		e.reject(p, b)
		return
	}
	e.uploader.add(&u.uploadPeer, b)
	c.super.noteRequest(&p.super, b.Piece)
	e.wasUseful = true
}

// requestLimit returns up to which byte of a piece requests are allowed. Some clients treat
// the last piece of a v2 torrent as if it had full length, with padding at its end.
func (c *content) requestLimit(piece uint32) int64 {
	if !c.info.HasV1() {
		return c.info.PieceLength
	}
	return c.info.PieceSize(int(piece))
}

// reject answers a request that will not be served. Without the fast extension (BEP 6)
// there is no such message, and the request is dropped silently.
func (e *Engine) reject(p *peer, b Block) {
	if p.reserved.Fast() {
		e.send(p, wire.Msg{Type: wire.Reject, Index: b.Piece, Begin: b.Begin, Length: b.Length})
	}
}

func (e *Engine) onCancel(p *peer, b Block) {
	if e.uploader.remove(&p.up.uploadPeer, b) {
		e.wasUseful = true
		e.reject(p, b) // BEP 6: a canceled request must be answered too
		return
	}
	if p.up.isWithShell() && b.Length > 0 {
		e.cmd(Command{Kind: CmdWithdraw, Conn: p.conn, Block: b})
	}
}

// uploadAdapter implements uploadSink. Peers are weighted by what they send us while we
// download, and by how soon they pass pieces on when we are complete.
type uploadAdapter struct{ e *Engine }

func (s uploadAdapter) weight(conn Conn) float64 {
	e, p := s.e, s.e.conns[conn]
	if e.content.complete {
		return e.content.spread.weight(e.now, &p.spread)
	}
	return e.choker.merit(e.now, &p.choke)
}

func (s uploadAdapter) takes(conn Conn) float64 { return s.e.conns[conn].choke.rate.Rate(s.e.now) }

func (s uploadAdapter) sent() float64 { return s.e.upRate.Rate(s.e.now) }

func (s uploadAdapter) urgency(conn Conn, piece uint32) urgency {
	if !s.e.isOnlySeed() {
		return urgency{}
	}
	return s.e.content.spread.urgency(s.e.now, &s.e.conns[conn].spread, piece)
}

func (s uploadAdapter) maySend(conn Conn, length uint32) bool {
	return s.e.choker.maySend(s.e.now, &s.e.conns[conn].choke, length)
}

func (s uploadAdapter) upload(conn Conn, b Block) bool {
	e, p := s.e, s.e.conns[conn]
	if !e.content.have.Has(int(b.Piece)) {
		e.reject(p, b)
		return false
	}
	if e.isOnlySeed() {
		e.content.spread.noteSent(e.now, &p.spread, b.Piece)
	}
	e.cmd(Command{Kind: CmdUpload, Conn: conn, Block: b})
	p.lastOut = e.now
	return true
}

// onUploaded handles BlockUploaded.
func (e *Engine) onUploaded(p *peer, b Block) {
	n := int(b.Length)
	e.uploader.done(&p.up.uploadPeer, b)
	e.choker.noteSent(e.now, &p.choke, n)
	e.upRate.Add(e.now, n)
	e.content.super.flow.add(e.now, n)
	e.uploaded += int64(n)
	e.lastSent = e.now
}

// onUnsent handles BlockUnsent.
func (e *Engine) onUnsent(p *peer, b Block) {
	e.uploader.done(&p.up.uploadPeer, b)
	e.reject(p, b)
}

// allowFast announces to an interested but choked peer which pieces it may request, so
// that a new peer soon has something to trade. BEP 6: not to a peer that has more than k
// pieces.
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
	p.up.fastLeft *= 2 // each block may be requested twice
}
