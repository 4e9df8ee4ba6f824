package peerconn

import (
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

const (
	// batchBytes is how much payload is read and written at once: a few system
	// calls for many blocks, and small enough for the second-level cache in between.
	batchBytes = 256 << 10
	// minBatchBytes is the smallest batch for a peer that accepts little.
	minBatchBytes = 64 << 10
	// maxSealedBytes is the largest batch of an encrypted connection, where all that
	// is read must be sent in its order. For a peer that accepts little a batch is
	// one block, so that control messages wait for no more than that.
	maxSealedBytes = 64 << 10
	// batchBlocks is the most blocks in a batch. It bounds the memory for headers.
	batchBlocks = 1024
	// smallBlock is the length in bytes below which a block is moved behind its
	// header, instead of taking two entries of a vectored write. A system accepts
	// 1,024 entries (IOV_MAX); a batch has at most 2*batchBytes/smallBlock.
	smallBlock = 4 << 10
)

// A batch is piece messages in memory, as one stream of bytes in a few stretches.
type batch struct {
	mem    []byte // batchBytes, and room for the headers
	used   int    // bytes of mem
	blocks []engine.Block
	vec    [][]byte       // the stream: stretches of mem
	end    int            // where in mem the last of vec ends
	want   []engine.Block // scratch: what is to be added
}

func newBatch() *batch {
	return &batch{mem: make([]byte, batchBytes+batchBlocks*wire.PieceHeaderLen)}
}

func (m *batch) reset() {
	clear(m.vec)
	m.used, m.blocks, m.vec = 0, m.blocks[:0], m.vec[:0]
}

// add appends blocks that follow each other in the torrent, which read fetches
// with one call. On an error of read nothing is appended.
func (m *batch) add(blocks []engine.Block, read func(b []byte) error) error {
	n := 0
	for _, b := range blocks {
		n += int(b.Length)
	}
	headers := len(blocks) * wire.PieceHeaderLen
	start := m.used
	data := m.mem[start+headers : start+headers+n]
	if err := read(data); err != nil {
		return err
	}
	if n < len(blocks)*smallBlock {
		// Headers and blocks take turns. A block never moves to the right, so it
		// overwrites none that has yet to move.
		to := start
		for _, b := range blocks {
			wire.AppendPieceHeader(m.mem[to:to], b.Piece, b.Begin, int(b.Length))
			to += wire.PieceHeaderLen
			to += copy(m.mem[to:], data[:b.Length])
			data = data[b.Length:]
		}
		m.extend(start, to)
	} else {
		h, d := start, start+headers
		for _, b := range blocks {
			wire.AppendPieceHeader(m.mem[h:h], b.Piece, b.Begin, int(b.Length))
			m.extend(h, h+wire.PieceHeaderLen)
			m.extend(d, d+int(b.Length))
			h += wire.PieceHeaderLen
			d += int(b.Length)
		}
	}
	m.used = start + headers + n
	m.blocks = append(m.blocks, blocks...)
	return nil
}

// extend appends mem[from:to] to the stream: to its last stretch, if it continues
// that.
func (m *batch) extend(from, to int) {
	if k := len(m.vec) - 1; k >= 0 && m.end == from {
		m.vec[k] = m.vec[k][:len(m.vec[k])+to-from]
	} else {
		m.vec = append(m.vec, m.mem[from:to])
	}
	m.end = to
}

// appendStream appends the bytes from..to of the stream to b.
func (m *batch) appendStream(b []byte, from, to int) []byte {
	for _, v := range m.vec {
		if from < len(v) && to > 0 {
			b = append(b, v[max(from, 0):min(to, len(v))]...)
		}
		from, to = from-len(v), to-len(v)
	}
	return b
}

// whole returns how many blocks the first n bytes of the stream hold entirely,
// and how many bytes of the next one.
func (m *batch) whole(n int) (blocks, rest int) {
	for blocks < len(m.blocks) {
		size := wire.PieceHeaderLen + int(m.blocks[blocks].Length)
		if n < size {
			break
		}
		n -= size
		blocks++
	}
	return blocks, n
}

// messageBytes returns the length of the piece messages of blocks.
func messageBytes(blocks []engine.Block) (n int) {
	for _, b := range blocks {
		n += wire.PieceHeaderLen + int(b.Length)
	}
	return n
}

// neighbours returns how many of the blocks follow each other in the torrent and
// have no more than size bytes together.
func neighbours(blocks []engine.Block, size int, pieceLength int64) (n int) {
	var end int64
	for ; n < len(blocks); n++ {
		b := blocks[n]
		off := int64(b.Piece)*pieceLength + int64(b.Begin)
		if size -= int(b.Length); size < 0 || n > 0 && off != end {
			break
		}
		end = off + int64(b.Length)
	}
	return n
}
