package engine

// This file handles complete chunks: they are stored, hashed as a piece, and then either
// finished or fetched again.

// store hands a complete chunk to the shell.
func (r *requester) store(k *chunk) {
	k.state = chunkStoring
	r.updateRequestable(k)
	pc := k.piece
	r.sink.store(k.slot, Block{Piece: pc.index, Begin: k.begin, Length: k.length}, pc.round, pc.kept)
}

// chunkAt returns the chunk that an event refers to, or nil if its piece is no longer
// open.
func (r *requester) chunkAt(b Block, slot Slot) *chunk {
	pc := r.pieces.open[b.Piece]
	if pc == nil || int(b.Begin/blockSize) >= len(pc.block) {
		return nil
	}
	if k := pc.chunkOf(b.Begin / blockSize); k.state == chunkStoring && k.slot == slot {
		return k
	}
	return nil
}

// noteStored records that the chunk of a slot has been stored, which frees the slot.
func (r *requester) noteStored(slot Slot, b Block) {
	k := r.chunkAt(b, slot)
	r.slots.give(slot)
	r.peers.freed = true
	if k == nil {
		return
	}
	pc := k.piece
	if k.outdated {
		k.outdated = false
		r.reset(k)
	} else {
		k.state, k.slot = chunkStored, NoSlot
		pc.stored++
		pc.hashing = pc.stored == len(pc.chunk)
	}
	r.settle(pc)
}

// noteLost records that the chunk of a slot could not be stored. Its blocks are fetched
// again.
func (r *requester) noteLost(slot Slot, b Block) {
	k := r.chunkAt(b, slot)
	r.slots.give(slot)
	if k != nil {
		k.outdated = false
		r.reset(k)
		r.settle(k.piece)
	}
}

// appendSources appends the origin of each block of a piece. It appends nothing if the
// piece is not open.
func (r *requester) appendSources(list []uint32, piece uint32) []uint32 {
	if pc := r.pieces.open[piece]; pc != nil {
		for i := range pc.block {
			list = append(list, pc.block[i].from)
		}
	}
	return list
}

// isWhole reports whether a piece is open and all its chunks are stored or being stored,
// so that the result of hashing is about the blocks that we know.
func (r *requester) isWhole(piece uint32) bool {
	pc := r.pieces.open[piece]
	if pc == nil {
		return false
	}
	for i := range pc.chunk {
		if k := &pc.chunk[i]; k.outdated || (k.state != chunkStoring && k.state != chunkStored) {
			return false
		}
	}
	return true
}

// finish stops all work for a verified piece.
func (r *requester) finish(piece uint32) {
	if pc := r.pieces.open[piece]; pc != nil {
		r.abandon(pc)
	}
}

// refetch fetches a piece again because its hash was wrong; see isWhole.
func (r *requester) refetch(piece uint32) {
	pc := r.pieces.open[piece]
	r.intake.hashFails++
	r.intake.wasted += int64(pc.size) - keptBytes(pc.kept, int64(pc.size))
	r.keep.discard(piece)
	pc.parole, pc.lastAsked = r.sink.isSuspect(piece), nil
	r.forgetStored(pc)
}

// endParole lets a piece be requested from all peers again.
func (r *requester) endParole(piece uint32) {
	if pc := r.pieces.open[piece]; pc != nil {
		pc.parole, pc.lastAsked = false, nil
		r.peers.freed = true
	}
}

// distrust fetches all stored blocks of unverified pieces again.
func (r *requester) distrust() {
	r.keep.discardAll()
	for i := len(r.pieces.opened) - 1; i >= 0; i-- {
		r.forgetStored(r.pieces.opened[i])
	}
	for _, pc := range r.pieces.opened {
		for j := range pc.chunk {
			if k := &pc.chunk[j]; k.state == chunkOpen && k.done == k.blocks {
				r.store(k)
			}
		}
	}
}

// forgetStored fetches the stored chunks of pc again. Chunks that are being stored follow
// once that has finished.
func (r *requester) forgetStored(pc *piece) {
	r.restart(pc)
	for i := range pc.chunk {
		switch k := &pc.chunk[i]; k.state {
		case chunkStored:
			r.reset(k)
		case chunkStoring:
			k.outdated = true
		}
	}
	r.settle(pc)
}
