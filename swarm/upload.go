package swarm

import (
	"net"
	"slices"

	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// uploadBatch is how much is read and written at once: a few system calls for
// many blocks, and yet in the second-level cache between the two.
const uploadBatch = 256 << 10

// minBatch is how far a batch shrinks for a socket that takes little.
const minBatch = 64 << 10

// An uploadBuffer is what one batch needs.
type uploadBuffer struct {
	data    []byte         // uploadBatch bytes
	blocks  []engine.Block // that were read
	headers []byte
	vec     [][]byte // header, block, header, block ...
	done    []item
}

// upload sends the first of these blocks, as many as fit a batch, and tells the
// engine; n is how many are done with. It is the one place that decides how
// bytes get from storage to a socket.
//
// Buffers are few and shared, so none is held while a slow peer makes room: what
// the socket does not take at once is read again later, but for the rest of a
// block that is half on its way.
func (c *conn) upload(blocks []engine.Block) (n int, err error) {
	if !c.t.up.Wait(c.gone, wire.PieceHeaderLen+int(blocks[0].Length)) {
		return 0, net.ErrClosed
	}
	sh := c.t.cfg.Shared
	u := sh.uploads.get(c.t.ctx.Done())
	if u == nil {
		return 0, net.ErrClosed
	}
	if err := c.readBlocks(u, blocks); err != nil {
		sh.uploads.put(u)
		n := run(blocks, uploadBatch, c.t.info.PieceLength)
		lost := make([]item, n)
		for i, b := range blocks[:n] {
			lost[i] = item{block: engine.BlockEvent{Kind: engine.BlockUnread, Conn: c.id, Block: b}}
		}
		c.t.storageFailed(err, lost...)
		return n, nil
	}
	n, begun, rest, err := c.writeBlocks(u)
	c.uploaded(u, blocks[:n])
	sh.uploads.put(u)
	if err != nil || begun == 0 {
		return n, err
	}
	if err := c.writeBytes(rest); err != nil {
		return n, err
	}
	c.uploaded(nil, blocks[n:n+begun])
	return n + begun, nil
}

// uploaded tells the engine, by way of u's scratch if there is one.
func (c *conn) uploaded(u *uploadBuffer, blocks []engine.Block) {
	var items []item
	if u != nil {
		items = u.done[:0]
	}
	for _, b := range blocks {
		items = append(items, item{block: engine.BlockEvent{Kind: engine.BlockUploaded, Conn: c.id, Block: b}})
	}
	c.t.inbox.post(items...)
	if u != nil {
		u.done = items
	}
}

// run is how many of the blocks follow each other in the torrent and have room
// in size bytes together.
func run(blocks []engine.Block, size int, pieceLength int64) (n int) {
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

// readBlocks reads a batch, neighbours at once. It fails if the first could not
// be read; what could not behind others waits for its turn.
func (c *conn) readBlocks(u *uploadBuffer, blocks []engine.Block) error {
	pieceLength := c.t.info.PieceLength
	u.blocks, u.headers, u.vec = u.blocks[:0], u.headers[:0], u.vec[:0]
	size := 0
	limit := int(blocks[0].Length)
	if c.raw != nil {
		limit = max(c.batch(), limit)
	}
	for len(u.blocks) < len(blocks) {
		more := blocks[len(u.blocks):]
		k := run(more, limit-size, pieceLength)
		if k == 0 {
			break
		}
		n := 0
		for _, b := range more[:k] {
			n += int(b.Length)
		}
		data := u.data[size : size+n]
		if err := c.t.readAt(data, int64(more[0].Piece)*pieceLength+int64(more[0].Begin)); err != nil {
			if size == 0 {
				return err
			}
			break
		}
		size += n
		for _, b := range more[:k] {
			h := len(u.headers)
			u.headers = wire.AppendPieceHeader(u.headers, b.Piece, b.Begin, int(b.Length))
			u.vec = append(u.vec, u.headers[h:len(u.headers):len(u.headers)], data[:b.Length])
			data = data[b.Length:]
		}
		u.blocks = append(u.blocks, more[:k]...)
	}
	return nil
}

// batch is how much is read at once for this peer: not more than has been paid
// for, and what is encrypted has to be sent, so it is never more than may wait.
func (c *conn) batch() int {
	switch {
	case c.t.up.Limited():
		return 0
	case c.crypt != nil:
		return minBatch
	}
	return c.out.batch
}

// writeBlocks writes what the socket takes: n whole blocks. Begun are as many
// more, of which rest is a copy of what is lacking: the one that was cut, or the
// first if nothing was taken, or all that are encrypted.
func (c *conn) writeBlocks(u *uploadBuffer) (n, begun int, rest []byte, err error) {
	if c.crypt != nil {
		for _, b := range u.vec {
			c.seal(b)
		}
	}
	sent := 0
	if c.raw != nil {
		if sent, err = c.raw.tryWriteVec(u.vec); err != nil {
			return 0, 0, nil, err
		}
	}
	left := sent
	for n < len(u.blocks) && left >= wire.PieceHeaderLen+int(u.blocks[n].Length) {
		left -= wire.PieceHeaderLen + int(u.blocks[n].Length)
		n++
	}
	if n == len(u.blocks) {
		c.out.batch = min(2*c.out.batch, uploadBatch)
		return n, 0, nil, nil
	}
	c.out.batch = max(min(sent, c.out.batch), minBatch)
	switch {
	case c.crypt != nil:
		begun = len(u.blocks) - n
	case left > 0 || n == 0:
		begun = 1
	default:
		return n, 0, nil, nil
	}
	next := slices.Concat(u.vec[2*n : 2*(n+begun)]...)
	return n, begun, next[left:], nil
}
