package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/swarm/wire"
)

func TestASilentPeersBlocksGoToAnother(t *testing.T) {
	r := newRig(t, Config{}, 1, 64<<10)
	a := r.seed(true)
	if n := len(of(r.drain(), CmdRequest)); n != 4 {
		t.Fatalf("%d requests", n)
	}
	b := r.connect(true)
	r.msg(b, wire.Msg{Type: wire.HaveAll})
	cmds := r.wait(snubAfter + 2*time.Second)
	if back := of(cmds, CmdCancel); len(back) < 4 {
		t.Fatalf("%d requests were withdrawn", len(back))
	}
	if p := r.e.conns[a]; !p.down.snubbed || p.down.out() > 1 {
		t.Error("the silent peer is not snubbed:", p.down.out())
	}
	r.msg(b, wire.Msg{Type: wire.Unchoke})
	r.drain()
	got := r.e.conns[b].down.out()
	if got < 3 {
		t.Error("outstanding at the other peer:", got)
	}
}

// A request that a peer dropped silently is repeated.
func TestABlockThatWasOvertakenIsAskedForAgain(t *testing.T) {
	r := newRig(t, Config{}, 50, 64<<10)
	a := r.seed(false)
	q := of(r.drain(), CmdRequest)
	lost := q[0].Block
	var back []Command
	for range 70 {
		q = q[1:]
		r.block(BlockEvent{Kind: BlockArrived, Conn: a, Block: q[0].Block, Slot: q[0].Slot})
		cmds := r.wait(time.Second)
		q = append(q, of(cmds, CmdRequest)...)
		q = append(q, of(r.verify(cmds, true, nil), CmdRequest)...)
		back = append(back, of(cmds, CmdCancel)...)
	}
	if len(back) == 0 || back[0].Block != lost {
		t.Error(back)
	}
}

func TestEndgameRequestsTwiceAndCancels(t *testing.T) {
	r := newRig(t, Config{}, 1, 128<<10)
	a := r.seed(true)
	first := of(r.drain(), CmdRequest)
	b := r.seed(true)
	second := of(r.drain(), CmdRequest)
	if len(first) != 8 || len(second) != 8 || second[0].Block != first[7].Block || second[0].Slot != first[7].Slot {
		t.Fatalf("%v then %v", first, second)
	}
	r.block(BlockEvent{Kind: BlockArrived, Conn: b, Block: second[0].Block, Slot: second[0].Slot})
	c := of(r.drain(), CmdCancel)
	if len(c) != 1 || c[0].Conn != a || c[0].Block != second[0].Block {
		t.Error(c)
	}
	// A block that crossed our cancel is useless but harmless.
	r.block(BlockEvent{Kind: BlockUnwanted, Conn: a, Block: second[0].Block})
	if w := r.e.Stats(r.now).Wasted; w != 16<<10 {
		t.Error("wasted", w)
	}
	out := r.give(a, first[:7])
	if st := of(out, CmdStore); len(st) != 1 {
		t.Fatal(out)
	}
	out = r.verify(of(out, CmdStore), true, nil)
	if len(of(out, CmdHave)) != 1 || len(of(out, CmdComplete)) != 1 {
		t.Error(out)
	}
}

func TestSoleSenderOfABadPieceIsBannedByAddress(t *testing.T) {
	r := newRig(t, Config{}, 2, 32<<10)
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(1), Source: FromDHT}}})
	a := r.seed(true)
	q := r.drain()
	other := r.seed(true)
	r.e.conns[other].down.rate.Add(r.now, 1) // so that it counts as delivering
	cmds := r.give(a, q)
	cmds = r.verify(of(cmds, CmdStore)[:1], false, func(Block) []uint64 { return []uint64{1, 2} })
	bans := of(cmds, CmdBan)
	if closed(cmds, a) != FaultBanned || len(bans) != 1 || bans[0].Addr != netip.AddrPortFrom(addrOf(1).Addr(), 0) {
		t.Fatal(cmds)
	}
	r.step(&EvClosed{Conn: a})
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: netip.AddrPortFrom(addrOf(1).Addr(), 99), Source: FromHint}, {Addr: addrOf(1), Source: FromHint}}})
	again := r.join(EvConnected{Addr: netip.AddrPortFrom(addrOf(1).Addr(), 4000), Incoming: true})
	cmds = r.wait(time.Hour)
	if len(of(cmds, CmdDial)) > 0 || closed(cmds, again) != FaultBanned {
		t.Error(cmds)
	}
}

