package engine

import (
	"testing"
	"time"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// A peer that lies about the blocks of an outdated piece is banned, and another one is asked. If the old data
// changes after it was compared, the piece is requested as a whole, and no peer is blamed.
func TestOutdatedPiecesWithLiarsAndChanges(t *testing.T) {
	info, data := v2Info(t)
	const piece = 0 // of two blocks
	r := &rig{t: t, now: 1}
	r.e = New(Config{InfoHash: info.Hash, InfoHashV2: info.HashV2, Budget: 64}, 0)
	wanted, outdated := bitset.New(info.NumPieces()), bitset.New(info.NumPieces())
	wanted.Add(piece)
	outdated.Add(piece)
	r.step(&EvInfo{Info: info, Wanted: wanted, Outdated: outdated})
	var res wire.Reserved
	res.SetFast()
	join := func() Conn {
		c := r.join(EvConnected{Reserved: res, V2: true})
		r.msg(c, wire.Msg{Type: wire.HaveAll}, wire.Msg{Type: wire.Unchoke})
		return c
	}
	leaves := metainfo.Leaves(nil, data[:info.DataSize(piece)])
	// answer answers the request for leaves that was sent to c, and returns what follows.
	answer := func(c Conn, cmds []Command, wrong byte) []Command {
		t.Helper()
		if n := len(of(cmds, CmdRequest)); n > 0 {
			t.Fatalf("%d blocks are requested before they are compared", n)
		}
		for _, m := range sent(t, cmds, c) {
			if m.Type == wire.HashRequest {
				q, _ := hashMsg(t, m)
				b, ok := info.LeafHashes(nil, q, leaves)
				if !ok {
					t.Fatalf("%+v asks for no leaves", q)
				}
				b[40] ^= wrong
				r.msg(c, hashes(wire.Hashes, q, b))
				return r.drain()
			}
		}
		t.Fatal("no leaves were requested")
		return nil
	}
	liar := join()
	cmds := answer(liar, r.drain(), 1)
	if f := closed(cmds, liar); f != FaultBanned || len(of(cmds, CmdCompare)) > 0 {
		t.Fatalf("the liar: %v", f)
	}
	honest := join()
	cmds = of(answer(honest, r.drain(), 0), CmdCompare)
	if len(cmds) != 1 || cmds[0].Block.Piece != piece || len(cmds[0].Leaves) != 2 {
		t.Fatalf("%+v", cmds)
	}
	kept := bitset.New(2)
	kept.Add(0)
	r.step(&EvCompared{Piece: piece, Kept: kept})
	// fetch delivers what is requested, and lets the hash of the piece be right or wrong.
	fetch := func(ok bool) (blocks int) {
		for range 20 {
			cmds := append(r.drain(), r.wait(time.Second)...)
			for _, x := range of(cmds, CmdRequest) {
				blocks++
				r.block(BlockEvent{Kind: BlockArrived, Conn: x.Conn, Block: x.Block, Slot: x.Slot})
			}
			for _, x := range of(append(cmds, r.drain()...), CmdStore) {
				r.step(&EvStored{Slot: x.Slot, Block: x.Block})
				r.step(&EvVerified{Piece: piece, OK: ok, Sums: []uint64{1, 2}})
				return blocks
			}
		}
		t.Fatal("the piece is never stored")
		return 0
	}
	if n := fetch(false); n != 1 {
		t.Errorf("%d blocks were requested, and one is on the disk", n)
	}
	if n := fetch(true); n != 2 {
		t.Errorf("%d blocks were requested after the one on the disk has changed", n)
	}
	if s := r.e.Stats(r.now); s.Kept != 0 || s.Banned != 1 || s.HashFails != 1 {
		t.Errorf("%+v", s)
	}
}
