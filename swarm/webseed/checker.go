package webseed

import "seedbed/magnet/metainfo"

// maxChecks pieces are hashed at a time.
const maxChecks = 4

// A checker hashes the pieces that go to the engine, so that the file of a piece with
// another hash is known. It sees those whose blocks are all asked of the mirror, in
// order; of others the engine is the only judge.
type checker struct {
	info *metainfo.Info
	open []pieceCheck // the oldest first
}

type pieceCheck struct {
	piece int
	next  int64 // bytes hashed
	hash  *metainfo.PieceHash
}

// verdict is what a checker knows of a piece.
type verdict uint8

const (
	pieceOpen      verdict = iota // more of it is to come
	pieceUntracked                // it is not seen as a whole
	pieceGood
	pieceBad
)

// add hashes a block, and says how its piece is if it was the last of it.
func (c *checker) add(piece int, begin int64, block []byte) verdict {
	if c.info.LacksLayers() {
		return pieceUntracked
	}
	k := c.find(piece)
	switch {
	case k < 0 && begin == 0:
		if len(c.open) == maxChecks {
			c.open = append(c.open[:0], c.open[1:]...)
		}
		k = len(c.open)
		c.open = append(c.open, pieceCheck{piece: piece, hash: c.info.NewPieceHash(piece)})
	case k < 0:
		return pieceUntracked
	case c.open[k].next != begin:
		c.drop(k)
		return pieceUntracked
	}
	x := &c.open[k]
	_, _ = x.hash.Write(block)
	x.next += int64(len(block))
	if x.next < c.info.DataSize(piece) {
		return pieceOpen
	}
	digest := x.hash.Digest()
	c.drop(k)
	if digest != c.info.Digest(piece) {
		return pieceBad
	}
	return pieceGood
}

func (c *checker) find(piece int) int {
	for k := range c.open {
		if c.open[k].piece == piece {
			return k
		}
	}
	return -1
}

func (c *checker) drop(k int) { c.open = append(c.open[:k], c.open[k+1:]...) }
