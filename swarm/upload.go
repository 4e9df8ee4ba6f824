package swarm

import (
	"net"
	"time"

	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// uploadBatch is how much is read and written at once: a few system calls for
// many blocks, and yet in the second-level cache between the two.
const uploadBatch = 256 << 10

// An uploadBuffer is what one batch needs.
type uploadBuffer struct {
	data    []byte // uploadBatch bytes
	headers []byte
	vec     net.Buffers
	out     net.Buffers // vec, as WriteTo consumes it
	done    []item
}

// upload sends the first of these blocks, as many as fit a batch, and tells the
// engine. n is how many are done with. It is the one place that decides how
// bytes get from storage to a socket.
func (c *conn) upload(blocks []engine.Block) (n int, err error) {
	sh := c.t.cfg.Shared
	u := sh.uploads.get(c.t.ctx.Done())
	if u == nil {
		return 0, net.ErrClosed
	}
	defer sh.uploads.put(u)
	st, info := c.t.content.Storage, c.t.info

	u.headers, u.vec, u.done = u.headers[:0], u.vec[:0], u.done[:0]
	size := 0
	for n < len(blocks) && size+int(blocks[n].Length) <= uploadBatch && n < 64 {
		// Neighbours in the torrent are one read.
		first, from := n, size
		off := int64(blocks[n].Piece)*info.PieceLength + int64(blocks[n].Begin)
		for end := off; n < len(blocks) && size+int(blocks[n].Length) <= uploadBatch && n < 64; n++ {
			b := blocks[n]
			if int64(b.Piece)*info.PieceLength+int64(b.Begin) != end {
				break
			}
			end += int64(b.Length)
			size += int(b.Length)
		}
		sh.disk <- struct{}{}
		err := st.ReadAt(u.data[from:size], off)
		<-sh.disk
		if err != nil {
			var lost []engine.Event
			for _, b := range blocks[first:n] {
				lost = append(lost, engine.Event{Kind: engine.EvStorageFailed, Conn: c.id, Slot: engine.NoSlot, Block: b})
			}
			c.t.storageFailed(err, lost...)
			break // what was read before goes out
		}
		for _, b := range blocks[first:n] {
			h := len(u.headers)
			u.headers = wire.AppendPieceHeader(u.headers, b.Piece, b.Begin, int(b.Length))
			u.vec = append(u.vec, u.headers[h:len(u.headers):len(u.headers)], u.data[from:from+int(b.Length)])
			from += int(b.Length)
			u.done = append(u.done, item{ev: engine.Event{Kind: engine.EvUploaded, Conn: c.id, Block: b}})
		}
	}
	if len(u.vec) == 0 {
		return n, nil
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return n, err
	}
	u.out = u.vec
	if _, err := u.out.WriteTo(c.nc); err != nil {
		return n, err
	}
	c.t.inbox.post(u.done...)
	return n, nil
}
