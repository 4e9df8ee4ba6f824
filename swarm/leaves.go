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
	release := t.cfg.Shared.startLeaves()
	defer release()
	leaves, err := t.leavesOf(int(block.Piece))
	if err != nil {
		t.storageFailed(err, item{ev: ev})
		return
	}
	ev.Leaves, ev.OK = leaves, true
	t.inbox.post(item{ev: ev})
}