// Two peers sent parts of a bad piece. The piece is fetched again from a third peer
// alone, with checksums. The peer whose block differs from the good copy is banned.
func TestBlameFallsOnTheBlocksThatDiffer(t *testing.T) {
	r := newRig(t, Config{}, 1, 64<<10)
	a := r.seed(true)
	q := of(r.drain(), CmdRequest)
	for _, x := range q[:2] {
		r.block(BlockEvent{Kind: BlockArrived, Conn: a, Block: x.Block, Slot: x.Slot})
	}
	r.msg(a, wire.Msg{Type: wire.Choke})
	for _, x := range q[2:] {
		r.msg(a, wire.Msg{Type: wire.Reject, Index: x.Block.Piece, Begin: x.Block.Begin, Length: x.Block.Length})
	}
	b := r.seed(true)
	cmds := r.give(b, r.drain())
	c := r.seed(true)
	cmds = r.verify(append(cmds, r.drain()...), false, func(Block) []uint64 { return []uint64{10, 11, 12, 66} })
	if len(of(cmds, CmdBan)) > 0 {
		t.Fatal("banned too soon", cmds)
	}
	asked := of(cmds, CmdRequest)
	for _, x := range asked {
		if x.Conn != c {
			t.Error("requested from one of the two senders although there is a third peer")
		}
	}
	cmds = r.give(c, cmds)
	st := of(cmds, CmdStore)
	if len(st) != 1 || !st[0].WantSums {
		t.Fatal("no checksums requested:", cmds)
	}
	cmds = r.verify(st, true, func(Block) []uint64 { return []uint64{10, 11, 12, 13} })
	if closed(cmds, b) != FaultBanned || len(of(cmds, CmdBan)) != 1 {
		t.Error(cmds)
	}
	if len(r.e.blame.suspects) != 0 || len(r.e.blame.suspectOrder) != 0 {
		t.Error("evidence was not dropped")
	}
}

func TestNothingIsRequestedWhileStorageFails(t *testing.T) {
	r := newRig(t, Config{}, 8, 32<<10)
	a := r.seed(true)
	q := of(r.drain(), CmdRequest)
	cmds := r.give(a, q[:2])
	st := of(cmds, CmdStore)
	if len(st) != 1 {
		t.Fatal(cmds)
	}
	r.step(&EvStorageFailed{})
	r.step(&EvChunkLost{Slot: st[0].Slot, Block: st[0].Block})
	b := r.seed(true)
	cmds = r.give(a, q[2:])
	cmds = append(cmds, r.wait(10*time.Second)...)
	if len(of(cmds, CmdRequest)) > 0 || len(of(cmds, CmdStore)) > 0 || len(of(cmds, CmdClose)) > 0 || !r.e.Stats(r.now).Paused {
		t.Fatal("while it fails:", cmds)
	}
	r.step(&EvStorageBack{Have: bitset.New(8)})
	cmds = r.drain()
	if len(of(cmds, CmdStore)) == 0 || len(of(cmds, CmdRequest)) == 0 {
		t.Error("after it came back:", cmds)
	}
	_ = b
}

func TestPiecesLostByStorageAreFetchedAgain(t *testing.T) {
	r := seeding(t, Config{}, 5)
	if len(of(r.drain(), CmdComplete)) != 1 {
		t.Fatal("not complete")
	}
	c := r.connect(true)
	r.msg(c, wire.Msg{Type: wire.HaveNone}, wire.Msg{Type: wire.Extended, Payload: []byte("d1:md11:lt_donthavei7eee")})
	r.drain()
	r.step(&EvStorageFailed{})
	back := full(5)
	back.Remove(3)
	r.step(&EvStorageBack{Have: back})
	ms := sent(t, r.drain(), c)
	if !slices.ContainsFunc(ms, func(m wire.Msg) bool { return m.Ext == 7 && string(m.Payload) == "\x00\x00\x00\x03" }) {
		t.Error("no lt_donthave was sent:", ms)
	}
	s := r.seed(true)
	cmds := r.give(s, r.drain())
	cmds = r.verify(cmds, true, nil)
	if len(of(cmds, CmdComplete)) != 1 {
		t.Error("not complete again:", cmds)
	}
}

