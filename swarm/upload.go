package swarm

import (
	"net"

	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

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
		n := neighbours(blocks, batchBytes, c.t.info.PieceLength)
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
func (c *conn) uploaded(u *batch, blocks []engine.Block) {
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

// readBlocks reads a batch, neighbours at once. It fails if the first could not
// be read; what could not behind others waits for its turn.
func (c *conn) readBlocks(u *batch, blocks []engine.Block) error {
	pieceLength := c.t.info.PieceLength
	u.reset()
	limit := int(blocks[0].Length)
	if c.raw != nil {
		limit = max(c.batch(), limit)
	}
	blocks = blocks[:min(len(blocks), batchBlocks)]
	for len(blocks) > 0 {
		k := neighbours(blocks, limit, pieceLength)
		if k == 0 {
			break
		}
		first := blocks[0]
		err := u.add(blocks[:k], func(b []byte) error {
			limit -= len(b)
			return c.t.readAt(b, int64(first.Piece)*pieceLength+int64(first.Begin))
		})
		if err != nil {
			if len(u.blocks) == 0 {
				return err
			}
			break
		}
		blocks = blocks[k:]
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
		return minBatchBytes
	}
	return c.out.batch
}

// writeBlocks writes what the socket takes: n whole blocks. Begun are as many
// more, of which rest is a copy of what is lacking: the one that was cut, or the
// first if nothing was taken, or all that are encrypted.
func (c *conn) writeBlocks(u *batch) (n, begun int, rest []byte, err error) {
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
	n, cut := u.whole(sent)
	if n == len(u.blocks) {
		c.out.batch = min(2*c.out.batch, batchBytes)
		return n, 0, nil, nil
	}
	c.out.batch = max(min(sent, c.out.batch), minBatchBytes)
	switch {
	case c.crypt != nil:
		begun = len(u.blocks) - n
	case cut > 0 || n == 0:
		begun = 1
	default:
		return n, 0, nil, nil
	}
	return n, begun, u.appendStream(nil, sent, sent-cut+messageBytes(u.blocks[n:n+begun])), nil
}
