package webseed

import "seedbed/magnet/metainfo"

// maxChecks is how many pieces are hashed concurrently.
const maxChecks = 4

// checker hashes the pieces that are sent to the engine, to find out which file of the mirror
// is wrong. It handles only pieces whose blocks are all requested from the mirror, in order.
type checker struct {
	info *metainfo.Info
	open []pieceCheck // oldest first
}

type pieceCheck struct {
	piece int
	next  int64 // bytes hashed
	hash  *metainfo.PieceHash
}

// verdict is the result for a piece.
type verdict uint8

const (
	pieceOpen      verdict = iota // blocks are still missing
	pieceUntracked                // not checked as a whole
	pieceGood
	pieceBad
)

// add hashes a block, and returns the verdict on its piece if it was the last block.
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