// Storage that cannot be written to gets back what it lost without us. Nothing is requested, and peers know which pieces there are.
func TestPiecesLostByFixedStorageAreNotRequested(t *testing.T) {
	r := newRig(t, Config{}, 0, 0)
	r.step(&EvInfo{Info: testInfo(t, 5, 64<<10, 64<<10, false), Have: full(5), Fixed: true})
	c := r.connect(true)
	r.msg(c, wire.Msg{Type: wire.HaveNone}, wire.Msg{Type: wire.Extended, Payload: []byte("d1:md11:lt_donthavei7eee")})
	r.drain()
	back := full(5)
	back.Remove(3)
	r.step(&EvStorageBack{Have: back})
	ms := sent(t, r.drain(), c)
	if !slices.ContainsFunc(ms, func(m wire.Msg) bool { return m.Ext == 7 && string(m.Payload) == "\x00\x00\x00\x03" }) {
		t.Error("no lt_donthave was sent:", ms)
	}
	r.seed(true)
	if cmds := append(r.drain(), r.wait(time.Minute)...); len(of(cmds, CmdRequest)) > 0 {
		t.Error("requested:", cmds)
	}
	r.step(&EvStorageBack{Have: full(5)})
	ms = sent(t, append(r.drain(), r.wait(time.Second)...), c)
	if !slices.ContainsFunc(ms, func(m wire.Msg) bool { return m.Type == wire.Have && m.Index == 3 }) {
		t.Error("no have was sent:", ms)
	}
}

func TestOnlyWantedPiecesAreRequested(t *testing.T) {
	r := newRig(t, Config{}, 0, 0)
	want := bitset.New(6)
	want.Add(2)
	r.step(&EvInfo{Info: testInfo(t, 6, 16<<10, 16<<10, false), Wanted: want})
	c := r.seed(true)
	q := r.drain()
	for _, x := range of(q, CmdRequest) {
		if x.Block.Piece != 2 {
			t.Error("requested", x.Block)
		}
	}
	cmds := r.verify(r.give(c, q), true, nil)
	if len(of(cmds, CmdComplete)) != 1 || closed(cmds, c) != FaultUseless {
		t.Fatal(cmds)
	}
	r.step(&EvClosed{Conn: c})
	// More is wanted, then less while requests are outstanding.
	r.step(&EvWanted{Wanted: full(6)})
	r.seed(true)
	if n := len(of(r.drain(), CmdRequest)); n != 5 {
		t.Errorf("%d requests", n)
	}
	r.step(&EvWanted{Wanted: want})
	cmds = r.drain()
	if len(of(cmds, CmdCancel)) != 5 || len(of(cmds, CmdDropSlot)) != 5 || len(of(cmds, CmdComplete)) != 1 {
		t.Error(cmds)
	}
	if r.e.req.slots.inUse != 0 {
		t.Error("slots are still in use")
	}
}

func TestChunkThatNoPeerCanContinueIsDropped(t *testing.T) {
	r := newRig(t, Config{Budget: 1, ChunkSize: 64 << 10}, 2, 64<<10)
	a := r.connect(true)
	r.msg(a, wire.Msg{Type: wire.Bitfield, Payload: []byte{0x80}}, wire.Msg{Type: wire.Unchoke})
	r.give(a, of(r.drain(), CmdRequest)[:1])
	r.step(&EvClosed{Conn: a})
	b := r.connect(true)
	r.msg(b, wire.Msg{Type: wire.Bitfield, Payload: []byte{0x40}}, wire.Msg{Type: wire.Unchoke})
	cmds := r.drain()
	if len(of(cmds, CmdDropSlot)) != 1 || len(of(cmds, CmdRequest)) != 4 {
		t.Error(cmds)
	}
}

