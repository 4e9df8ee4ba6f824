package engine

import "slices"

// block is the state of one block of an open piece.
type block struct {
	done bool
	from uint32 // origin of the payload, when done; see blame.go
	held *lease // the peers that were asked for it
}

type chunkState uint8

const (
	chunkClosed  chunkState = iota // no slot yet
	chunkOpen                      // has a slot, blocks come in
	chunkStoring                   // whole, with the shell; the slot comes back with EvStored
	chunkStored                    // hashed, and written or about to be
)

// chunk is an aligned stretch of an open piece, as long as a slot at most.
type chunk struct {
	piece   *piece
	state   chunkState
	spoiled bool // of a piece whose hash failed while this was storing
	needy   bool // in content.needy: open, with a free block
	slot    Slot
	begin   uint32 // bytes into the piece
	length  uint32
	first   uint32 // block of the piece
	blocks  uint32
	free    uint32 // neither done nor leased
	done    uint32
	next    uint32 // no free block before this one
	out     int    // leases of its blocks
	weak    int    // of those, the ones of weak peers
}

// piece is a piece that was begun.
type piece struct {
	index  uint32
	size   uint32
	block  []block
	chunk  []chunk
	closed int  // chunks without a slot
	stored int  // chunks stored
	sent   bool // the last chunk was stored: the verdict is awaited
	only   Conn // asked last; on parole the one that is asked, while it serves us in time
	parole bool
	round  uint32 // of content.rounds: when it was begun, or begun again from nothing
}

// blockOf is block b of p as the wire names it.
func (p *piece) blockOf(b uint32) Block {
	begin := b * blockSize
	return Block{Piece: p.index, Begin: begin, Length: min(blockSize, p.size-begin)}
}

func (p *piece) chunkOf(b uint32) *chunk {
	return &p.chunk[b/p.chunk[0].blocks]
}

// start takes an idle piece and makes it an open one, without a slot yet.
func (e *Engine) start(index uint32) *piece {
	c := e.content
	c.pick.take(index)
	var p *piece
	if n := len(c.spare); n > 0 {
		p, c.spare = c.spare[n-1], c.spare[:n-1]
	} else {
		p = new(piece)
	}
	size := uint32(c.info.DataSize(int(index)))
	nblocks := int((size + blockSize - 1) / blockSize)
	nchunks := int((size + e.cfg.ChunkSize - 1) / e.cfg.ChunkSize)
	*p = piece{index: index, size: size, closed: nchunks,
		block: slices.Grow(p.block[:0], nblocks)[:nblocks],
		chunk: slices.Grow(p.chunk[:0], nchunks)[:nchunks],
	}
	clear(p.block)
	perChunk := e.cfg.ChunkSize / blockSize
	for i := range p.chunk {
		begin := uint32(i) * e.cfg.ChunkSize
		k := chunk{piece: p, slot: NoSlot, begin: begin, length: min(e.cfg.ChunkSize, size-begin), first: uint32(i) * perChunk}
		k.blocks = (k.length + blockSize - 1) / blockSize
		k.free, k.next = k.blocks, k.first
		p.chunk[i] = k
	}
	c.closed += nchunks
	p.parole = e.blame.isSuspect(index)
	c.restart(p)
	c.open[index] = p
	c.opened = append(c.opened, p)
	return p
}

// restart tells the shell, by the next CmdStore, that what it holds of p counts
// no more.
func (c *content) restart(p *piece) {
	c.rounds++
	p.round = c.rounds
}

// resume takes over a chunk that storage had from the beginning. One that is
// cut otherwise than ours are is left to be fetched again, and so is the last of
// its piece: no verdict on that piece would come.
func (e *Engine) resume(b Block) {
	c := e.content
	if int64(b.Piece) >= int64(c.n) || !c.need.Has(int(b.Piece)) || b.Begin%e.cfg.ChunkSize != 0 {
		return
	}
	size := uint32(c.info.DataSize(int(b.Piece)))
	if b.Begin >= size || b.Length != min(e.cfg.ChunkSize, size-b.Begin) || b.Length == size {
		return
	}
	p := c.open[b.Piece]
	if p == nil {
		p = e.start(b.Piece)
		p.round = 0
	}
	k := &p.chunk[b.Begin/e.cfg.ChunkSize]
	if k.state != chunkClosed || p.stored+1 == len(p.chunk) {
		return
	}
	for i := k.first; i < k.first+k.blocks; i++ {
		p.block[i].done = true // from nobody: origin 0
	}
	k.state, k.free, k.done, k.next = chunkStored, 0, k.blocks, k.first+k.blocks
	p.closed--
	c.closed--
	p.stored++
}

