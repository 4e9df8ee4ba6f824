package engine

import (
	"testing"

	"seedbed/swarm/wire"
)

// BEP 6: a choke rejects pending requests, and a cancel is answered, even if the block
// has been handed to the shell, which may hold many seconds of a slow uplink.
func TestBEP6ChokesAndCancelsReachHandedOverBlocks(t *testing.T) {
	r := seeding(t, Config{Uploads: 4}, 16)
	c := r.leecher(true)
	blocks := []Block{}
	for i := range uint32(8) {
		blocks = append(blocks, Block{Piece: i, Length: 16 << 10})
		r.block(BlockEvent{Kind: BlockRequested, Conn: c, Block: blocks[i]})
	}
	if got := of(r.drain(), CmdUpload); len(got) != len(blocks) {
		t.Fatalf("%d of %d blocks were handed over", len(got), len(blocks))
	}
	r.msg(c, wire.Msg{Type: wire.Cancel, Index: blocks[5].Piece, Length: blocks[5].Length})
	if got := of(r.drain(), CmdWithdraw); len(got) != 1 || got[0].Block != blocks[5] || got[0].Conn != c {
		t.Fatalf("a cancel withdrew %v", got)
	}
	r.block(BlockEvent{Kind: BlockUnsent, Conn: c, Block: blocks[5]})
	if got := sent(t, r.drain(), c); len(got) != 1 || got[0].Type != wire.Reject || got[0].Index != blocks[5].Piece {
		t.Errorf("a withdrawn block was answered with %v", got)
	}
	r.e.begin(r.now)
	r.e.choker.choke(&r.e.conns[c].choke, chokeAdapter{r.e})
	if got := of(r.drain(), CmdWithdraw); len(got) != 1 || got[0].Block.Length != 0 {
		t.Errorf("a choke withdrew %v", got)
	}
	for i, b := range blocks {
		if i != 5 {
			r.block(BlockEvent{Kind: BlockUnsent, Conn: c, Block: b})
		}
	}
	if u := &r.e.conns[c].up; u.inflight != 0 || u.handed.Len() != 0 {
		t.Errorf("%d bytes in %d blocks are counted as with the shell", u.inflight, u.handed)
	}
	r.drain()
	r.e.begin(r.now)
	r.e.choker.choke(&r.e.conns[c].choke, chokeAdapter{r.e}) // again, with nothing left
	if got := of(r.drain(), CmdWithdraw); len(got) != 0 {
		t.Errorf("an empty withdrawal: %v", got)
	}
}
