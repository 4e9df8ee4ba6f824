package s3store

import "seedbed/magnet/metainfo"

// BlockSize is the size of most blocks in bytes: the largest number of whole pieces that fit, or one piece if it is
// larger.
const BlockSize = 8 << 20

// geometry divides a torrent into units, each of which is fetched and cached as a whole: blocks first, then single pieces, for
// readers that want only few of a block. If all blocks are single pieces, these are the only units.
type geometry struct {
	info *metainfo.Info
	per  int // pieces in a block, except for the last one
}

func newGeometry(info *metainfo.Info) geometry {
	return geometry{info, int(max(1, BlockSize/info.PieceLength))}
}

// numBlocks returns the number of blocks.
func (g geometry) numBlocks() int { return (g.info.NumPieces() + g.per - 1) / g.per }

// blockOf returns the block of a piece.
func (g geometry) blockOf(piece int) int { return piece / g.per }

// unitOf returns the unit of a single piece.
func (g geometry) unitOf(piece int) int {
	if g.per == 1 {
		return piece
	}
	return g.numBlocks() + piece
}

// isBlock reports whether a unit is a block.
func (g geometry) isBlock(unit int) bool { return unit < g.numBlocks() }

// pieces returns the pieces of a unit: those from first up to, and without, end.
func (g geometry) pieces(unit int) (first, end int) {
	if !g.isBlock(unit) {
		first = unit - g.numBlocks()
		return first, first + 1
	}
	first = unit * g.per
	return first, min(first+g.per, g.info.NumPieces())
}

// bounds returns where a unit begins in the torrent, and its size.
func (g geometry) bounds(unit int) (off, size int64) {
	first, end := g.pieces(unit)
	off = int64(first) * g.info.PieceLength
	return off, min(int64(end)*g.info.PieceLength, g.info.Length) - off
}

// hasSmallFiles reports whether a block has more files than pieces, and more than are asked for at a time. Each file costs a request.
func (g geometry) hasSmallFiles(block int) bool {
	first, end := g.pieces(block)
	files, most := 0, max(end-first, openAhead)
	for sp := range g.info.Spans(g.bounds(block)) {
		if !g.info.Files[sp.File].Pad {
			files++
		}
		if files > most {
			return true
		}
	}
	return false
}
