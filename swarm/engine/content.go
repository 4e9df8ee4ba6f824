package engine

import (
	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
	"time"

	"seedbed/internal/mono"
)

// content is what is known and done about the torrent's data, from EvInfo on.
type content struct {
	info   *metainfo.Info
	n      int        // pieces
	have   bitset.Set // verified
	wanted bitset.Set
	files  bitset.Set // the wanted files, to count their bytes; of length 0: all
	need   bitset.Set // wanted and not verified
	full   bitset.Set // every piece; shared by all peers that have everything
	none   bitset.Set // no piece; shared by all peers that have nothing yet
	nHave  int
	nNeed  int
	seeds  int // peers counted as having everything, apart from pick.avail

	haveBytes       int64
	wantedBytes     int64
	haveWantedBytes int64

	pick   *picker
	slots  slots
	open   map[uint32]*piece // to find a piece; never ranged over
	opened []*piece          // the same, in the order they were begun
	needy  []*chunk          // open chunks with a free block, longest open first
	spare  []*piece          // to be used again
	rounds uint32            // see restart
	closed int               // chunks without a slot, of all open pieces

	firm       int    // leases of peers that are not weak
	weakChunks int    // chunks of which weak peers have blocks on order
	spareLease *lease // leases to be used again
	nSpare     int

	super superSeeder

	fresh   []uint32  // verified and not yet announced
	haveAt  mono.Time // when fresh is due
	lastHad mono.Time // when haves were last announced

	endgameAt mono.Time // when the endgame began; Never outside of it

	complete bool // CmdComplete was said of the present set
}

// haveEvery is how long haves wait for company.
const haveEvery = 50 * time.Millisecond

// onInfo handles EvInfo: the metadata phase, if there was one, is over.
func (e *Engine) onInfo(ev *EvInfo) {
	if e.content != nil {
		panic("engine: EvInfo came twice")
	}
	info := ev.Info
	n := info.NumPieces()
	c := &content{
		info: info, n: n,
		have: sized(ev.Have, n), wanted: wantedPieces(ev.Wanted, info), files: ev.Files,
		need: bitset.New(n), full: bitset.New(n), none: bitset.New(n),
		pick:   newPicker(n, e.rng),
		open:   make(map[uint32]*piece),
		haveAt: mono.Never, endgameAt: mono.Never,
	}
	c.full.Fill()
	c.super = newSuperSeeder(n, info.PieceLength, c.pick)
	e.content = c
	c.slots.resize(e.cfg.Budget)
	e.meta.end()
	e.choker.open = true
	if info.Private {
		e.goPrivate()
	}
	e.recount()
	for _, b := range ev.Stored {
		e.resume(b)
	}
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

// sized returns a copy of s, or an empty set if s was left out.
func sized(s bitset.Set, n int) bitset.Set {
	switch s.Len() {
	case n:
		return s.Clone()
	case 0:
		return bitset.New(n)
	}
	panic("engine: a piece set has the wrong length")
}

// wantedPieces returns a copy of wanted, or all pieces if it was left out.
func wantedPieces(wanted bitset.Set, info *metainfo.Info) bitset.Set {
	if wanted.Len() == 0 {
		return info.Wanted(nil)
	}
	return sized(wanted, info.NumPieces())
}

// recount makes need, the counts and the picker's idle pieces anew from have
// and wanted.
func (e *Engine) recount() {
	c := e.content
	c.nHave, c.nNeed = 0, 0
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
		if need := wanted && !have; need {
			c.nNeed++
			c.need.Add(i)
		} else {
			c.need.Remove(i)
			c.pick.take(uint32(i))
		}
	}
	for i := len(c.opened) - 1; i >= 0; i-- {
		if pc := c.opened[i]; !c.need.Has(int(pc.index)) {
			e.abandon(pc)
		}
	}
	for i := c.need.Next(0); i >= 0; i = c.need.Next(i + 1) {
		if c.open[uint32(i)] == nil {
			c.pick.put(uint32(i))
		}
	}
	for _, p := range e.peers {
		if p.has.Len() == c.n {
			p.want = c.need.CountAnd(p.has)
			e.updateInterest(p)
		}
	}
	e.freed = true
}

// gotPiece notes that a piece is verified.
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
	c.pick.take(index)
	if c.need.Remove(i) {
		c.nNeed--
		for _, p := range e.peers {
			if p.has.Len() == c.n && p.has.Has(i) {
				p.want--
				e.updateInterest(p)
			}
		}
	}
	e.cmd(Command{Kind: CmdHave, Block: Block{Piece: index}})
	c.fresh = append(c.fresh, index)
	c.haveAt = min(c.haveAt, max(e.now, c.lastHad.Add(haveEvery)))
}

// lostPiece notes that a piece that was verified is there no more.
func (e *Engine) lostPiece(index uint32) {
	e.content.have.Remove(int(index))
	for _, p := range e.peers {
		if !p.closing && p.ext.LtDontHave != 0 { // BEP 54
			e.sendExt(p, p.ext.LtDontHave, wire.AppendDontHave(e.scratch[:0], index))
		}
	}
}

// announceHaves tells every peer of the fresh pieces, those that have them
// too: a seed may want to know how far we are.
func (e *Engine) announceHaves() {
	c := e.content
	if len(c.fresh) == 0 || (e.now < c.haveAt && !c.complete) {
		return
	}
	for _, p := range e.peers {
		if p.closing || !p.told {
			continue
		}
		for _, i := range c.fresh {
			e.send(p, wire.Msg{Type: wire.Have, Index: i})
		}
	}
	c.fresh = c.fresh[:0]
	c.lastHad, c.haveAt = e.now, mono.Never
}