func TestSlotIsTakenFromACrawlingPeer(t *testing.T) {
	r := newRig(t, Config{Budget: 1, ChunkSize: 64 << 10}, 4, 64<<10)
	a := r.seed(true)
	r.drain()
	r.wait(10 * time.Second)
	b := r.seed(true)
	r.e.conns[b].down.rate.Add(r.now, 10<<20)
	cmds := r.wait(2 * time.Second)
	if c, q := of(cmds, CmdCancel), of(cmds, CmdRequest); len(c) != 4 || c[0].Conn != a || len(q) != 4 || q[0].Conn != b {
		t.Error(c, q)
	}
}

func TestDepthFollowsWhatThePeerDelivers(t *testing.T) {
	for _, perSecond := range []int{4, 40, 400} {
		r := newRig(t, Config{Budget: 256}, 2000, 256<<10)
		c := r.seed(true)
		r.msg(c, wire.Msg{Type: wire.Extended, Payload: []byte("d4:reqqi5000ee")})
		q := of(r.drain(), CmdRequest)
		for range 30 * perSecond {
			if len(q) == 0 {
				t.Fatal("the queue ran dry")
			}
			x := q[0]
			q = q[1:]
			r.block(BlockEvent{Kind: BlockArrived, Conn: c, Block: x.Block, Slot: x.Slot})
			cmds := r.wait(time.Second / time.Duration(perSecond))
			q = append(q, of(cmds, CmdRequest)...)
			q = append(q, of(r.verify(cmds, true, nil), CmdRequest)...)
		}
		depth, want := r.e.conns[c].down.depth, perSecond*int(queueTime/time.Second)
		if depth < want*8/10 || depth > want*13/10 {
			t.Errorf("%d blocks a second: depth %d, not about %d", perSecond, depth, want)
		}
	}
}

func TestRequestsAreSentInBatches(t *testing.T) {
	r := newRig(t, Config{}, 100, 256<<10)
	c := r.seed(true)
	q := of(r.drain(), CmdRequest)
	r.e.conns[c].down.depth, r.e.conns[c].down.slowStart = 100, false
	q = append(q, of(r.drain(), CmdRequest)...)
	turns, asked := 0, 0
	for range 400 {
		x := q[0]
		q = q[1:]
		r.block(BlockEvent{Kind: BlockArrived, Conn: c, Block: x.Block, Slot: x.Slot})
		cmds := r.drain()
		more := append(of(cmds, CmdRequest), of(r.verify(cmds, true, nil), CmdRequest)...)
		q = append(q, more...)
		if len(more) > 0 {
			turns++
			asked += len(more)
		}
	}
	if asked < 20*turns {
		t.Errorf("%d requests in %d batches", asked, turns)
	}
}

func TestUploadsAreLimitedByWindowAndQueue(t *testing.T) {
	r := seeding(t, Config{}, 100)
	c := r.leecher(true)
	r.drain()
	for i := range uint32(ourReqq + 10) {
		r.msg(c, wire.Msg{Type: wire.Request, Index: i % 100, Begin: i / 100 % 4 << 14, Length: 1 << 14})
	}
	cmds := r.drain()
	up := of(cmds, CmdUpload)
	rejects := 0
	for _, m := range sent(t, cmds, c) {
		if m.Type == wire.Reject {
			rejects++
		}
	}
	if len(up) != minWindow>>14 || rejects != 10 {
		t.Errorf("%d at once, %d rejected", len(up), rejects)
	}
	// A cancel is answered, and a choke rejects all waiting requests.
	last := *r.e.conns[c].up.queue.At(500)
	r.msg(c, wire.Msg{Type: wire.Cancel, Index: last.Piece, Begin: last.Begin, Length: last.Length})
	if ms := sent(t, r.drain(), c); len(ms) != 1 || ms[0].Type != wire.Reject {
		t.Error(ms)
	}
	waiting := r.e.conns[c].up.queue.Len()
	r.e.begin(r.now)
	r.e.choker.choke(&r.e.conns[c].choke, chokeAdapter{r.e})
	if ms := sent(t, r.drain(), c); len(ms) != waiting+1 || ms[0].Type != wire.Choke {
		t.Error(len(ms), waiting)
	}
}

