package s3store

import "seedbed/magnet/metainfo"

// BlockSize is the size of most blocks in bytes: the largest number of whole pieces that fit, or one piece if it is
// larger.
const BlockSize = 8 << 20

// geometry divides a torrent into blocks.
type geometry struct {
	info *metainfo.Info
	per  int // pieces in a block, except for the last one
}

func newGeometry(info *metainfo.Info) geometry {
	return geometry{info, int(max(1, BlockSize/info.PieceLength))}
}

// numBlocks returns the number of blocks.
func (g geometry) numBlocks() int { return (g.info.NumPieces() + g.per - 1) / g.per }

// blockOf returns the block of a byte of the torrent.
func (g geometry) blockOf(off int64) int { return int(off / g.info.PieceLength / int64(g.per)) }

// pieces returns the pieces of a block: those from first up to, and without, end.
func (g geometry) pieces(block int) (first, end int) {
	first = block * g.per
	return first, min(first+g.per, g.info.NumPieces())
}

// bounds returns where a block begins in the torrent, and its size.
func (g geometry) bounds(block int) (off, size int64) {
	first, end := g.pieces(block)
	off = int64(first) * g.info.PieceLength
	return off, min(int64(end)*g.info.PieceLength, g.info.Length) - off
}
