package swarm

import (
	"seedbed/internal/buf"
	"seedbed/swarm/engine"
	"seedbed/swarm/peerconn"
	"seedbed/swarm/wire"
)

// do carries out one command.
func (t *Torrent) do(c *engine.Command) {
	switch c.Kind {
	case engine.CmdDial:
		t.dial(c)
	case engine.CmdPunch:
		t.punch(c)
	case engine.CmdClose:
		if cn := t.conns[c.Conn]; cn != nil {
			// Earlier output of this turn may tell the peer why.
			if cn.out != nil {
				cn.out.flush()
			}
			if c.Fault == engine.FaultNetwork {
				cn.Abort(c.Fault)
			} else {
				cn.Close(c.Fault)
			}
		}
	case engine.CmdSend:
		if o := t.output(c.Conn); o != nil {
			o.control = append(o.control, c.Bytes...)
			if c.Timed {
				t.timed = append(t.timed, o.c)
			}
		}
	case engine.CmdRequest:
		if o := t.output(c.Conn); o != nil {
			t.request(o, c)
		}
	case engine.CmdCancel:
		if o := t.output(c.Conn); o != nil {
			if o.c.Cancel(c.Block) && !c.Rejected {
				o.send(wire.Msg{Type: wire.Cancel, Index: c.Block.Piece, Begin: c.Block.Begin, Length: c.Block.Length})
			}
		}
	case engine.CmdUpload:
		t.upload(c.Conn, c.Block)
	case engine.CmdWithdraw:
		t.remote.withdraw(c.Conn, c.Block)
		if cn := t.conns[c.Conn]; cn != nil {
			if o := cn.out; o != nil {
				o.flush() // this turn's output may contain the block
			}
			unsent := cn.Withdraw(c.Block)
			t.inbox.postBlocks(engine.BlockUnsent, c.Conn, unsent)
		}
	case engine.CmdStore:
		b := t.slots[c.Slot]
		t.slots[c.Slot] = nil
		t.storeMu.Lock()
		t.jobs++
		t.storeMu.Unlock()
		t.cfg.Shared.counters.writes.Add(1)
		t.cfg.Shared.work.push(storeJob{t: t, buffer: b, slot: c.Slot, block: c.Block, sums: c.WantSums, round: c.Round, kept: c.Kept})
	case engine.CmdDropSlot:
		if b := t.slots[c.Slot]; b != nil {
			t.slots[c.Slot] = nil
			b.Release()
		}
	case engine.CmdMetadata:
		t.metadata(c.Info)
	case engine.CmdHave:
		if !t.first {
			t.first = true
			t.emit(Event{Kind: FirstPiece, Piece: int(c.Block.Piece)})
		}
		t.emit(Event{Kind: PieceDone, Piece: int(c.Block.Piece)})
	case engine.CmdComplete:
		t.storage.complete()
	case engine.CmdBroken:
		t.emit(Event{Kind: Broken, Err: c.Err})
	case engine.CmdWantPeers:
		t.emit(Event{Kind: WantPeers})
	case engine.CmdDHTNode:
		t.emit(Event{Kind: DHTNode, Addr: c.Addr})
	case engine.CmdBan:
		t.cfg.Shared.counters.bans.Add(1)
		t.emit(Event{Kind: Ban, Addr: c.Addr})
	case engine.CmdKnown:
		t.emit(Event{Kind: KnownPeer, Addr: c.Addr, Encrypted: c.Encrypted})
	case engine.CmdLeaves:
		conn, piece, q := c.Conn, c.Block, c.Hash
		t.task(func() { t.leaves(conn, piece, q) })
	case engine.CmdCompare:
		piece, leaves := c.Block, c.Leaves
		t.task(func() { t.compare(piece, leaves) })
	case engine.CmdYourIP:
		if from := t.conns[c.Conn]; from != nil {
			t.emit(Event{Kind: External, Addr: c.Addr, From: from.addr})
		}
	case engine.CmdCanDialBack:
		t.emit(Event{Kind: CanDialBack, From: c.Addr, Conn: c.Conn})
	case engine.CmdDialBack:
		t.emit(Event{Kind: DialBack, From: c.Addr, Conn: c.Conn, Message: *c.DialBack})
	case engine.CmdItem:
		t.emit(Event{Kind: Item, From: c.Addr, Conn: c.Conn, Item: c.Item})
	default:
		panic("swarm: unknown command kind")
	}
}

// upload sends a block, once its data is here.
func (t *Torrent) upload(n engine.Conn, b engine.Block) {
	if !t.remote.isHere(n, b) {
		return
	}
	if o := t.output(n); o != nil {
		t.keepOrder(o)
		o.uploads = append(o.uploads, b)
	}
}

// request leases a buffer range for a block and requests the block.
func (t *Torrent) request(o *output, c *engine.Command) {
	b := t.buffer(c.Slot)
	l := b.Lease(c.Offset, c.Block.Length)
	if !o.c.Expect(peerconn.Request{Block: c.Block, Slot: c.Slot, Buffer: b, Lease: l}) {
		l.Release()
		return // EvClosed is on its way
	}
	o.send(wire.Msg{Type: wire.Request, Index: c.Block.Piece, Begin: c.Block.Begin, Length: c.Block.Length})
}

// buffer returns the buffer of a slot, which is allocated when the first block is leased.
func (t *Torrent) buffer(s engine.Slot) *buf.Buffer {
	for int(s) >= len(t.slots) {
		t.slots = append(t.slots, nil)
	}
	if t.slots[s] == nil {
		t.slots[s] = t.cfg.Shared.pool.Get(int(min(t.info.PieceLength, int64(t.cfg.Shared.chunkSize))))
	}
	return t.slots[s]
}
