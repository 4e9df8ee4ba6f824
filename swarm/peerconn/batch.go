package peerconn

import (
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

const (
	// batchBytes is how much payload is read and written at once: few system calls for
	// many blocks, but small enough for the second-level cache.
	batchBytes = 256 << 10
	// minBatchBytes is the smallest batch for a peer that accepts little.
	minBatchBytes = 64 << 10
	// maxEncryptedBytes is the largest batch of an encrypted connection, where everything
	// that has been encrypted must be sent in order. For a peer that accepts little, a
	// batch is one block, so that control messages wait for no more than that.
	maxEncryptedBytes = 64 << 10
	// batchBlocks is the maximal number of blocks in a batch. It bounds the memory for
	// headers.
	batchBlocks = 1024
	// smallBlock is the length in bytes below which a block is moved next to its header,
	// instead of occupying two entries of a vectored write. A system accepts 1,024
	// entries (IOV_MAX); a batch has at most 2*batchBytes/smallBlock.
	smallBlock = 4 << 10
)

// batch holds piece messages in memory: a byte stream in a few segments.
type batch struct {
	mem      []byte // batchBytes plus space for the headers
	used     int    // bytes of mem
	blocks   []engine.Block
	segments [][]byte       // the stream, as segments of mem
	end      int            // where the last segment ends in mem
	want     []engine.Block // scratch: blocks to be added
}

func newBatch() *batch {
	return &batch{mem: make([]byte, batchBytes+batchBlocks*wire.PieceHeaderLen)}
}

func (m *batch) reset() {
	clear(m.segments)
	m.used, m.blocks, m.segments = 0, m.blocks[:0], m.segments[:0]
}

// add appends blocks that are contiguous in the torrent, which one call of read fetches.
// If read fails, nothing is appended.
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
		// Interleave headers and blocks. A block never moves to the right, so it does not
		// overwrite one that has yet to be moved.
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

// extend appends mem[from:to] to the stream, as part of the last segment if it is
// contiguous.
func (m *batch) extend(from, to int) {
	if k := len(m.segments) - 1; k >= 0 && m.end == from {
		m.segments[k] = m.segments[k][:len(m.segments[k])+to-from]
	} else {
		m.segments = append(m.segments, m.mem[from:to])
	}
	m.end = to
}

// appendStream appends the bytes [from:to] of the stream to b.
func (m *batch) appendStream(b []byte, from, to int) []byte {
	for _, v := range m.segments {
		if from < len(v) && to > 0 {
			b = append(b, v[max(from, 0):min(to, len(v))]...)
		}
		from, to = from-len(v), to-len(v)
	}
	return b
}

// completeBlocks returns how many complete blocks the first n bytes of the stream
// contain, and how many bytes of the next one.
func (m *batch) completeBlocks(n int) (blocks, rest int) {
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

// messageBytes returns the length of the piece messages for blocks.
func messageBytes(blocks []engine.Block) (n int) {
	for _, b := range blocks {
		n += wire.PieceHeaderLen + int(b.Length)
	}
	return n
}

// contiguousBlocks returns how many of the first blocks are contiguous in the torrent and
// have at most size bytes in total.
func contiguousBlocks(blocks []engine.Block, size int, pieceLength int64) (n int) {
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