func TestStopClosesAllConnections(t *testing.T) {
	r := newRig(t, Config{}, 5, 64<<10)
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(77), Source: FromHint}}})
	c := r.seed(true)
	r.drain()
	r.step(&EvStop{})
	cmds := r.drain()
	if closed(cmds, c) != FaultLocal {
		t.Error(cmds)
	}
	r.step(&EvClosed{Conn: c})
	late := r.join(EvConnected{Incoming: true, PeerID: id.ID{9}})
	cmds = r.wait(time.Hour)
	if closed(cmds, late) != FaultLocal || len(cmds) != 1 {
		t.Error(cmds)
	}
}

// A peer that announces a wrong size or sends wrong metadata harms only itself.
func TestMetadataArrivesDespiteBadPeers(t *testing.T) {
	r := newRig(t, Config{}, 0, 0)
	info := testInfo(t, 50, 64<<10, 100, false)
	offer := func(size int) Conn {
		c := r.connect(true)
		r.msg(c, wire.Msg{Type: wire.Extended, Payload: wire.AppendExtHandshake(nil, wire.ExtHandshake{UtMetadata: 3, MetadataSize: int64(size)})})
		return c
	}
	liars := map[Conn]bool{offer(1 << 40): true, offer(17): true, offer(len(info.Raw)): true}
	honest := offer(len(info.Raw))
	var done []Command
	for range 30 {
		cmds := r.wait(time.Second)
		done = append(done, of(cmds, CmdMetadata)...)
		for _, c := range of(cmds, CmdClose) {
			if !liars[c.Conn] {
				t.Error("an honest peer was closed")
			}
		}
		for c := Conn(1); c <= honest; c++ {
			for _, m := range sent(t, cmds, c) {
				x, err := wire.ParseMetadata(m.Payload)
				if m.Type != wire.Extended || m.Ext != 3 || err != nil {
					continue
				}
				raw := slices.Clone(info.Raw)
				if liars[c] {
					raw = raw[:min(len(raw), int(r.e.conns[c].meta.size))]
					raw[5] ^= 1
				}
				out := wire.MetadataMsg{Type: wire.MetadataData, Piece: x.Piece, TotalSize: int64(len(raw)), Data: raw}
				r.msg(c, wire.Msg{Type: wire.Extended, Ext: wire.ExtMetadata, Payload: wire.AppendMetadata(nil, out)})
			}
		}
	}
	if len(done) != 1 || done[0].Info.Hash != info.Hash {
		t.Error(done)
	}
}

// A peer that sends the block's length as total_size can still deliver the metadata: its
// size is known from the extension handshake, and the hash verifies it.
func TestMetadataWithTheLengthOfTheBlockAsTotalSize(t *testing.T) {
	r := &rig{t: t, now: 1}
	info := testInfo(t, 2000, 64<<10, 100, false)
	r.e = New(Config{InfoHash: info.Hash, Budget: 8}, 0)
	c := r.connect(true)
	r.msg(c, wire.Msg{Type: wire.Extended, Payload: wire.AppendExtHandshake(nil, wire.ExtHandshake{UtMetadata: 3, MetadataSize: int64(len(info.Raw))})})
	var done []Command
	for range 10 {
		cmds := r.wait(time.Second)
		done = append(done, of(cmds, CmdMetadata)...)
		for _, m := range sent(t, cmds, c) {
			x, err := wire.ParseMetadata(m.Payload)
			if m.Type != wire.Extended || m.Ext != 3 || err != nil {
				continue
			}
			block := info.Raw[x.Piece*wire.MetadataBlock : min((x.Piece+1)*wire.MetadataBlock, len(info.Raw))]
			out := wire.MetadataMsg{Type: wire.MetadataData, Piece: x.Piece, TotalSize: int64(len(block)), Data: block}
			r.msg(c, wire.Msg{Type: wire.Extended, Ext: wire.ExtMetadata, Payload: wire.AppendMetadata(nil, out)})
		}
	}
	if len(done) != 1 || done[0].Info.Hash != info.Hash {
		t.Error(done)
	}
}

