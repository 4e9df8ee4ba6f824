package engine

import (
	"slices"

	"seedbed/internal/bitset"
)

// block is the state of one block of an open piece.
type block struct {
	done bool     // it has arrived, or is kept
	from uint32   // origin of the payload, when done; see blame.go
	held *request // outstanding requests
}

type chunkState uint8

const (
	chunkClosed  chunkState = iota // no slot yet
	chunkOpen                      // has a slot; blocks arrive
	chunkStoring                   // complete and with the shell; EvStored returns the slot
	chunkStored                    // hashed, and written or about to be written
)

// pieceBook holds the open pieces.
type pieceBook struct {
	open        map[uint32]*piece // by index; never ranged over
	opened      []*piece          // the same, in the order in which they were begun
	requestable []*chunk          // open chunks with a free block, in the order in which they were opened
	spare       []*piece          // to be reused
	rounds      uint32            // see restart
	closed      int               // chunks without a slot in all open pieces
}

// chunk is an aligned part of an open piece that fits into a slot.
type chunk struct {
	piece       *piece
	state       chunkState
	outdated    bool // the piece's hash failed while this chunk was being stored
	requestable bool // in pieceBook.requestable: open, with a free block
	slot        Slot
	begin       uint32 // bytes into the piece
	length      uint32
	first       uint32 // index of its first block in the piece
	blocks      uint32
	free        uint32 // neither done nor requested
	done        uint32
	next        uint32 // no block before this one is free
	out         int    // outstanding requests for its blocks
	weak        int    // how many of those are at weak peers
}

// piece is a piece that has been begun.
type piece struct {
	index     uint32
	size      uint32
	block     []block
	chunk     []chunk
	closed    int          // chunks without a slot
	stored    int          // chunks stored
	hashing   bool         // the last chunk was stored; the result of hashing is pending
	lastAsked *requestPeer // the peer asked last; on parole the only one that is asked, while it delivers in time
	parole    bool
	kept      bitset.Set // blocks that are on the disk since before the download; length 0 means none
	round     uint32     // value of pieceBook.rounds when it was begun or restarted
}

// blockOf returns block b of p in the form that messages use.
func (p *piece) blockOf(b uint32) Block {
	begin := b * blockSize
	return Block{Piece: p.index, Begin: begin, Length: min(blockSize, p.size-begin)}
}

func (p *piece) chunkOf(b uint32) *chunk {
	return &p.chunk[b/p.chunk[0].blocks]
}

// openPiece opens an idle piece, without a slot yet.
func (r *requester) openPiece(index uint32) *piece {
	r.pick.take(index)
	r.keep.release(index)
	var p *piece
	if n := len(r.pieces.spare); n > 0 {
		p, r.pieces.spare = r.pieces.spare[n-1], r.pieces.spare[:n-1]
	} else {
		p = new(piece)
	}
	size := uint32(r.info.DataSize(int(index)))
	nblocks := int((size + blockSize - 1) / blockSize)
	nchunks := int((size + r.chunkSize - 1) / r.chunkSize)
	*p = piece{index: index, size: size, closed: nchunks, kept: r.keep.of(index),
		block: slices.Grow(p.block[:0], nblocks)[:nblocks],
		chunk: slices.Grow(p.chunk[:0], nchunks)[:nchunks],
	}
	clear(p.block)
	perChunk := r.chunkSize / blockSize
	for i := range p.chunk {
		begin := uint32(i) * r.chunkSize
		k := chunk{piece: p, slot: NoSlot, begin: begin, length: min(r.chunkSize, size-begin), first: uint32(i) * perChunk}
		k.blocks = (k.length + blockSize - 1) / blockSize
		k.free, k.next = k.blocks, k.first
		p.chunk[i] = k
		p.chunk[i].markKept()
	}
	r.pieces.closed += nchunks
	p.parole = r.sink.isSuspect(index)
	r.restart(p)
	r.pieces.open[index] = p
	r.pieces.opened = append(r.pieces.opened, p)
	return p
}

// restart makes the next CmdStore tell the shell that earlier chunks of p no longer
// count.
func (r *requester) restart(p *piece) {
	r.pieces.rounds++
	p.round = r.pieces.rounds
}

