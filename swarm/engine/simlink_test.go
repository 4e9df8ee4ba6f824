package engine

import (
	"encoding/binary"
	"time"

	"seedbed/internal/fifo"
	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// The links of the simulation. A node sends as the shell does (swarm/peerconn,
// internal/shaper): each connection has a queue of uploads, of which the first waits
// for admission by the node's upload limit. Those that wait are admitted in the order
// they came, so connections take turns by block. A block that is admitted is written at
// once, and arrives after the delay of the link. A control message never waits for the
// limit. Its bytes are counted, and what comes after waits for them.

// An uplink is the upload limit of a node: internal/shaper with one torrent.
type uplink struct {
	free     mono.Time // when all bytes that were sent are paid for
	waiters  fifo.Queue[*simEnd]
	sleeping bool // admit is called at free
}

// uplinkDepth is how much of an unused limit is saved, as in internal/shaper.
const uplinkDepth = 100 * time.Millisecond

// lasts is how long size bytes take at a rate.
func lasts(size int, bytesPerSecond float64) time.Duration {
	return time.Duration(float64(size) / bytesPerSecond * 1e9)
}

// spend counts bytes that are sent now.
func (n *simNode) spend(size int) {
	u := &n.uplink
	u.free = max(u.free, n.s.now.Add(-uplinkDepth)).Add(lasts(size, n.rate))
}

// admit sends the blocks that may be sent by now, and continues when more may.
func (n *simNode) admit() {
	u := &n.uplink
	for u.waiters.Len() > 0 {
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
		x := u.waiters.Pop()
		x.waits = false
		if !x.open || x.uploads.Len() == 0 {
			continue
		}
		x.transmit(x.uploads.Pop())
		x.await()
	}
}

// await has the first upload of x wait for admission.
func (x *simEnd) await() {
	if !x.waits && !x.parked && x.uploads.Len() > 0 {
		x.waits = true
		x.owner.uplink.waiters.Push(x)
	}
}

// withdraw takes back uploads that do not wait for admission yet: b, or all of them if
// its length is zero.
func (x *simEnd) withdraw(b Block) {
	n := x.owner
	for i := range x.uploads.Len() {
		u := x.uploads.Pop()
		if i == 0 && x.waits || b.Length > 0 && u != b {
			x.uploads.Push(u)
			continue
		}
		n.later(0, func() {
			if n.conns[x.conn] == x {
				n.block(BlockEvent{Kind: BlockUnsent, Conn: x.conn, Block: u})
			}
		})
	}
}

// arrive has do happen at the other end when size bytes that are sent now have come.
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

// send carries whole messages.
func (x *simEnd) send(b []byte) {
	if !x.open {
		return
	}
	b = append([]byte(nil), b...)
	x.owner.spend(len(b))
	x.arrive(len(b), func(o *simEnd) {
		for len(b) > 0 && o.open {
			size := int(binary.BigEndian.Uint32(b))
			m, err := wire.Parse(b[4 : 4+size])
			if err != nil {
				x.owner.fatal("sends what does not parse: %v", err)
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
		x.uploads.Push(b)
		x.await()
		n.admit()
	}
}

// transmit sends a block that is admitted. Where the other side has a limit, the
// buffers on the way hold little: the next block waits until this one was accepted.
func (x *simEnd) transmit(b Block) {
	n := x.owner
	size := wire.PieceHeaderLen + int(b.Length)
	n.spend(size)
	if n.seed {
		n.s.sent += int64(b.Length)
	}
	quality := byte(0)
	if n.liar && n.s.rng.IntN(3) == 0 {
		quality = 1 + byte(n.s.rng.IntN(200))
	}
	x.arrive(size, func(o *simEnd) { o.receive(b, quality) })
	accepted := x.last.Sub(n.s.now) - x.delay
	x.parked = accepted > 0
	n.later(accepted, func() {
		if n.conns[x.conn] != x {
			return
		}
		n.block(BlockEvent{Kind: BlockUploaded, Conn: x.conn, Block: b})
		if x.parked {
			x.parked = false
			x.await()
			n.admit()
		}
	})
}

// receive puts a block that came into the slot that it was leased for.
func (x *simEnd) receive(b Block, quality byte) {
	n := x.owner
	n.s.received += int64(b.Length)
	slot, ok := x.leases[b]
	if ok {
		delete(x.leases, b)
		sl := n.slots[slot]
		if sl == nil || sl.piece != b.Piece {
			n.fatal("block %v lands in slot %d, which is not its own", b, slot)
		}
		if _, done := sl.blocks[b.Begin/blockSize]; !done {
			sl.blocks[b.Begin/blockSize] = quality
			n.block(BlockEvent{Kind: BlockArrived, Conn: x.conn, Block: b, Slot: slot})
			return
		}
	}
	n.s.wasted += int64(b.Length)
	n.block(BlockEvent{Kind: BlockUnwanted, Conn: x.conn, Block: b})
}
