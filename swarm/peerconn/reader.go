package peerconn

import (
	"encoding/binary"
	"net"
	"slices"

	"seedbed/internal/shaper"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// readBuffer is how much is read at once, and so the most that a connection
// holds while it has nothing to say beyond it. It was measured: with 4 KiB the
// system calls are twice as many, and larger ones fall out of the cache.
const readBuffer = 64 << 10

// limitedRead is how many bytes are admitted at once: one block, so that what
// waits is at most what is between two blocks.
const limitedRead = shaper.Grain + wire.PieceHeaderLen

// A reader turns the bytes of a connection into arrivals. What one read brought is
// handed over together, so a lock is taken once for several blocks.
//
// A block is copied to its piece buffer when all of it is there: the
// copy is from the cache and costs 0.4 µs, and a peer that falls silent in the
// middle of a block keeps nobody else from filling it.
type reader struct {
	c      *Conn
	early  []byte     // what came with the handshake, of which there is little
	space  *readSpace // nil while the connection is idle, or b is longer than usual
	b      []byte     // nil while the connection is idle
	r, w   int        // b[r:w] is unread
	skip   int        // bytes of a block that nobody wants, still to come
	events []Arrival

	// The limit of the download rate. A read is admitted before it is made, so that
	// neither a goroutine nor a buffer waits for that.
	waiter shaper.Waiter
	paid   int // bytes that are admitted and not read; 0 without a limit
}

// room is where the next read goes. It fetches a buffer if there is none.
func (rd *reader) room() []byte {
	if rd.b == nil {
		rd.space = rd.c.Resources.readBuffers.get()
		rd.b, rd.events = rd.space.b[:], rd.space.events
	}
	room := rd.b[rd.w:]
	if rd.paid > 0 {
		room = room[:min(len(room), rd.paid)]
	}
	return room
}

// drop gives the buffer back; all events have been handed over.
func (rd *reader) drop() {
	switch pool := &rd.c.Resources.readBuffers; {
	case rd.space != nil:
		rd.space.events = rd.events[:0]
		pool.put(rd.space)
	case rd.b != nil:
		pool.shrink(len(rd.b))
	}
	rd.space, rd.b, rd.r, rd.w, rd.events = nil, nil, 0, 0, nil
}

// run reads until nothing more has arrived, and continues when more arrives.
func (rd *reader) run() {
	for rd.admitted() {
		n, err := rd.read()
		if err == nil && n == 0 {
			if rd.r == rd.w {
				rd.drop()
			}
			rd.c.raw.AwaitReadable(rd.c.readable)
			return
		}
		if err == nil {
			err = rd.handle(n)
		}
		if err != nil {
			rd.c.finish(err)
			return
		}
	}
}

// admitted reports whether a read may be made. If not, run is called when it may,
// perhaps before admitted returns, and the caller must touch nothing more.
func (rd *reader) admitted() bool {
	if rd.paid > 0 || rd.early != nil || !rd.c.Down.Limited() {
		return true
	}
	if rd.r == rd.w {
		rd.drop()
	}
	rd.paid = limitedRead
	if rd.c.Down.Admit(&rd.waiter, rd.paid) {
		return true
	}
	// Whoever ends the wait of a connection that is closed continues: this, or wake.
	return rd.c.over.Load() && rd.c.Down.Cancel(&rd.waiter)
}

// wake ends the wait for admission of a connection that was closed.
func (rd *reader) wake() {
	if rd.c.Down.Cancel(&rd.waiter) {
		rd.c.readable()
	}
}

// handle hands over what the n bytes that were read complete.
func (rd *reader) handle(n int) error {
	rd.w += n
	need, err := rd.parse()
	if !rd.push() {
		return net.ErrClosed
	}
	if err != nil {
		return err
	}
	return rd.makeRoom(need)
}

// pushAt is how many arrivals are handed over at once, at most.
const pushAt = 32

// push hands over what arrived. It reports whether anybody takes it.
func (rd *reader) push() bool {
	if len(rd.events) == 0 {
		return true
	}
	ok := rd.c.Owner.Arrived(rd.events)
	clear(rd.events)
	rd.events = rd.events[:0]
	return ok
}

// read reads and decrypts what has arrived, as much as is admitted.
func (rd *reader) read() (n int, err error) {
	if rd.early != nil {
		n = copy(rd.room(), rd.early)
		rd.early = nil
		return n, nil
	}
	if rd.c.over.Load() {
		return 0, net.ErrClosed
	}
	n, err = rd.c.raw.TryRead(rd.room())
	if rd.paid > 0 {
		rd.c.Down.Refund(rd.paid - n)
		rd.paid = 0
	}
	if rd.c.crypt != nil {
		rd.c.crypt.Decrypt(rd.b[rd.w : rd.w+n])
	}
	return n, err
}

// makeRoom brings what is unread to the front and sees to it that a frame of
// need bytes can become whole. A frame longer than the buffer gets a larger one,
// which grows with what has come and not with what was announced.
func (rd *reader) makeRoom(need int) error {
	rd.w = copy(rd.b, rd.b[rd.r:rd.w])
	rd.r = 0
	if rd.w == 0 && len(rd.b) > readBuffer {
		rd.drop()
		return nil
	}
	if need <= len(rd.b) || rd.w < len(rd.b) {
		return nil
	}
	longer := min(need, 2*len(rd.b))
	if !rd.c.Resources.readBuffers.grow(longer) {
		return errLongFrames
	}
	old, w := rd.b, rd.w
	copied := append(make([]byte, 0, longer), old...)[:longer]
	rd.drop()
	rd.b, rd.w = copied, w
	return nil
}

// errLongFrames ends a connection for want of memory: too many peers are in the
// middle of a message that few send at all.
var errLongFrames = &wire.Error{Kind: wire.TooLong}

// parse handles every frame that is whole. need is the length of the one that
// is not.
func (rd *reader) parse() (need int, err error) {
	limit := rd.c.Owner.MaxFrame()
	for {
		if len(rd.events) >= pushAt && !rd.push() {
			return 0, net.ErrClosed
		}
		if rd.skip > 0 {
			n := min(rd.skip, rd.w-rd.r)
			rd.skip -= n
			rd.r += n
		}
		b := rd.b[rd.r:rd.w]
		if len(b) < wire.PrefixLen {
			return 0, nil
		}
		n, err := wire.Length(b)
		if err != nil {
			return 0, err
		}
		if n > limit {
			return 0, &wire.Error{Kind: wire.TooLong, Len: int64(n)}
		}
		n += wire.PrefixLen
		if n > wire.PrefixLen && len(b) > wire.PrefixLen && wire.Type(b[wire.PrefixLen]) == wire.Piece {
			if len(b) < wire.PieceHeaderLen && n >= wire.PieceHeaderLen {
				return n, nil
			}
			if done, err := rd.piece(b, n); !done || err != nil {
				return n, err
			}
			continue
		}
		if len(b) < n {
			return n, nil
		}
		m, err := wire.Parse(b[wire.PrefixLen:n])
		if err != nil {
			return 0, err
		}
		if m.Type == wire.Request {
			rd.block(engine.BlockRequested, engine.Block{Piece: m.Index, Begin: m.Begin, Length: m.Length})
			rd.r += n
			continue
		}
		// The buffer goes on to other frames while the item waits.
		m.Payload = slices.Clone(m.Payload)
		rd.events = append(rd.events, Arrival{Event: &engine.EvMessage{Conn: rd.c.ID, Msg: m}})
		rd.r += n
	}
}

// piece handles the piece message of n bytes that b begins with. It reports
// whether it could: a block that is wanted must be whole.
func (rd *reader) piece(b []byte, n int) (bool, error) {
	if n <= wire.PieceHeaderLen || n > wire.PieceHeaderLen+wire.MaxBlock {
		return false, &wire.Error{Kind: wire.BadLength, Type: wire.Piece, Len: int64(n - wire.PrefixLen)}
	}
	block := engine.Block{
		Piece:  binary.BigEndian.Uint32(b[5:]),
		Begin:  binary.BigEndian.Uint32(b[9:]),
		Length: uint32(n - wire.PieceHeaderLen),
	}
	if len(b) < n {
		if rd.c.orders.has(block) {
			return false, nil
		}
	} else if o, ok := rd.c.orders.take(block); ok {
		rd.r += n
		dst := o.Lease.Begin()
		if dst == nil {
			o.Lease.Release()
			rd.block(engine.BlockUnwanted, block)
			return true, nil
		}
		copy(dst, b[wire.PieceHeaderLen:n])
		o.Lease.Done()
		// The lease's reference goes along.
		rd.events = append(rd.events, Arrival{
			Block:  engine.BlockEvent{Kind: engine.BlockArrived, Conn: rd.c.ID, Block: block, Slot: o.Slot},
			Buffer: o.Buffer,
		})
		return true, nil
	}
	rd.r += wire.PieceHeaderLen
	rd.skip = int(block.Length)
	rd.block(engine.BlockUnwanted, block)
	return true, nil
}

// block appends what happened to a block and has no payload.
func (rd *reader) block(kind engine.BlockEventKind, b engine.Block) {
	rd.events = append(rd.events, Arrival{Block: engine.BlockEvent{Kind: kind, Conn: rd.c.ID, Block: b}})
}
