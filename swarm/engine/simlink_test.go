package engine

import (
	"encoding/binary"
	"time"

	"seedbed/internal/fifo"
	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// The links of the simulation. A node sends like the shell (swarm/peerconn,
// internal/shaper): the blocks for all connections wait in one queue for admission by the
// node's upload limit, in the order of the commands. An admitted block is written as soon
// as its connection accepts it, and arrives after the link's delay. A control message
// never waits for the limit, but its bytes count against it.

// uplink is the upload limit of a node: internal/shaper with one torrent.
type uplink struct {
	free     mono.Time // when the limit has admitted all bytes sent so far
	waiting  fifo.Queue[simUpload]
	sleeping bool // admit will be called at free
}

// simUpload is a block to be sent to the other end of x.
type simUpload struct {
	x     *simEnd
	block Block
	spent *spending // the time it used, once admitted; nil without accounting
}

// uplinkDepth is how much of an unused limit is saved, as in internal/shaper.
const uplinkDepth = 100 * time.Millisecond

// lasts returns how long size bytes take at a rate.
func lasts(size int, bytesPerSecond float64) time.Duration {
	return time.Duration(float64(size) / bytesPerSecond * 1e9)
}

// spend counts bytes that are being sent.
func (n *simNode) spend(size int, k use) *spending {
	n.settle()
	u := &n.uplink
	from := max(u.free, n.s.now.Add(-uplinkDepth))
	u.free = from.Add(lasts(size, n.rate))
	return n.account.spent(from, u.free, k)
}

// refund returns the capacity that an upload was granted.
func (n *simNode) refund(u simUpload) {
	back := lasts(messageSize(u.block), n.rate)
	if u.spent != nil {
		back = n.account.refund(u.spent, min(back, n.uplink.free.Sub(n.s.now.Add(-uplinkDepth))))
	}
	n.uplink.free = n.uplink.free.Add(-back)
}

// admit sends the blocks that may be sent now, and schedules itself for the rest.
func (n *simNode) admit() {
	u := &n.uplink
	for u.waiting.Len() > 0 {
		if u.free > n.s.now {
			if !u.sleeping {
				u.sleeping = true
				n.s.at(u.free, func() {
					u.sleeping = false
					n.admit()
				})
			}
			return
		}
		w := u.waiting.Pop()
		if !w.x.open {
			continue
		}
		n.spend(wire.PieceHeaderLen, useControl)
		if w.spent = n.spend(int(w.block.Length), useOpen); w.spent != nil {
			w.spent.waits = w.x
		}
		if w.x.parked {
			w.x.uploads.Push(w)
		} else {
			w.x.transmit(w)
		}
	}
	n.look()
}

// messageSize returns the length of a block's message.
func messageSize(b Block) int { return wire.PieceHeaderLen + int(b.Length) }

// withdraw cancels uploads that have not been sent: b, or all of them if its length is
// zero. Admitted ones return their capacity.
func (x *simEnd) withdraw(b Block) {
	n := x.owner
	unsent := func(u Block) bool {
		if b.Length > 0 && u != b {
			return false
		}
		n.later(0, func() {
			if n.conns[x.conn] == x {
				n.block(BlockEvent{Kind: BlockUnsent, Conn: x.conn, Block: u})
			}
		})
		return true
	}
	for range x.uploads.Len() {
		if u := x.uploads.Pop(); unsent(u.block) {
			n.refund(u)
		} else {
			x.uploads.Push(u)
		}
	}
	for range n.uplink.waiting.Len() {
		if w := n.uplink.waiting.Pop(); w.x != x || !unsent(w.block) {
			n.uplink.waiting.Push(w)
		}
	}
	n.admit()
}

// arrive calls do at the other end when size bytes that are sent now have arrived, unless
// that end has left by then.
func (x *simEnd) arrive(size int, do func(o *simEnd)) {
	o := x.other
	s := x.owner.s
	x.last = max(x.last, s.now.Add(x.delay))
	if o.owner.down > 0 {
		o.owner.freeIn = max(o.owner.freeIn, x.last).Add(lasts(size, o.owner.down))
		x.last = o.owner.freeIn
	}
	life := o.owner.life
	s.at(x.last, func() {
		if o.open && o.owner.up && o.owner.life == life {
			do(o)
		}
	})
}

// send sends complete messages.
func (x *simEnd) send(b []byte) {
	if !x.open {
		return
	}
	b = append([]byte(nil), b...)
	if x.owner.alter != nil {
		b = x.alter(b)
	}
	x.owner.spend(len(b), useControl)
	x.arrive(len(b), func(o *simEnd) {
		for len(b) > 0 && o.open {
			size := int(binary.BigEndian.Uint32(b))
			m, err := wire.Parse(b[4 : 4+size])
			if err != nil {
				x.owner.fatal("sent an invalid message: %v", err)
			}
			b = b[4+size:]
			if m.Type == wire.Bitfield || m.Type == wire.Extended {
				m.Payload = append([]byte(nil), m.Payload...)
			}
			o.hear(m)
		}
	})
}

// upload queues a block.
func (n *simNode) upload(x *simEnd, b Block) {
	if x.open {
		n.uplink.waiting.Push(simUpload{x: x, block: b})
		n.admit()
	}
}

// transmit sends an admitted block. If the other side has a limit, the buffers in between
// are small: the next block waits until this one has been accepted.
func (x *simEnd) transmit(u simUpload) {
	n := x.owner
	b := u.block
	if n.seed {
		n.s.sent += int64(b.Length)
	}
	value := useWasted // in case it is new to the other side
	if n.account.on {
		u.spent.waits = nil
		value = n.useOfBlock(b.Piece, x.other.owner)
		if p := n.e.conns[x.conn]; p != nil && !p.choke.unchoked {
			n.account.choked += int64(b.Length)
		}
	}
	quality := byte(0)
	if n.liar && n.s.rng.IntN(3) == 0 {
		quality = 1 + byte(n.s.rng.IntN(200))
	}
	isNew := false
	x.arrive(messageSize(b), func(o *simEnd) { isNew = o.receive(b, quality) })
	if u.spent != nil {
		n.s.at(x.last, func() {
			if u.spent.use = value; !isNew {
				u.spent.use = useWasted
			}
		})
	}
	accepted := x.last.Sub(n.s.now) - x.delay
	x.parked = accepted > 0
	n.later(accepted, func() {
		if n.conns[x.conn] != x {
			return
		}
		n.block(BlockEvent{Kind: BlockUploaded, Conn: x.conn, Block: b})
		if x.parked {
			x.parked = false
			for !x.parked && x.uploads.Len() > 0 {
				x.transmit(x.uploads.Pop())
			}
		}
	})
}

// receive puts a block into the slot that it was leased for, and reports whether it was
// new.
func (x *simEnd) receive(b Block, quality byte) bool {
	n := x.owner
	n.s.received += int64(b.Length)
	slot, ok := x.leases[b]
	if ok {
		delete(x.leases, b)
		sl := n.slots[slot]
		if sl == nil || sl.piece != b.Piece {
			n.fatal("block %v arrived in slot %d, which holds another piece", b, slot)
		}
		if _, done := sl.blocks[b.Begin/blockSize]; !done {
			sl.blocks[b.Begin/blockSize] = quality
			n.block(BlockEvent{Kind: BlockArrived, Conn: x.conn, Block: b, Slot: slot})
			return true
		}
	}
	n.s.wasted += int64(b.Length)
	n.block(BlockEvent{Kind: BlockUnwanted, Conn: x.conn, Block: b})
	return false
}