// resume takes over a chunk that was already stored at the start. A chunk whose bounds
// differ from ours is fetched again. So is the last chunk of a piece, because otherwise
// the piece would never be hashed.
func (r *requester) resume(b Block) {
	if int64(b.Piece) >= int64(r.n) || !r.need.Has(int(b.Piece)) || b.Begin%r.chunkSize != 0 {
		return
	}
	size := uint32(r.info.DataSize(int(b.Piece)))
	if b.Begin >= size || b.Length != min(r.chunkSize, size-b.Begin) || b.Length == size {
		return
	}
	p := r.pieces.open[b.Piece]
	if p == nil {
		p = r.openPiece(b.Piece)
		p.round = 0
	}
	k := &p.chunk[b.Begin/r.chunkSize]
	if k.state != chunkClosed || p.stored+1 == len(p.chunk) {
		return
	}
	for i := k.first; i < k.first+k.blocks; i++ {
		p.block[i].done = true // origin 0: no peer sent it
	}
	k.state, k.free, k.done, k.next = chunkStored, 0, k.blocks, k.first+k.blocks
	p.closed--
	r.pieces.closed--
	p.stored++
}

// openChunk assigns a slot to the first closed chunk of p.
func (r *requester) openChunk(p *piece) *chunk {
	slot, ok := r.slots.take()
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
		r.pieces.closed--
		r.updateRequestable(k)
		if k.done == k.blocks { // nothing of it has to be requested
			r.store(k)
		}
		return k
	}
	panic("engine: closed chunk count is wrong")
}

// updateRequestable updates whether k is in pieceBook.requestable, which lists the open
// chunks with a free block. The chunks that were opened first are finished first.
func (r *requester) updateRequestable(k *chunk) {
	want := k.state == chunkOpen && k.free > 0
	if want == k.requestable {
		return
	}
	k.requestable = want
	if want {
		r.pieces.requestable = append(r.pieces.requestable, k)
		return
	}
	i := slices.Index(r.pieces.requestable, k)
	r.pieces.requestable = slices.Delete(r.pieces.requestable, i, i+1)
}

// reset closes a chunk, so that its blocks are fetched again.
func (r *requester) reset(k *chunk) {
	p := k.piece
	for b := k.first; b < k.first+k.blocks; b++ {
		if p.block[b].done {
			r.sink.release(p.block[b].from)
		}
		p.block[b] = block{}
	}
	if k.state == chunkStored {
		p.stored--
	}
	if k.state != chunkClosed {
		p.closed++
		r.pieces.closed++
	}
	k.state, k.slot = chunkClosed, NoSlot
	k.free, k.done, k.next = k.blocks, 0, k.first
	p.kept = r.keep.of(p.index)
	k.markKept()
	r.updateRequestable(k)
	p.hashing = false
}

// dropChunk discards an open chunk and frees its slot. It must have no outstanding
// requests.
func (r *requester) dropChunk(k *chunk) {
	if k.out > 0 {
		panic("engine: dropped a chunk with outstanding requests")
	}
	r.intake.wasted += int64(k.done-k.keptBlocks()) * blockSize
	slot := k.slot
	r.reset(k)
	r.sink.dropSlot(slot)
	r.slots.give(slot)
	r.peers.freed = true
}

// forget removes p from the open pieces. If p is still needed, it becomes idle.
func (r *requester) forget(p *piece) {
	for i := range p.chunk {
		if s := p.chunk[i].state; s == chunkOpen || s == chunkStoring {
			panic("engine: forgot an open piece that holds a slot")
		}
	}
	for i := range p.block {
		if p.block[i].done {
			r.sink.release(p.block[i].from)
		}
	}
	r.pieces.closed -= p.closed
	p.lastAsked = nil
	delete(r.pieces.open, p.index)
	i := slices.Index(r.pieces.opened, p)
	r.pieces.opened = slices.Delete(r.pieces.opened, i, i+1)
	if len(r.pieces.spare) < max(64, r.slots.budget) {
		r.pieces.spare = append(r.pieces.spare, p)
	}
	if r.need.Has(int(p.index)) {
		r.pick.put(p.index)
	}
	r.peers.freed = true
}

// abandon cancels the requests for p and frees its slots. A chunk that is being stored
// keeps its slot until it is stored; then p is forgotten.
func (r *requester) abandon(p *piece) {
	for i := range p.chunk {
		r.cancelChunk(&p.chunk[i])
		if p.chunk[i].state == chunkOpen {
			r.dropChunk(&p.chunk[i])
		}
	}
	r.settle(p)
}

// settle forgets p if it has no outstanding work and nothing worth keeping.
func (r *requester) settle(p *piece) {
	// The picker would let any peer fetch a suspect piece, so keep it open.
	keep := r.need.Has(int(p.index)) && (p.stored > 0 || p.hashing || r.sink.isSuspect(p.index))
	for i := range p.chunk {
		switch p.chunk[i].state {
		case chunkOpen:
			keep = true
		case chunkStoring:
			return
		}
	}
	if !keep {
		r.forget(p)
	}
}
