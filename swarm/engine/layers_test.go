package engine

import (
	"os"
	"slices"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// v2Info is a torrent that libtorrent made, v2 alone, with its layers and its data.
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

// hashMsg is the body of a hash message that was sent.
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

// BEP 52: the piece layers come from peers, proven by the roots: who gives wrong
// ones is banned, who rejects is passed over, and the metadata is complete when
// all are there.
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
		t.Error("another than the liar is closed, or the liar is not")
	}
}

// A block that is bad is known by the leaves of its piece: who sent it is banned
// before a good copy has come, and who sent the others is not.
func TestBEP52ALiarIsKnownByItsFirstBadBlock(t *testing.T) {
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
	// Both give to one piece of two blocks, by hand.
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
			// The second block comes from the liar: the first one lets it go.
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
		t.Fatal("nobody is asked for the leaves")
	}
	if closed(r.drain(), liar) != FaultBanned || r.e.conns[honest].closing {
		t.Error("not the liar alone is banned")
	}
	if len(r.e.blame.suspects) != 0 {
		t.Error("the case is still open")
	}
}

// A peer that begins with the link of a v2 torrent has to ask for hashes before it knows how
// many pieces there are, and says what it has after that.
func TestHashRequestsMayPrecedeTheBitfield(t *testing.T) {
	info, _ := v2Info(t)
	for _, m := range []wire.Msg{{Type: wire.HaveNone}, {Type: wire.Bitfield, Payload: make([]byte, (info.NumPieces()+7)/8)}} {
		r := &rig{t: t, now: 1}
		r.e = New(Config{InfoHash: info.Hash, InfoHashV2: info.HashV2, Budget: 8}, 0)
		r.step(&EvInfo{Info: info, Have: full(info.NumPieces())})
		var res wire.Reserved
		res.SetFast()
		c := r.join(EvConnected{V2: true, Reserved: res})
		for _, q := range metainfo.NewLayers(info).Asks() {
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

// BEP 52: hashes are given of what we have, leaves are computed, the rest is
// rejected, and only over a v2 connection.
func TestBEP52HashesAreServed(t *testing.T) {
	info, data := v2Info(t)
	r := &rig{t: t, now: 1}
	r.e = New(Config{InfoHash: info.Hash, InfoHashV2: info.HashV2, Budget: 8}, 0)
	r.step(&EvInfo{Info: info, Have: full(info.NumPieces())})
	c := r.join(EvConnected{V2: true})
	for _, q := range metainfo.NewLayers(info).Asks() {
		r.msg(c, hashes(wire.HashRequest, q, nil))
		ms := sent(t, r.drain(), c)
		last := ms[len(ms)-1]
		if got, b := hashMsg(t, last); last.Type != wire.Hashes || got != q || len(b) == 0 {
			t.Errorf("%+v is answered by %v", q, last.Type)
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
		t.Errorf("leaves are answered by %v with %d bytes", ms[0].Type, len(b))
	}
	q.Root[0] ^= 1
	r.msg(c, hashes(wire.HashRequest, q, nil))
	if ms := sent(t, r.drain(), c); len(ms) != 1 || ms[0].Type != wire.HashReject {
		t.Errorf("a request for what we have not is answered by %v", typesOf(ms))
	}
	// Whoever asks for the same again and again gets it twice and some, and then as much
	// as it sends.
	asked, drawn := 0, 0
	ask := metainfo.NewLayers(info).Asks()[0]
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
		t.Errorf("%d bytes of requests drew %d, at most %d", asked, drawn, most)
	}
	v1 := r.join(EvConnected{})
	r.msg(v1, hashes(wire.HashRequest, q, nil))
	if closed(r.drain(), v1) != FaultProtocol {
		t.Error("a v1 peer may ask for hashes")
	}
}
