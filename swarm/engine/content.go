package engine

import (
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// content is the state of the torrent's data, from EvInfo on.
type content struct {
	info   *metainfo.Info
	n      int        // pieces
	have   bitset.Set // verified
	wanted bitset.Set
	files  bitset.Set // the wanted files, to count their bytes; length 0 means all
	fixed  bool       // nothing can be written, so nothing is requested
	nHave  int

	haveBytes       int64
	wantedBytes     int64
	haveWantedBytes int64

	super  superSeeder
	spread spread

	fresh   []uint32  // verified but not yet announced
	haveAt  mono.Time // when fresh is to be announced
	lastHad mono.Time // when haves were last announced

	complete bool // CmdComplete was sent for the current set
}

// haveEvery is how long haves are collected, so that several go out together.
const haveEvery = 50 * time.Millisecond

// onInfo handles EvInfo, which ends the metadata phase.
func (e *Engine) onInfo(ev *EvInfo) {
	if e.content != nil {
		panic("engine: duplicate EvInfo")
	}
	info := ev.Info
	n := info.NumPieces()
	c := &content{
		info: info, n: n,
		have: sized(ev.Have, n), wanted: wantedPieces(ev.Wanted, info), files: ev.Files, fixed: ev.Fixed,
		haveAt: mono.Never,
	}
	e.req.start(info)
	e.req.setBudget(e.cfg.Budget)
	c.super = newSuperSeeder(n, info.PieceLength, e.req.pick)
	c.spread = newSpread(n, spreadAdapter{e})
	for _, p := range e.peers {
		c.spread.join(p.conn, p.origin, &p.spread)
	}
	e.content = c
	e.meta.end()
	e.choker.start()
	if info.Private {
		e.goPrivate()
	}
	e.applyOrder()
	e.recount()
	for _, b := range ev.Stored {
		e.req.resume(b)
	}
	e.beginComparison(ev.Outdated)
	for _, p := range e.peers {
		if p.closing {
			continue
		}
		e.sendExtHandshake(p) // now with metadata_size
		e.sendBitfield(p)
		e.decodeEarly(p)
	}
	e.checkComplete()
}

// sized returns a copy of s, or an empty set if s has length 0.
func sized(s bitset.Set, n int) bitset.Set {
	switch s.Len() {
	case n:
		return s.Clone()
	case 0:
		return bitset.New(n)
	}
	panic("engine: a piece set has the wrong length")
}

// wantedPieces returns a copy of wanted, or all pieces if wanted has length 0.
func wantedPieces(wanted bitset.Set, info *metainfo.Info) bitset.Set {
	if wanted.Len() == 0 {
		return info.Wanted(nil)
	}
	return sized(wanted, info.NumPieces())
}

// recount recomputes what we have and need from have and wanted.
func (e *Engine) recount() {
	c := e.content
	c.nHave = 0
	c.haveBytes, c.wantedBytes, c.haveWantedBytes = 0, 0, 0
	for i := range c.n {
		have, wanted := c.have.Has(i), c.wanted.Has(i)
		if have {
			c.nHave++
			c.haveBytes += c.info.PayloadIn(i, bitset.Set{})
		}
		if wanted {
			size := c.info.PayloadIn(i, c.files)
			c.wantedBytes += size
			if have {
				c.haveWantedBytes += size
			}
		}
	}
	needed := c.wanted
	if c.fixed {
		needed = c.have
	}
	e.req.setNeed(c.have, needed)
	e.updateInterests()
}

// gotPiece records that a piece has been verified.
func (e *Engine) gotPiece(index uint32) {
	c := e.content
	i := int(index)
	if !c.have.Add(i) {
		return
	}
	c.nHave++
	c.haveBytes += c.info.PayloadIn(i, bitset.Set{})
	if c.wanted.Has(i) {
		c.haveWantedBytes += c.info.PayloadIn(i, c.files)
	}
	e.req.gotPiece(index)
	e.updateInterests()
	e.cmd(Command{Kind: CmdHave, Block: Block{Piece: index}})
	c.fresh = append(c.fresh, index)
	c.haveAt = min(c.haveAt, max(e.now, c.lastHad.Add(haveEvery)))
}

// lostPiece records that a verified piece no longer exists.
func (e *Engine) lostPiece(index uint32) {
	e.content.have.Remove(int(index))
	for _, p := range e.peers {
		if !p.closing && p.ext.LtDontHave != 0 { // BEP 54
			e.sendExt(p, p.ext.LtDontHave, wire.AppendDontHave(e.scratch[:0], index))
		}
	}
}

// announceHaves sends the fresh pieces to every peer, including peers that have them: a
// seed may want to know our progress.
func (e *Engine) announceHaves() {
	c := e.content
	if len(c.fresh) == 0 || (e.now < c.haveAt && !c.complete) {
		return
	}
	for _, p := range e.peers {
		if p.closing || !p.sentBitfield {
			continue
		}
		for _, i := range c.fresh {
			e.send(p, wire.Msg{Type: wire.Have, Index: i})
		}
	}
	c.fresh = c.fresh[:0]
	c.lastHad, c.haveAt = e.now, mono.Never
}

// flushFresh sends the pending haves to the connected peers. The bitfield that is sent
// next contains them.
func (e *Engine) flushFresh() {
	if c := e.content; len(c.fresh) > 0 {
		c.haveAt = e.now
		e.announceHaves()
	}
}

// onVerified handles EvVerified, which may precede the EvStored of the piece's last
// chunk.
func (e *Engine) onVerified(ev *EvVerified) {
	e.sources = e.req.appendSources(e.sources[:0], ev.Piece)
	if ev.OK {
		if len(e.sources) > 0 {
			e.onGoodPiece(ev, e.sources)
		}
		e.gotPiece(ev.Piece)
		e.req.finish(ev.Piece)
		e.checkComplete()
		return
	}
	if !e.req.isWhole(ev.Piece) {
		return // about data that has been discarded since
	}
	e.onBadPiece(ev, e.sources)
	e.req.refetch(ev.Piece)
}

// onStorageBack handles EvStorageBack. Stored chunks of unverified pieces are discarded,
// so that their senders are not blamed for the disk.
func (e *Engine) onStorageBack(ev *EvStorageBack) {
	e.paused = false
	e.req.setPaused(false)
	c := e.content
	if c == nil {
		return
	}
	back := sized(ev.Have, c.n)
	e.flushFresh()
	for i := range c.n {
		switch had, has := c.have.Has(i), back.Has(i); {
		case has && !had:
			e.gotPiece(uint32(i))
			e.req.finish(uint32(i))
		case had && !has:
			e.lostPiece(uint32(i))
		}
	}
	e.req.distrust()
	e.recount()
	e.checkComplete()
}

// onWanted handles EvWanted.
func (e *Engine) onWanted(ev *EvWanted) {
	c := e.content
	if c == nil {
		return // EvInfo will contain the set
	}
	c.wanted, c.files = wantedPieces(ev.Wanted, c.info), ev.Files
	was := c.complete
	e.recount()
	e.applyOrder()
	if e.checkComplete(); was && c.complete { // the new set was already complete: report that too
		e.cmd(Command{Kind: CmdComplete})
	}
}

// applyOrder tells the requester the order of the pieces, once it is known which pieces
// there are.
func (e *Engine) applyOrder() {
	if c := e.content; c != nil {
		e.req.setOrder(e.order.classes(c.info, c.files), e.order.Sequential, e.order.From)
	}
}

// checkComplete sends CmdComplete when the last wanted piece has been verified.
func (e *Engine) checkComplete() {
	c := e.content
	if e.req.needsPieces() {
		if c.complete {
			c.complete = false
			e.announceUploadOnly()
			e.book.revive(e.now)
			for _, p := range e.peers {
				p.revived = p.closing
			}
		}
		return
	}
	if c.complete {
		return
	}
	c.complete = true
	e.cmd(Command{Kind: CmdComplete})
	e.announceHaves()
	e.announceUploadOnly()
	for _, p := range e.peers {
		e.dropUseless(p)
	}
	e.setSlots()
	e.choker.roundNow(e.now)
}
