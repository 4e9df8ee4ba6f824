package engine

import "seedbed/internal/bitset"

// keeper knows which blocks of needed pieces are on the disk since before the download: they need not
// be requested. While that is being found out, it holds the pieces back from the picker.
type keeper struct {
	holding bitset.Set // length 0 if no piece was ever held back
	held    int
	blocks  map[uint32]bitset.Set // by piece; never ranged over
}

// holds reports whether a piece is held back.
func (k *keeper) holds(piece uint32) bool {
	return k.held > 0 && k.holding.Has(int(piece))
}

// release no longer holds a piece back, and reports whether it did.
func (k *keeper) release(piece uint32) bool {
	if !k.holds(piece) {
		return false
	}
	k.held--
	return k.holding.Remove(int(piece))
}

// of returns the kept blocks of a piece; length 0 means none. The set must not be modified.
func (k *keeper) of(piece uint32) bitset.Set { return k.blocks[piece] }

// discard forgets the kept blocks of a piece, which are not what they should be.
func (k *keeper) discard(piece uint32) { delete(k.blocks, piece) }

func (k *keeper) discardAll() { clear(k.blocks) }

// done forgets a verified piece of size bytes, and returns how many of them were kept.
func (k *keeper) done(piece uint32, size int64) int64 {
	k.release(piece)
	n := keptBytes(k.blocks[piece], size)
	k.discard(piece)
	return n
}

// keptBytes returns the size of the kept blocks of a piece of size bytes.
func keptBytes(kept bitset.Set, size int64) (n int64) {
	if kept.Len() == 0 {
		return 0
	}
	for b := range kept.All() {
		n += min(blockSize, size-int64(b)*blockSize)
	}
	return n
}

// newKeeper returns a keeper for n pieces, which holds nothing back.
func newKeeper(n int) keeper {
	return keeper{holding: bitset.New(n), blocks: map[uint32]bitset.Set{}}
}

// hold holds a piece back.
func (k *keeper) hold(piece uint32) {
	if k.holding.Add(int(piece)) {
		k.held++
	}
}

// keep records the kept blocks of a piece.
func (k *keeper) keep(piece uint32, blocks bitset.Set) { k.blocks[piece] = blocks }