// flushFresh forgets haves that a bitfield about to be sent would say twice; so
// it sends them to the others first.
func (e *Engine) flushFresh() {
	if c := e.content; len(c.fresh) > 0 {
		c.haveAt = e.now
		e.announceHaves()
	}
}

// store hands a whole chunk to the shell.
func (e *Engine) store(k *chunk) {
	k.state = chunkStoring
	e.setNeedy(k)
	e.cmd(Command{Kind: CmdStore, Slot: k.slot, WantSums: e.blame.isSuspect(k.piece.index), Round: k.piece.round,
		Block: Block{Piece: k.piece.index, Begin: k.begin, Length: k.length}})
}

// chunkAt is the chunk of an event that names one, or nil when its piece is
// open no more.
func (c *content) chunkAt(b Block, slot Slot) *chunk {
	pc := c.open[b.Piece]
	if pc == nil || int(b.Begin/blockSize) >= len(pc.block) {
		return nil
	}
	if k := pc.chunkOf(b.Begin / blockSize); k.state == chunkStoring && k.slot == slot {
		return k
	}
	return nil
}

// onStored handles EvStored.
func (e *Engine) onStored(ev *EvStored) {
	c := e.content
	k := c.chunkAt(ev.Block, ev.Slot)
	c.slots.give(ev.Slot)
	e.freed = true
	if k == nil {
		return
	}
	pc := k.piece
	if k.spoiled {
		k.spoiled = false
		e.reset(k)
	} else {
		k.state, k.slot = chunkStored, NoSlot
		pc.stored++
		pc.sent = pc.stored == len(pc.chunk)
	}
	e.settle(pc)
}

// onVerified handles EvVerified, which may come before the EvStored of the
// piece's last chunk.
func (e *Engine) onVerified(ev *EvVerified) {
	c := e.content
	index := ev.Piece
	pc := c.open[index]
	if ev.OK {
		if pc != nil {
			e.onGoodPiece(pc, ev.Sums)
		}
		e.gotPiece(index)
		if pc != nil {
			e.abandon(pc)
		}
		e.checkComplete()
		return
	}
	if pc == nil || !pc.whole() {
		return // of data that was given up meanwhile
	}
	e.hashFails++
	e.wasted += int64(pc.size)
	e.onBadPiece(pc, ev)
	c.restart(pc)
	for i := range pc.chunk {
		if k := &pc.chunk[i]; k.state == chunkStoring {
			k.spoiled = true
		} else {
			e.reset(k)
		}
	}
	e.settle(pc)
}

// whole reports whether every chunk is with the shell or stored.
func (p *piece) whole() bool {
	for i := range p.chunk {
		if k := &p.chunk[i]; k.spoiled || (k.state != chunkStoring && k.state != chunkStored) {
			return false
		}
	}
	return true
}

// onChunkLost handles EvChunkLost: its blocks are fetched again.
func (e *Engine) onChunkLost(ev *EvChunkLost) {
	c := e.content
	k := c.chunkAt(ev.Block, ev.Slot)
	c.slots.give(ev.Slot)
	if k != nil {
		k.spoiled = false
		e.reset(k)
		e.settle(k.piece)
	}
}

// onStorageBack handles EvStorageBack. What was stored of pieces that are not
// verified is not relied on any more, lest its senders be blamed for the disk.
func (e *Engine) onStorageBack(ev *EvStorageBack) {
	e.paused = false
	c := e.content
	if c == nil {
		return
	}
	back := sized(ev.Have, c.n)
	e.flushFresh()
	for i := range c.n {
		switch had, has := c.have.Has(i), back.Has(i); {
		case has && !had:
			if pc := c.open[uint32(i)]; pc != nil {
				e.gotPiece(uint32(i))
				e.abandon(pc)
			} else {
				e.gotPiece(uint32(i))
			}
		case had && !has:
			e.lostPiece(uint32(i))
		}
	}
	for i := len(c.opened) - 1; i >= 0; i-- {
		pc := c.opened[i]
		c.restart(pc)
		for j := range pc.chunk {
			switch k := &pc.chunk[j]; k.state {
			case chunkStored:
				e.reset(k)
			case chunkStoring:
				k.spoiled = true
			}
		}
		e.settle(pc)
	}
	for _, pc := range c.opened {
		for j := range pc.chunk {
			if k := &pc.chunk[j]; k.state == chunkOpen && k.done == k.blocks {
				e.store(k)
			}
		}
	}
	e.recount()
	e.checkComplete()
}

// onWanted handles EvWanted.
func (e *Engine) onWanted(ev *EvWanted) {
	c := e.content
	if c == nil {
		return // EvInfo will bring the set
	}
	c.wanted, c.files = wantedPieces(ev.Wanted, c.info), ev.Files
	was := c.complete
	e.recount()
	if e.checkComplete(); was && c.complete { // of another set, and so said again
		e.cmd(Command{Kind: CmdComplete})
	}
}

// checkComplete says CmdComplete when the last wanted piece has come.
func (e *Engine) checkComplete() {
	c := e.content
	if c.nNeed > 0 {
		if c.complete {
			c.complete = false
			e.tellUploadOnly()
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
	e.tellUploadOnly()
	for _, p := range e.peers {
		e.dropUseless(p)
	}
	e.choker.hasten(e.now)
}