// A block that crossed our cancel and is in its slot counts. It is not requested again.
func TestABlockThatCrossedACancelCounts(t *testing.T) {
	r := newRig(t, Config{}, 1, 64<<10)
	a := r.seed(false)
	q := of(r.drain(), CmdRequest)
	r.msg(a, wire.Msg{Type: wire.Choke})
	r.drain()
	r.block(BlockEvent{Kind: BlockArrived, Conn: a, Block: q[0].Block, Slot: q[0].Slot})
	b := r.seed(false)
	if again := of(r.drain(), CmdRequest); len(again) != 3 {
		t.Fatal(again)
	}
	// The same while it is requested from another peer, which gets a cancel.
	r.block(BlockEvent{Kind: BlockArrived, Conn: a, Block: q[1].Block, Slot: q[1].Slot})
	if c := of(r.drain(), CmdCancel); len(c) != 1 || c[0].Conn != b {
		t.Error(c)
	}
	// In a slot that has been reused, the block is discarded.
	r.block(BlockEvent{Kind: BlockArrived, Conn: a, Block: q[2].Block, Slot: q[2].Slot + 1})
	if w := r.e.Stats(r.now).Wasted; w != 16<<10 {
		t.Error("wasted", w)
	}
}

func TestSilentMetadataPeerTimesOut(t *testing.T) {
	r := newRig(t, Config{}, 0, 0)
	size := int64(len(testInfo(t, 50, 64<<10, 100, false).Raw))
	hello := wire.Msg{Type: wire.Extended, Payload: wire.AppendExtHandshake(nil, wire.ExtHandshake{UtMetadata: 3, MetadataSize: size})}
	ask := func(cmds []Command, c Conn) (n int) {
		for _, m := range sent(t, cmds, c) {
			if m.Type == wire.Extended && m.Ext == 3 {
				n++
			}
		}
		return n
	}
	var conns []Conn
	for range maxMetaPeers + 1 {
		c := r.connect(true)
		conns = append(conns, c)
		r.msg(c, hello)
	}
	cmds := r.drain()
	asked := 0
	for _, c := range conns {
		asked += ask(cmds, c)
	}
	if asked != 3 { // one block, of three at once
		t.Errorf("%d peers were asked", asked)
	}
	if s := r.e.Stats(r.now); s.MetaPeers != len(conns) {
		t.Errorf("waiting for %d peers", s.MetaPeers)
	}
	cmds = r.wait(metaTimeout + 2*time.Second)
	if ask(cmds, conns[3]) != 1 {
		t.Error("the next peer was not asked when the first were silent")
	}
	cmds = r.wait(metaPause + 2*time.Second)
	if ask(cmds, conns[0]) != 1 {
		t.Error("the first peer was not asked again")
	}
}

func TestOurOwnAddressIsNotDialled(t *testing.T) {
	r := newRig(t, Config{}, 3, 16<<10)
	r.step(&EvExternal{Addr: addrOf(1).Addr()})
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(1), Source: FromDHT}, {Addr: addrOf(2), Source: FromDHT}}})
	if d := of(r.drain(), CmdDial); len(d) != 1 || d[0].Addr != addrOf(2) {
		t.Error(d)
	}
}

// Peers on one machine are distinguished by their ports.
func TestBanOnLoopbackIncludesThePort(t *testing.T) {
	r := newRig(t, Config{}, 1, 16<<10)
	lo := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port) }
	a := r.join(EvConnected{Addr: lo(1)})
	b := r.join(EvConnected{Addr: lo(2)})
	r.msg(a, wire.Msg{Type: wire.Bitfield, Payload: []byte{0x80}}, wire.Msg{Type: wire.Unchoke})
	r.msg(b, wire.Msg{Type: wire.Bitfield, Payload: []byte{0x80}})
	r.e.conns[b].down.rate.Add(r.now, 1) // so that it counts as delivering
	cmds := r.verify(r.give(a, r.drain()), false, nil)
	if closed(cmds, a) != FaultBanned || closed(cmds, b) != FaultNone {
		t.Error(of(cmds, CmdClose))
	}
}

