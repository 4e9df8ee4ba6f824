package engine

import (
	"net/netip"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// This file executes a simulated node's commands: its links, its memory and its disk.

func (n *simNode) do(c *Command) {
	s := n.s
	s.note(n, "%d %d %d %d %v %d %v %x", c.Kind, c.Conn, int32(c.Slot), c.Offset, c.Block, c.Fault, c.Addr, c.Bytes)
	end := n.conns[c.Conn]
	switch c.Kind {
	case CmdDial:
		n.dial(c.Addr)
	case CmdClose:
		if end != nil {
			end.shut(c.Fault)
		}
	case CmdSend:
		if end != nil { // otherwise it was closed in the same batch of events
			end.send(c.Bytes)
			if conn := c.Conn; c.Timed {
				n.later(0, func() { n.step(&EvSent{Conn: conn}) })
			}
		}
	case CmdRequest:
		n.request(end, c)
	case CmdCancel:
		if end == nil {
			return
		}
		if _, ok := end.leases[c.Block]; ok {
			delete(end.leases, c.Block)
			if !c.Rejected {
				end.send(wire.Append(nil, wire.Msg{Type: wire.Cancel, Index: c.Block.Piece, Begin: c.Block.Begin, Length: c.Block.Length}))
			}
		}
	case CmdUpload:
		if !n.have.Has(int(c.Block.Piece)) {
			n.fatal("uploads piece %d, which it has not verified", c.Block.Piece)
		}
		if end == nil {
			n.fatal("uploads to a closed connection")
		}
		n.upload(end, c.Block)
	case CmdWithdraw:
		if end != nil {
			end.withdraw(c.Block)
		}
	case CmdStore:
		n.store(c)
	case CmdDropSlot:
		if sl := n.slots[c.Slot]; sl == nil || sl.storing {
			n.fatal("drops slot %d, which it does not hold", c.Slot)
		}
		for _, o := range n.order {
			for b, sl := range n.conns[o].leases {
				if sl == c.Slot {
					n.fatal("drops slot %d while block %v is leased", c.Slot, b)
				}
			}
		}
		delete(n.slots, c.Slot)
	case CmdMetadata:
		if c.Info == nil || c.Info.Hash != s.info.Hash {
			n.fatal("metadata is wrong")
		}
		info := c.Info
		n.later(50*time.Millisecond, func() { n.step(&EvInfo{Info: info, Have: n.have}) })
	case CmdHave:
		if !n.have.Has(int(c.Block.Piece)) {
			n.fatal("announces piece %d, which is not verified", c.Block.Piece)
		}
		if n.haves[c.Block.Piece] && s.cfg.diskFails == 0 {
			n.fatal("announces piece %d twice", c.Block.Piece)
		}
		n.haves[c.Block.Piece] = true
		n.got = append(n.got, c.Block.Piece)
		n.later(0, n.focus)
		if !n.seed {
			s.passedOn(c.Block.Piece)
		}
	case CmdComplete:
		if n.wanted.Len() == 0 && !n.have.Full() || n.wanted.AnyNotIn(n.have) {
			n.fatal("is complete with %d pieces", n.have.Count())
		}
		n.complete = true
		s.lastDone = time.Duration(s.now)
		if n.doneAt == 0 {
			n.doneAt = s.lastDone
		}
		if s.onComplete != nil {
			s.onComplete(n)
		}
		if n.leaves {
			n.later(0, func() {
				n.gone = true
				n.stop()
			})
		}
	case CmdWantPeers:
		n.wants++
		if s.cfg.known {
			return
		}
		n.later(100*time.Millisecond, func() { n.candidates(4) })
	case CmdBan:
		n.banned = append(n.banned, c.Addr)
	}
}

func (n *simNode) dial(to netip.AddrPort) {
	s := n.s
	if o := s.byIP[netip.AddrPortFrom(to.Addr(), 6881)]; o != nil {
		for _, b := range n.banned {
			if b.Addr() == to.Addr() {
				n.fatal("dials %v, which it banned", to)
			}
		}
	}
	delay := s.cfg.delayMin + time.Duration(s.rng.Int64N(int64(s.cfg.delayMax-s.cfg.delayMin)+1))
	o := s.byIP[to]
	n.later(2*delay, func() {
		if o == nil || !o.up || s.cfg.star && !o.seed && !n.seed {
			n.step(&EvDialFailed{Addr: to, Fault: FaultRefused})
			return
		}
		a := &simEnd{owner: n, delay: delay}
		b := &simEnd{owner: o, delay: delay}
		a.other, b.other = b, a
		from := netip.AddrPortFrom(n.addr.Addr(), uint16(40000+s.rng.IntN(20000)))
		a.attach(to, o.id, false)
		b.attach(from, n.id, true)
	})
}

func (x *simEnd) attach(addr netip.AddrPort, peer id.ID, incoming bool) {
	n := x.owner
	n.nextConn++
	x.conn = n.nextConn
	x.open, x.choked = true, true
	x.leases, x.asked = map[Block]Slot{}, map[Block]mono.Time{}
	x.allowed = map[uint32]bool{}
	x.has = bitset.New(n.s.cfg.pieces)
	n.conns[x.conn] = x
	n.order = append(n.order, x.conn)
	var r wire.Reserved
	r.SetExtended()
	r.SetDHT()
	if !n.s.cfg.plain {
		r.SetFast()
	}
	n.step(&EvConnected{Conn: x.conn, Addr: addr, Incoming: incoming, PeerID: peer, Reserved: r})
}

// shut closes a link from this side; the other side is notified after the delay.
func (x *simEnd) shut(f Fault) {
	if !x.open {
		return
	}
	x.open = false
	n := x.owner
	n.later(0, func() { n.closed(x, f) })
	o := x.other
	if o.open {
		life := o.owner.life
		n.s.at(max(n.s.now.Add(x.delay), x.last), func() {
			if o.open && o.owner.up && o.owner.life == life {
				o.open = false
				o.owner.closed(o, FaultReset)
			}
		})
	}
}

func (n *simNode) closed(x *simEnd, f Fault) {
	if n.conns[x.conn] != x {
		return
	}
	delete(n.conns, x.conn)
	for i, c := range n.order {
		if c == x.conn {
			n.order = append(n.order[:i], n.order[i+1:]...)
			break
		}
	}
	n.step(&EvClosed{Conn: x.conn, Fault: f})
}

// hear records what the message says, for the invariants, and passes it to the engine.
func (x *simEnd) hear(m wire.Msg) {
	switch m.Type {
	case wire.Request:
		x.requests--
	case wire.Choke:
		x.choked = true
	case wire.Unchoke:
		x.choked = false
	case wire.AllowedFast:
		x.allowed[m.Index] = true
	case wire.HaveAll:
		x.has.Fill()
	case wire.Bitfield:
		x.has, _ = bitset.Parse(m.Payload, x.has.Len())
	case wire.Have:
		x.has.Add(int(m.Index))
	case wire.Extended:
		if m.Ext == wire.ExtDontHave {
			p, _ := wire.ParseDontHave(m.Payload)
			x.has.Remove(int(p))
		}
	}
	x.owner.step(&EvMessage{Conn: x.conn, Msg: m})
}

func (n *simNode) request(x *simEnd, c *Command) {
	if x == nil {
		n.fatal("requests from a closed connection")
	}
	if x.open {
		if !x.has.Has(int(c.Block.Piece)) {
			n.fatal("requests piece %d, which conn %d lacks", c.Block.Piece, c.Conn)
		}
		if x.choked && !x.allowed[c.Block.Piece] {
			n.fatal("requests while it is choked")
		}
	}
	if n.broken {
		n.fatal("requests while its disk is broken")
	}
	if n.have.Has(int(c.Block.Piece)) {
		n.fatal("requests piece %d, which it has", c.Block.Piece)
	}
	if _, dup := x.leases[c.Block]; dup {
		n.fatal("leases %v twice on one connection", c.Block)
	}
	sl := n.slots[c.Slot]
	begin := c.Block.Begin - c.Offset
	if sl == nil {
		if budget := n.s.cfg.budget * int(max(1, int64(n.s.cfg.chunk)/n.s.cfg.pieceLen)); int(c.Slot) >= budget {
			n.fatal("uses slot %d of a budget of %d", c.Slot, budget)
		}
		sl = &simSlot{piece: c.Block.Piece, begin: begin, blocks: map[uint32]byte{}}
		n.slots[c.Slot] = sl
	}
	if sl.piece != c.Block.Piece || sl.begin != begin || sl.storing {
		n.fatal("leases %v in slot %d, which holds another chunk", c.Block, c.Slot)
	}
	if _, done := sl.blocks[c.Block.Begin/blockSize]; done {
		n.fatal("leases %v, which it has", c.Block)
	}
	// Outside the endgame a block is requested twice only if a peer has owed it for a
	// while.
	if n.e.req.peers.endgameAt == mono.Never && !n.playing && (!n.s.cfg.sparse || n.s.steps%64 == 0) { // a player's next blocks are urgent
		young, late := 0, 0
		for _, o := range n.order {
			y := n.conns[o]
			if _, dup := y.leases[c.Block]; !dup {
				continue
			}
			if !y.open || y.choked || n.s.now.Sub(y.asked[c.Block]) >= probeAfter {
				late++
			} else {
				young++
			}
		}
		if young > 0 && late == 0 {
			n.fatal("leases %v twice outside the endgame", c.Block)
		}
	}
	x.leases[c.Block], x.asked[c.Block] = c.Slot, n.s.now
	x.other.requests++
	x.send(wire.Append(nil, wire.Msg{Type: wire.Request, Index: c.Block.Piece, Begin: c.Block.Begin, Length: c.Block.Length}))
}

// playAhead is the number of pieces in a player's window.
const playAhead = 12

// focus moves a player's window.
func (n *simNode) focus() {
	if !n.playing && !n.idle {
		return
	}
	list := []uint32{}
	for i := 0; n.playing && i < n.have.Len() && len(list) < playAhead; i++ {
		if !n.have.Has(i) {
			list = append(list, uint32(i))
		}
	}
	n.step(&EvFocus{Pieces: list})
}

func (n *simNode) store(c *Command) {
	sl := n.slots[c.Slot]
	if sl == nil || sl.storing || sl.piece != c.Block.Piece || sl.begin != c.Block.Begin {
		n.fatal("stores slot %d, which holds something else", c.Slot)
	}
	if want := (int(c.Block.Length) + blockSize - 1) / blockSize; len(sl.blocks) != want {
		n.fatal("stores a chunk of %d blocks with %d", want, len(sl.blocks))
	}
	sl.storing = true
	slot, block, wantSums, round := c.Slot, c.Block, c.WantSums, c.Round
	n.later(time.Duration(1+n.s.rng.IntN(20))*time.Millisecond, func() {
		delete(n.slots, slot)
		if n.broken {
			n.step(&EvStorageFailed{})
			n.step(&EvChunkLost{Slot: slot, Block: block})
			return
		}
		piece := block.Piece
		blocks := n.s.info.NumBlocks(int(piece))
		q := n.stored[piece]
		if q == nil || n.rounds[piece] != round {
			n.rounds[piece] = round
			q = make([]byte, blocks)
			for i := range q { // missing
				q[i] = 255 // not there
			}
			n.stored[piece] = q
		}
		for b, v := range sl.blocks {
			q[b] = v
		}
		verify := func() {
			ok := true
			sums := make([]uint64, blocks)
			for i, v := range q {
				if v == 255 {
					return
				}
				ok = ok && v == 0
				sums[i] = uint64(v)
			}
			delete(n.stored, piece)
			if ok {
				n.have.Add(int(piece))
				if !wantSums {
					sums = nil
				}
			}
			n.step(&EvVerified{Piece: piece, OK: ok, Sums: sums})
		}
		stored := func() { n.step(&EvStored{Slot: slot, Block: block}) }
		if n.s.rng.IntN(2) == 0 { // either order is allowed
			stored()
			verify()
		} else {
			verify()
			stored()
		}
	})
}
