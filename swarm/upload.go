package swarm

import (
	"net"

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
	sh := c.t.cfg.Shared
	u := sh.uploads.get(c.t.ctx.Done())
	if u == nil {
		return 0, net.ErrClosed
	}
	if err := c.readBlocks(u, blocks); err != nil {
		sh.uploads.put(u)
		n := run(blocks, uploadBatch, c.t.info.PieceLength)
		lost := make([]engine.Event, n)
		for i, b := range blocks[:n] {
			lost[i] = engine.Event{Kind: engine.EvStorageFailed, Conn: c.id, Slot: engine.NoSlot, Block: b}
		}
		c.t.storageFailed(err, lost...)
		return n, nil
	}
	whole, rest, err := c.writeBlocks(u)
	u.done = u.done[:0]
	for _, b := range blocks[:whole] {
		u.done = append(u.done, c.uploaded(b))
	}
	c.t.inbox.post(u.done...)
	sh.uploads.put(u)
	if err != nil || rest == nil {
		return whole, err
	}
	if err := c.writeBytes(rest); err != nil {
		return whole, err
	}
	c.t.inbox.post(c.uploaded(blocks[whole]))
	return whole + 1, nil
}

func (c *conn) uploaded(b engine.Block) item {
	return item{ev: engine.Event{Kind: engine.EvUploaded, Conn: c.id, Block: b}}
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
	sh, pieceLength := c.t.cfg.Shared, c.t.info.PieceLength
	u.blocks, u.headers, u.vec = u.blocks[:0], u.headers[:0], u.vec[:0]
	size := 0
	limit := int(blocks[0].Length)
	if c.raw != nil {
		limit = max(c.out.batch, limit)
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
		sh.disk <- struct{}{}
		err := c.t.content.Storage.ReadAt(data, int64(more[0].Piece)*pieceLength+int64(more[0].Begin))
		<-sh.disk
		if err != nil {
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

// writeBlocks writes what the socket takes: n whole blocks, and perhaps a part
// of the next. rest is a copy of what is lacking of that one, or of the first if
// nothing was taken; nil if nothing is lacking.
func (c *conn) writeBlocks(u *uploadBuffer) (n int, rest []byte, err error) {
	sent := 0
	if c.raw != nil {
		if sent, err = c.raw.tryWriteVec(u.vec); err != nil {
			return 0, nil, err
		}
	}
	left := sent
	for n < len(u.blocks) && left >= wire.PieceHeaderLen+int(u.blocks[n].Length) {
		left -= wire.PieceHeaderLen + int(u.blocks[n].Length)
		n++
	}
	if n == len(u.blocks) {
		c.out.batch = min(2*c.out.batch, uploadBatch)
		return n, nil, nil
	}
	c.out.batch = max(min(sent, c.out.batch), minBatch)
	if left > 0 || n == 0 {
		next := append(append([]byte(nil), u.vec[2*n]...), u.vec[2*n+1]...)
		rest = next[left:]
	}
	return n, rest, nil
}
