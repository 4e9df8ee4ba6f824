package swarm

import (
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
)

// leavesRead is how many bytes are read and hashed at once.
const leavesRead = 256 << 10

// leaves reads a piece and hashes its blocks for a peer that requested them (BEP 52).
func (t *Torrent) leaves(conn engine.Conn, block engine.Block, q metainfo.HashRequest) {
	ev := &engine.EvLeaves{Conn: conn, Block: block, Hash: q}
	p := int(block.Piece)
	b := make([]byte, min(t.info.DataSize(p), leavesRead))
	off, size := int64(p)*t.info.PieceLength, t.info.DataSize(p)
	for size > 0 {
		b = b[:min(size, int64(len(b)))]
		if err := t.readAt(b, off); err != nil {
			t.storageFailed(err, item{ev: ev})
			return
		}
		ev.Leaves = metainfo.Leaves(ev.Leaves, b)
		off, size = off+int64(len(b)), size-int64(len(b))
	}
	ev.OK = true
	t.inbox.post(item{ev: ev})
}
