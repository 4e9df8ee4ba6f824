package engine

import (
	"os"
	"slices"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// v2Info returns a v2-only torrent made by libtorrent, with its layers and its data.
func v2Info(t testing.TB) (*metainfo.Info, []byte) {
	t.Helper()
	b, err := os.ReadFile("../../magnet/metainfo/testdata/v2-tree.torrent")
	if err != nil {
		t.Fatal(err)
	}
	tt, err := metainfo.ParseTorrent(b)
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	for _, f := range tt.Info.Files {
		b := make([]byte, f.Length)
		for i := range b {
			if !f.Pad {
				b[i] = byte(i*i*7 + int(f.Length) + i>>8)
			}
		}
		data = append(data, b...)
	}
	return tt.Info, data
}

// hashMsg parses a sent hash message.
func hashMsg(t testing.TB, m wire.Msg) (metainfo.HashRequest, []byte) {
	t.Helper()
	h, err := wire.ParseHash(&m)
	if err != nil {
		t.Fatal(err)
	}
	return metainfo.HashRequest{Root: h.Root, Base: h.Base, Index: h.Index, Length: h.Length, ProofLayers: h.ProofLayers}, h.Hashes
}

func hashes(t wire.Type, q metainfo.HashRequest, b []byte) wire.Msg {
	return wire.Msg{Type: t, Payload: wire.AppendHash(nil, wire.HashMsg{Root: q.Root, Base: q.Base, Index: q.Index, Length: q.Length, ProofLayers: q.ProofLayers, Hashes: b})}
}

// BEP 52: piece layers are fetched from peers and verified against the roots. A peer that
// sends wrong ones is banned, one that rejects is paused, and the metadata is complete
// when no layer is missing.
func TestBEP52LayersComeBeforePieces(t *testing.T) {
	info, _ := v2Info(t)
	r := &rig{t: t, now: 1}
	r.e = New(Config{InfoHash: info.Hash, InfoHashV2: info.HashV2, Budget: 8}, 0)
	var res wire.Reserved
	res.SetExtended()
	var all []Command
	peers := []Conn{r.join(EvConnected{Reserved: res, V2: true}), r.join(EvConnected{Reserved: res, V2: true}), r.join(EvConnected{Reserved: res, V2: true})}
	ext := wire.AppendExtHandshake(nil, wire.ExtHandshake{UtMetadata: 7, MetadataSize: int64(len(info.Raw))})
	r.msg(peers[0], wire.Msg{Type: wire.Extended, Payload: ext})
	r.drain()
	r.msg(peers[0], wire.Msg{Type: wire.Extended, Ext: wire.ExtMetadata,
		Payload: wire.AppendMetadata(nil, wire.MetadataMsg{Type: wire.MetadataData, TotalSize: int64(len(info.Raw)), Data: info.Raw})})
	all = r.drain()
	liar, refuser, honest := peers[0], peers[1], peers[2]
	known := false
	for range 100 {
		for _, c := range of(all, CmdMetadata) {
			known = true
			if c.Info.LacksLayers() || c.Info.Hash != info.Hash {
				t.Fatal("the metadata is not complete")
			}
		}
		if known {
			break
		}
		for _, c := range peers {
			for _, m := range sent(t, all, c) {
				if m.Type != wire.HashRequest {
					continue
				}
				q, _ := hashMsg(t, m)
				answer, ok := info.Hashes(nil, q)
				if !ok {
					t.Fatalf("%+v cannot be answered", q)
				}
				switch c {
				case liar:
					answer[5] ^= 1
					r.msg(c, hashes(wire.Hashes, q, answer))
				case refuser:
					r.msg(c, hashes(wire.HashReject, q, nil))
				case honest:
					r.msg(c, hashes(wire.Hashes, q, answer))
				}
			}
		}
		all = append(r.drain(), r.wait(time.Second)...)
	}
	if !known {
		t.Fatal("the layers never came")
	}
	if p := r.e.conns[liar]; !p.closing || r.e.conns[refuser].closing || r.e.conns[honest].closing {
		t.Error("not exactly the liar was closed")
	}
}

// The leaves of a piece show which of its blocks is bad. Its sender is banned before a
// good copy has arrived, and the senders of the others are not.
func TestBEP52LiarIsFoundByItsFirstBadBlock(t *testing.T) {
	info, data := v2Info(t)
	r := &rig{t: t, now: 1}
	r.e = New(Config{InfoHash: info.Hash, InfoHashV2: info.HashV2, Budget: 64}, 0)
	r.step(&EvInfo{Info: info})
	var res wire.Reserved
	res.SetFast()
	join := func() Conn {
		c := r.join(EvConnected{Reserved: res, V2: true})
		r.msg(c, wire.Msg{Type: wire.HaveAll}, wire.Msg{Type: wire.Unchoke})
		return c
	}
	honest, liar := join(), join()
	// Both send a block of a piece of two blocks.
	const piece = 0
	var cmds []Command
	got := map[uint32]Conn{}
	for range 20 {
		cmds = append(r.drain(), r.wait(time.Second)...)
		for _, x := range of(cmds, CmdRequest) {
			if x.Block.Piece != piece {
				r.block(BlockEvent{Kind: BlockArrived, Conn: x.Conn, Block: x.Block, Slot: x.Slot})
				continue
			}
			// The second block must come from the liar, so the other peer rejects it.
			if x.Block.Begin > 0 && x.Conn == honest {
				r.msg(honest, wire.Msg{Type: wire.Reject, Index: x.Block.Piece, Begin: x.Block.Begin, Length: x.Block.Length})
				continue
			}
			if x.Block.Begin == 0 && x.Conn == liar {
				r.msg(liar, wire.Msg{Type: wire.Reject, Index: x.Block.Piece, Begin: x.Block.Begin, Length: x.Block.Length})
				continue
			}
			got[x.Block.Begin] = x.Conn
			r.block(BlockEvent{Kind: BlockArrived, Conn: x.Conn, Block: x.Block, Slot: x.Slot})
		}
		if len(got) == 2 {
			break
		}
	}
	if got[0] != honest || got[blockSize] != liar {
		t.Fatal("the blocks came from", got)
	}
	bad := slices.Clone(data[:info.DataSize(piece)])
	bad[blockSize+9] ^= 1
	cmds = append(cmds, r.drain()...)
	for _, x := range of(cmds, CmdStore) {
		if x.Block.Piece != piece {
			continue
		}
		r.step(&EvStored{Slot: x.Slot, Block: x.Block})
		r.step(&EvVerified{Piece: piece, Sums: []uint64{1, 2}, Leaves: metainfo.Leaves(nil, bad)})
	}
	cmds = r.drain()
	asked := false
	for _, c := range []Conn{honest, liar} {
		for _, m := range sent(t, cmds, c) {
			if m.Type != wire.HashRequest {
				continue
			}
			asked = true
			q, _ := hashMsg(t, m)
			answer, ok := info.LeafHashes(nil, q, metainfo.Leaves(nil, data[:info.DataSize(piece)]))
			if !ok {
				t.Fatalf("%+v asks for no leaves", q)
			}
			r.msg(c, hashes(wire.Hashes, q, answer))
		}
	}
	if !asked {
		t.Fatal("the leaves were not requested")
	}
	if closed(r.drain(), liar) != FaultBanned || r.e.conns[honest].closing {
		t.Error("not exactly the liar was banned")
	}
	if len(r.e.blame.suspects) != 0 {
		t.Error("the evidence was not dropped")
	}
}

// A peer that starts from the link of a v2 torrent has to request hashes before it knows
// the number of pieces, and can send its bitfield only afterwards.
func TestHashRequestsMayPrecedeTheBitfield(t *testing.T) {
	info, _ := v2Info(t)
	for _, m := range []wire.Msg{{Type: wire.HaveNone}, {Type: wire.Bitfield, Payload: make([]byte, (info.NumPieces()+7)/8)}} {
		r := &rig{t: t, now: 1}
		r.e = New(Config{InfoHash: info.Hash, InfoHashV2: info.HashV2, Budget: 8}, 0)
		r.step(&EvInfo{Info: info, Have: full(info.NumPieces())})
		var res wire.Reserved
		res.SetFast()
		c := r.join(EvConnected{V2: true, Reserved: res})
		for _, q := range metainfo.NewLayers(info).Requests() {
			r.msg(c, hashes(wire.HashRequest, q, nil))
		}
		r.msg(c, m, wire.Msg{Type: wire.Interested})
		if f := closed(r.drain(), c); f != FaultNone {
			t.Errorf("%v after hash requests: %v", m.Type, f)
		}
		r.msg(c, m)
		if f := closed(r.drain(), c); m.Type == wire.HaveNone && f != FaultProtocol {
			t.Errorf("a second %v: %v", m.Type, f)
		}
	}
}

// BEP 52: we send hashes that we have, compute leaves, and reject everything else;
// requests are allowed only over a v2 connection.
func TestBEP52HashesAreServed(t *testing.T) {
	info, data := v2Info(t)
	r := &rig{t: t, now: 1}
	r.e = New(Config{InfoHash: info.Hash, InfoHashV2: info.HashV2, Budget: 8}, 0)
	r.step(&EvInfo{Info: info, Have: full(info.NumPieces())})
	c := r.join(EvConnected{V2: true})
	for _, q := range metainfo.NewLayers(info).Requests() {
		r.msg(c, hashes(wire.HashRequest, q, nil))
		ms := sent(t, r.drain(), c)
		last := ms[len(ms)-1]
		if got, b := hashMsg(t, last); last.Type != wire.Hashes || got != q || len(b) == 0 {
			t.Errorf("%+v was answered with %v", q, last.Type)
		}
	}
	q, _ := info.LeafRequest(0)
	r.msg(c, hashes(wire.HashRequest, q, nil))
	cmds := of(r.drain(), CmdLeaves)
	if len(cmds) != 1 {
		t.Fatal("the leaves are not computed")
	}
	r.step(&EvLeaves{Conn: c, Block: cmds[0].Block, Hash: cmds[0].Hash, OK: true, Leaves: metainfo.Leaves(nil, data[:info.DataSize(0)])})
	ms := sent(t, r.drain(), c)
	if got, b := hashMsg(t, ms[0]); ms[0].Type != wire.Hashes || got != q || len(b) != 32*int(q.Length) {
		t.Errorf("leaves were answered with %v of %d bytes", ms[0].Type, len(b))
	}
	q.Root[0] ^= 1
	r.msg(c, hashes(wire.HashRequest, q, nil))
	if ms := sent(t, r.drain(), c); len(ms) != 1 || ms[0].Type != wire.HashReject {
		t.Errorf("a request for unknown hashes was answered with %v", typesOf(ms))
	}
	// Repeated requests for the same hashes are served about twice. Then the answers are
	// limited to the size of the requests.
	asked, drawn := 0, 0
	ask := metainfo.NewLayers(info).Requests()[0]
	for range 20_000 {
		m := hashes(wire.HashRequest, ask, nil)
		asked += len(m.Payload)
		r.msg(c, m)
		for _, m := range sent(t, r.drain(), c) {
			if m.Type == wire.HashReject || m.Type == wire.Hashes {
				drawn += len(m.Payload)
			}
		}
	}
	if most := asked + 32*(hashBurst+2*info.NumPieces()); drawn > most {
		t.Errorf("%d bytes of requests yielded %d, more than %d", asked, drawn, most)
	}
	v1 := r.join(EvConnected{})
	r.msg(v1, hashes(wire.HashRequest, q, nil))
	if closed(r.drain(), v1) != FaultProtocol {
		t.Error("a v1 peer may request hashes")
	}
}
