package peerconn

import (
	"encoding/binary"
	"net"
	"slices"

	"seedbed/internal/shaper"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// readBuffer is how much is read at once. As measured, 4 KiB doubles the number of system
// calls, and a larger buffer does not fit the cache.
const readBuffer = 64 << 10

// limitedRead is how many bytes are admitted at once under a download limit: one block,
// so that at most one partial block is waiting.
const limitedRead = shaper.Grain + wire.PieceHeaderLen

// reader turns the bytes of a connection into arrivals. All arrivals of one read are
// delivered together, so that a lock is taken once for several blocks.
//
// A block is copied to its piece buffer when it is complete. The copy is from the processor's
// cache and takes 0.4 µs. If a peer stops sending in the middle of a block, other peers can
// still deliver that block.
type reader struct {
	c      *Conn
	early  []byte     // what arrived with the handshake; it is short
	space  *readSpace // nil while the connection is idle, or if b is longer than usual
	b      []byte     // nil while the connection is idle
	r, w   int        // b[r:w] is unread
	skip   int        // bytes of an unwanted block that have yet to arrive
	events []Arrival

	// For the download limit. A read is admitted before it is made, so that neither a
	// goroutine nor a buffer waits.
	waiter  shaper.Waiter
	allowed int // bytes admitted but not read; 0 without a limit
}

// freeSpace returns the space for the next read. It gets a buffer if there is none.
func (rd *reader) freeSpace() []byte {
	if rd.b == nil {
		rd.space = rd.c.Resources.readBuffers.get()
		rd.b, rd.events = rd.space.b[:], rd.space.events
	}
	room := rd.b[rd.w:]
	if rd.allowed > 0 {
		room = room[:min(len(room), rd.allowed)]
	}
	return room
}

// drop returns the buffer to the pool. All events must have been delivered.
func (rd *reader) drop() {
	switch pool := &rd.c.Resources.readBuffers; {
	case rd.space != nil:
		rd.space.events = rd.events[:0]
		pool.put(rd.space)
	case rd.b != nil:
		pool.unreserve(len(rd.b))
	}
	rd.space, rd.b, rd.r, rd.w, rd.events = nil, nil, 0, 0, nil
}

// run reads until nothing more has arrived, and is called again when more arrives.
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

// admitted reports whether a read may be made. If not, run will be called when it may,
// perhaps before admitted returns, so the caller must not touch the reader afterwards.
func (rd *reader) admitted() bool {
	if rd.allowed > 0 || rd.early != nil || !rd.c.Down.Limited() {
		return true
	}
	if rd.r == rd.w {
		rd.drop()
	}
	rd.allowed = limitedRead
	if rd.c.Down.Admit(&rd.waiter, rd.allowed) {
		return true
	}
	// If the connection was closed, exactly one caller must continue: this one or wake.
	return rd.c.closed.Load() && rd.c.Down.Cancel(&rd.waiter)
}

// wake ends the wait for admission of a closed connection.
func (rd *reader) wake() {
	if rd.c.Down.Cancel(&rd.waiter) {
		rd.c.readable()
	}
}

// handle delivers everything that the n bytes just read complete.
func (rd *reader) handle(n int) error {
	rd.w += n
	need, err := rd.parse()
	if !rd.push() {
		return net.ErrClosed
	}
	if err != nil {
		return err
	}
	return rd.makeSpace(need)
}

// pushAt is the maximal number of arrivals delivered at once.
const pushAt = 32

// push delivers the arrivals. It reports whether the owner accepts them.
func (rd *reader) push() bool {
	if len(rd.events) == 0 {
		return true
	}
	ok := rd.c.Owner.Arrived(rd.events)
	clear(rd.events)
	rd.events = rd.events[:0]
	return ok
}

// read reads and decrypts what has arrived, as far as admitted.
func (rd *reader) read() (n int, err error) {
	if rd.early != nil {
		n = copy(rd.freeSpace(), rd.early)
		rd.early = nil
		return n, nil
	}
	if rd.c.closed.Load() {
		return 0, net.ErrClosed
	}
	n, err = rd.c.raw.TryRead(rd.freeSpace())
	rd.c.Meter.Received(n)
	if rd.allowed > 0 {
		rd.c.Down.Refund(rd.allowed - n)
		rd.allowed = 0
	}
	if rd.c.crypt != nil {
		rd.c.crypt.Decrypt(rd.b[rd.w : rd.w+n])
	}
	return n, err
}

// makeSpace moves unread bytes to the front and ensures that there is space for more of a
// frame of need bytes. A frame longer than the buffer gets a larger one, which grows with the
// received bytes and not with the announced length.
func (rd *reader) makeSpace(need int) error {
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
	if !rd.c.Resources.readBuffers.reserve(longer) {
		return errLongFrames
	}
	old, w := rd.b, rd.w
	copied := append(make([]byte, 0, longer), old...)[:longer]
	rd.drop()
	rd.b, rd.w = copied, w
	return nil
}

// errLongFrames ends a connection because the peers that are sending unusually long messages
// already take the memory for them (maxLong).
var errLongFrames = &wire.Error{Kind: wire.TooLong}

// parse handles all complete frames. need is the length of the incomplete one.
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
		// Copy the payload, because the buffer is reused while the item waits.
		m.Payload = slices.Clone(m.Payload)
		rd.events = append(rd.events, Arrival{Event: &engine.EvMessage{Conn: rd.c.ID, Msg: m}})
		rd.r += n
	}
}

// piece handles the piece message of n bytes at the start of b. It returns false if a
// requested block is still incomplete.
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
		if rd.c.requests.has(block) {
			return false, nil
		}
	} else if o, ok := rd.c.requests.take(block); ok {
		rd.r += n
		dst := o.Lease.Begin()
		if dst == nil {
			o.Lease.Release()
			rd.block(engine.BlockUnwanted, block)
			return true, nil
		}
		copy(dst, b[wire.PieceHeaderLen:n])
		o.Lease.Done()
		// The lease's buffer reference is passed on.
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

// block appends a block event without payload.
func (rd *reader) block(kind engine.BlockEventKind, b engine.Block) {
	rd.events = append(rd.events, Arrival{Block: engine.BlockEvent{Kind: kind, Conn: rd.c.ID, Block: b}})
}