// BEP 6: every request is answered, even canceled ones. When a viewer seeks, a seed has
// to answer thousands of these.
func TestRejectsOfCancelledRequestsAreNotCharged(t *testing.T) {
	r := newRig(t, Config{Budget: 64}, 200, 1<<20)
	c := r.seed(true)
	r.msg(c, wire.Msg{Type: wire.Extended, Payload: []byte("d4:reqqi2000ee")})
	r.e.conns[c].down.depth, r.e.conns[c].down.slowStart = 2000, false
	r.e.conns[c].down.rate.Add(r.now, 1)
	r.e.req.updateWeak(&r.e.conns[c].down)
	rejects := 0
	for seek := range 20 {
		first := uint32(seek * 8)
		r.focus(first, first+1, first+2, first+3, first+4, first+5, first+6, first+7)
		for _, x := range of(r.drain(), CmdCancel) {
			rejects++
			r.msg(c, wire.Msg{Type: wire.Reject, Index: x.Block.Piece, Begin: x.Block.Begin, Length: x.Block.Length})
		}
	}
	if p := r.e.conns[c]; rejects < 2*noiseBurst || p.closing {
		t.Fatalf("after %d rejects of cancelled requests: closing %v", rejects, p.closing)
	}
	for i := range 2 * noiseBurst {
		r.msg(c, wire.Msg{Type: wire.Reject, Index: 199, Begin: uint32(i%64) << 14, Length: 1 << 14})
	}
	if !r.e.conns[c].closing {
		t.Error("unlimited rejects of blocks never requested")
	}
}

// BEP 6: blocks are sent only on request.
func TestUnrequestedBlocksAreCharged(t *testing.T) {
	for _, length := range []uint32{1, 1 << 14} {
		r := newRig(t, Config{}, 200, 1<<20)
		c := r.seed(true)
		sent := 0
		for ; sent < 1<<20 && !r.e.conns[c].closing; sent++ {
			r.block(BlockEvent{Kind: BlockUnwanted, Conn: c, Block: Block{Piece: 199, Length: length}})
		}
		if sent > noiseBurst+1 || int64(sent)*int64(length) > 8<<20 {
			t.Errorf("%d unrequested blocks of %d bytes were accepted", sent, length)
		}
		// Blocks that cross our cancels are not charged.
		x := r.seed(true)
		q := of(r.drain(), CmdRequest)
		r.msg(x, wire.Msg{Type: wire.Choke})
		for range rejectAfter/time.Second + 2 {
			r.wait(time.Second)
		}
		for _, a := range q {
			if a.Conn == x {
				r.block(BlockEvent{Kind: BlockUnwanted, Conn: x, Block: a.Block})
			}
		}
		if p := r.e.conns[x]; p.closing || len(q) < 10 || p.noise.Wait(r.now, noiseBurst-8) > 0 {
			t.Errorf("%d blocks that crossed our cancels were charged", len(q))
		}
	}
}

// The budget is in slots, each for a buffer of a piece's length. Pieces of any length
// must use the whole budget and not exceed it, because it bounds the node's memory.
func TestPiecesOfAnyLengthUseTheWholeBudgetAndNoMore(t *testing.T) {
	const budget = 24
	for _, pieceLen := range []int64{16 << 10, 48 << 10, 256 << 10, 1 << 20, 4 << 20} {
		r := newRig(t, Config{Budget: budget}, int(256<<20/pieceLen), pieceLen)
		c := r.seed(true)
		r.msg(c, wire.Msg{Type: wire.Extended, Payload: []byte("d4:reqqi2000ee")})
		r.e.conns[c].down.depth = 2000
		r.e.conns[c].down.rate.Add(r.now, 1)
		r.e.req.updateWeak(&r.e.conns[c].down)
		held := map[Slot]bool{}
		for _, x := range of(r.drain(), CmdRequest) {
			held[x.Slot] = true
		}
		if len(held) != budget {
			t.Errorf("pieces of %d KiB: requests use %d slots of %d", pieceLen>>10, len(held), budget)
		}
	}
}