// openChunk gives the first closed chunk of p a slot.
func (e *Engine) openChunk(p *piece) *chunk {
	c := e.content
	slot, ok := c.slots.take()
	if !ok {
		return nil
	}
	for i := range p.chunk {
		k := &p.chunk[i]
		if k.state != chunkClosed {
			continue
		}
		k.state, k.slot = chunkOpen, slot
		p.closed--
		c.closed--
		e.setNeedy(k)
		return k
	}
	panic("engine: a piece counts a closed chunk that it has not")
}

// setNeedy keeps content.needy in step with k: the open chunks with a free
// block, the longest open first, for those are to be finished first.
func (e *Engine) setNeedy(k *chunk) {
	c := e.content
	want := k.state == chunkOpen && k.free > 0
	if want == k.needy {
		return
	}
	k.needy = want
	if want {
		c.needy = append(c.needy, k)
		return
	}
	i := slices.Index(c.needy, k)
	c.needy = slices.Delete(c.needy, i, i+1)
}

// reset makes a chunk closed again, its blocks to be fetched anew.
func (e *Engine) reset(k *chunk) {
	p := k.piece
	for b := k.first; b < k.first+k.blocks; b++ {
		if p.block[b].done {
			e.blame.release(p.block[b].from)
		}
		p.block[b] = block{}
	}
	if k.state == chunkStored {
		p.stored--
	}
	if k.state != chunkClosed {
		p.closed++
		e.content.closed++
	}
	k.state, k.slot = chunkClosed, NoSlot
	k.free, k.done, k.next = k.blocks, 0, k.first
	e.setNeedy(k)
	p.sent = false
}

// dropChunk gives an open chunk up, slot and all; it must hold no lease.
func (e *Engine) dropChunk(k *chunk) {
	e.wasted += int64(k.done) * blockSize
	slot := k.slot
	e.reset(k)
	e.cmd(Command{Kind: CmdDropSlot, Slot: slot})
	e.content.slots.give(slot)
	e.freed = true
}

// forget takes p off the list of open pieces. If it is still wanted it becomes
// idle.
func (e *Engine) forget(p *piece) {
	c := e.content
	for i := range p.chunk {
		if s := p.chunk[i].state; s == chunkOpen || s == chunkStoring {
			panic("engine: an open piece is forgotten with a slot out")
		}
	}
	for i := range p.block {
		if p.block[i].done {
			e.blame.release(p.block[i].from)
		}
	}
	c.closed -= p.closed
	delete(c.open, p.index)
	i := slices.Index(c.opened, p)
	c.opened = slices.Delete(c.opened, i, i+1)
	if len(c.spare) < max(64, c.slots.budget) {
		c.spare = append(c.spare, p)
	}
	if c.need.Has(int(p.index)) {
		c.pick.put(p.index)
	}
	e.freed = true
}

// abandon stops whatever is under way for p: leases are cancelled, slots that
// are ours given back. A chunk that is with the shell comes back by itself; then
// the piece is forgotten.
func (e *Engine) abandon(p *piece) {
	for i := range p.chunk {
		e.cancelChunk(&p.chunk[i])
		if p.chunk[i].state == chunkOpen {
			e.dropChunk(&p.chunk[i])
		}
	}
	e.settle(p)
}

// settle forgets p if nothing of it is under way or worth keeping.
func (e *Engine) settle(p *piece) {
	c := e.content
	// The picker would give a suspect to anyone.
	keep := c.need.Has(int(p.index)) && (p.stored > 0 || p.sent || e.blame.isSuspect(p.index))
	for i := range p.chunk {
		switch p.chunk[i].state {
		case chunkOpen:
			keep = true
		case chunkStoring:
			return
		}
	}
	if !keep {
		e.forget(p)
	}
}
