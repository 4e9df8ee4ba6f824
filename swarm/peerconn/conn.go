package peerconn

import (
	"net"
	"sync"
	"sync/atomic"

	"seedbed/internal/buf"
	"seedbed/internal/shaper"
	"seedbed/internal/traffic"
	"seedbed/swarm/engine"
	"seedbed/swarm/mse"
)

// Arrival is something that arrived from a peer: a block event, or an event with another
// message.
type Arrival struct {
	Block  engine.BlockEvent // none if its kind is 0
	Buffer *buf.Buffer       // of BlockArrived: the buffer with the payload, including a reference
	Event  engine.Event      // may be nil
}

// Owner is the torrent of a connection. Its methods are called on the connection's
// goroutines.
type Owner interface {
	// Arrived accepts what arrived, in order. It may wait, which slows the peer down. It
	// must not keep the slice. It reports whether the torrent still accepts anything.
	Arrived([]Arrival) bool
	// ReadAt reads b from offset off of the torrent, for an upload.
	ReadAt(b []byte, off int64) error
	// PieceLength returns the torrent's piece length in bytes. It is called only when
	// there are uploads.
	PieceLength() int64
	// Uploaded reports that the system has accepted these blocks. It must not wait, and must not keep the list.
	Uploaded([]engine.Block)
	// Unread reports that these blocks could not be read and will not be sent. It must
	// not wait, and must not keep the list.
	Unread([]engine.Block, error)
	// MaxFrame returns the length of the longest message that is valid now, in bytes.
	MaxFrame() int
	// Ended is the last call: all resources have been released. If fault is FaultNone,
	// err is the reason.
	Ended(fault engine.Fault, err error)
}

// Config configures a connection.
type Config struct {
	ID        engine.Conn
	Owner     Owner
	Resources *Resources
	Up, Down  *shaper.Flow
	Meter     *traffic.Meter // counts all bytes; may be nil
}

// Conn is a connection after its handshake.
type Conn struct {
	Config
	raw      RawConn
	crypt    *mse.Stream // encrypts raw; nil without encryption
	requests requests
	in       reader
	out      sender

	readable func() // starts the reader, repeatedly

	closed atomic.Bool  // the connection was closed
	endMu  sync.Mutex   // guards the following fields
	fault  engine.Fault // the first reason for closing; if FaultNone, it is err
	err    error
}

// New takes over nc, which may be encrypted (a *mse.Conn). It reads nothing before Start.
func New(nc net.Conn, cfg Config) *Conn {
	if cfg.Meter == nil {
		cfg.Meter = new(traffic.Meter)
	}
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

// Start starts the reader. Owner.Ended will be called eventually.
func (c *Conn) Start() { c.readable() }

// Discard releases a connection that was not started.
func (c *Conn) Discard() {
	c.raw.Shutdown()
	c.raw.Release()
}

// Expect records a request before it is sent. It returns false if the connection has
// ended; the caller then keeps the lease.
func (c *Conn) Expect(o Request) bool { return c.requests.put(o) }

// Cancel forgets the request of a block, and reports whether the block was still
// outstanding.
func (c *Conn) Cancel(b engine.Block) bool {
	o, ok := c.requests.take(b)
	if ok {
		o.Lease.Release()
	}
	return ok
}

// Close ends the connection. Only the first reason is kept.
func (c *Conn) Close(f engine.Fault) { c.end(f, nil) }

// Abort is Close for a connection whose peer is probably out of reach. Where the system allows
// it, nothing more is sent but a reset.
func (c *Conn) Abort(f engine.Fault) {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	// Once closed, the connection may be released, and its descriptor may be that of another one.
	if a, ok := c.raw.(interface{ Abort() }); ok && !c.closed.Load() {
		a.Abort()
	}
	c.endLocked(f, nil)
}

// fail ends the connection because of an error.
func (c *Conn) fail(err error) { c.end(engine.FaultNone, err) }

func (c *Conn) end(f engine.Fault, err error) {
	c.endMu.Lock()
	defer c.endMu.Unlock()
	c.endLocked(f, err)
}

// endLocked is end for a caller that holds endMu.
func (c *Conn) endLocked(f engine.Fault, err error) {
	if c.closed.Load() {
		return
	}
	c.fault, c.err = f, err
	c.closed.Store(true)
	c.raw.Shutdown() // also wakes a waiting reader
	c.in.wake()
}

// finish releases everything after the last read.
func (c *Conn) finish(err error) {
	c.fail(err)
	c.requests.close()
	c.out.close()
	c.in.drop()
	c.raw.Release()
	c.Owner.Ended(c.fault, c.err)
}
