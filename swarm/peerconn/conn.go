package peerconn

import (
	"net"
	"sync"
	"sync/atomic"

	"seedbed/internal/buf"
	"seedbed/internal/shaper"
	"seedbed/swarm/engine"
	"seedbed/swarm/mse"
)

// An Arrival is what arrived from a peer: what happened to a block, or an event,
// which is a message.
type Arrival struct {
	Block  engine.BlockEvent // or none, when its kind is 0
	Buffer *buf.Buffer       // of BlockArrived: where the payload is, with a reference
	Event  engine.Event      // or nil
}

// An Owner is the torrent that a connection works for. Its methods are called
// from the connection's goroutines.
type Owner interface {
	// Arrived takes what arrived, in order. It may wait, which slows the peer down.
	// The slice is the connection's again afterwards. It reports whether the
	// torrent still takes anything.
	Arrived([]Arrival) bool
	// ReadAt reads b at off of the torrent, for an upload.
	ReadAt(b []byte, off int64) error
	// PieceLength is the torrent's, in bytes. It is asked for when there are uploads.
	PieceLength() int64
	// Uploaded tells that the system has accepted these blocks. It must not wait.
	Uploaded([]engine.Block)
	// Unread tells that these blocks could not be read and are not sent. It must not
	// wait.
	Unread([]engine.Block, error)
	// MaxFrame is the longest message in bytes that makes sense at this time.
	MaxFrame() int
	// Ended is the last call: all is released. If fault is FaultNone the error tells
	// why.
	Ended(fault engine.Fault, err error)
}

// Config is what a connection is made of.
type Config struct {
	ID        engine.Conn
	Owner     Owner
	Resources *Resources
	Up, Down  *shaper.Flow
}

// A Conn is one connection after its handshake.
type Conn struct {
	Config
	raw    RawConn
	crypt  *mse.Stream // around raw; nil in the clear
	orders orders
	in     reader
	out    sender

	readable func() // starts the reader, also again

	over  atomic.Bool  // it was closed
	endMu sync.Mutex   // guards all below
	fault engine.Fault // the first reason why it was closed, or FaultNone and
	err   error
}

// New takes nc over, which may be encrypted (a *mse.Conn). Nothing is read before
// Start.
func New(nc net.Conn, cfg Config) *Conn {
	c := &Conn{Config: cfg}
	c.in.c, c.out.c = c, c
	c.out.batch = batchBytes
	c.readable = func() { go c.in.run() }
	c.in.waiter.Granted = c.readable
	if m, ok := nc.(*mse.Conn); ok {
		nc, c.in.early, c.crypt = m.Unwrap()
	}
	c.raw = cfg.Resources.rawConn(nc)
	return c
}

// Start starts the reader. Owner.Ended follows at some time.
func (c *Conn) Start() { c.readable() }

// Discard releases a connection that is not to be started.
func (c *Conn) Discard() {
	c.raw.Shutdown()
	c.raw.Release()
}

// Expect puts a block on order, before it is requested. It fails when the
// connection has ended; the lease is the caller's then.
func (c *Conn) Expect(o Order) bool { return c.orders.put(o) }

// Cancel ends the order of a block. It reports whether the block was on order
// still.
func (c *Conn) Cancel(b engine.Block) bool {
	o, ok := c.orders.take(b)
	if ok {
		o.Lease.Release()
	}
	return ok
}

// Close ends the connection. Only the first reason counts.
func (c *Conn) Close(f engine.Fault) { c.end(f, nil) }

// fail ends the connection for an error.
func (c *Conn) fail(err error) { c.end(engine.FaultNone, err) }

func (c *Conn) end(f engine.Fault, err error) {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	if c.over.Load() {
		return
	}
	c.fault, c.err = f, err
	c.over.Store(true)
	c.raw.Shutdown() // which wakes the reader that waits for bytes
	c.in.wake()
}

// finish is what comes after the last read.
func (c *Conn) finish(err error) {
	c.fail(err)
	c.orders.close()
	c.out.close()
	c.in.drop()
	c.raw.Release()
	c.Owner.Ended(c.fault, c.err)
}
