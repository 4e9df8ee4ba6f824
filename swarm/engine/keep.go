package engine

import "seedbed/internal/bitset"

// This file requests only those blocks of a piece that are not kept from before.

// holdBack holds back those pieces of a set that are needed and not open.
func (r *requester) holdBack(set bitset.Set) {
	r.keep = newKeeper(r.n)
	for i := range set.All() {
		if r.need.Has(i) && r.pieces.open[uint32(i)] == nil {
			r.keep.hold(uint32(i))
			r.pick.take(uint32(i))
		}
	}
}

// letGo makes a piece that was held back idle.
func (r *requester) letGo(piece uint32) {
	if r.keep.release(piece) && r.need.Has(int(piece)) && r.pieces.open[piece] == nil {
		r.pick.put(piece)
		r.peers.freed = true
	}
}

// keepBlocks records which blocks of a piece are on the disk, and lets the piece go.
func (r *requester) keepBlocks(piece uint32, kept bitset.Set) {
	if r.keep.holds(piece) && kept.Len() > 0 && r.need.Has(int(piece)) {
		r.keep.keep(piece, kept)
	}
	r.letGo(piece)
}

// markKept marks the kept blocks of a chunk without requests as done. The origin of their payload is 0:
// no peer sent it.
func (k *chunk) markKept() {
	if k.piece.kept.Len() == 0 {
		return
	}
	for b := k.first; b < k.first+k.blocks; b++ {
		if k.piece.kept.Has(int(b)) {
			k.piece.block[b].done = true
			k.done++
			k.free--
		}
	}
}

// keptBlocks returns how many blocks of the chunk are kept.
func (k *chunk) keptBlocks() (n uint32) {
	if k.piece.kept.Len() == 0 {
		return 0
	}
	for b := k.first; b < k.first+k.blocks; b++ {
		if k.piece.kept.Has(int(b)) {
			n++
		}
	}
	return n
}
