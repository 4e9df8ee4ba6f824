package swarm

import (
	"sync"
	"time"

	"seedbed/swarm/engine"
)

// outboxSize bounds what waits for a peer that reads slowly, blocks apart: the
// engine counts those. A single longer message is let through.
const outboxSize = 256 << 10

// writeTimeout is how long one write may take: of a block, mostly.
const writeTimeout = 2 * time.Minute

// An outbox holds what a connection has to send. The loop fills it and never
// waits; a writer goroutine empties it and ends when it is empty.
type outbox struct {
	c *conn

	mu      sync.Mutex
	room    sync.Cond // signalled when the writer ends
	bytes   []byte
	unsent  int // bytes of messages that are not written, in bytes or with the writer
	sealed  int // so many of bytes are encrypted already
	uploads []engine.Block
	writing bool // a writer runs
	shut    bool

	spare []byte // the writer's, to be swapped with bytes
	batch int    // the writer's: how much is read at once for this peer
}

// flush hands over what the loop's turn made for the connection.
func (c *conn) flush() {
	c.dirty = false
	if f := c.out.add(c.bytes, c.uploads); f != engine.FaultNone {
		c.close(f)
	}
	c.bytes, c.uploads = c.bytes[:0], c.uploads[:0]
	if cap(c.bytes) > 64<<10 {
		c.bytes = nil
	}
}

// add sends b if the socket takes it at once and keeps the rest for a writer. It
// may encrypt b.
func (o *outbox) add(b []byte, uploads []engine.Block) engine.Fault {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut {
		return engine.FaultNone
	}
	if !o.writing && o.c.raw != nil && len(b) > 0 {
		o.c.seal(b)
		n, err := o.c.raw.tryWrite(b)
		if err != nil {
			return faultOf(err)
		}
		o.c.t.up.Spend(n)
		b = b[n:]
		o.sealed = len(b)
	}
	if len(o.bytes) > 0 && len(o.bytes)+len(b) > outboxSize {
		return engine.FaultSlow
	}
	o.bytes = append(o.bytes, b...)
	o.unsent += len(b)
	o.uploads = append(o.uploads, uploads...)
	if !o.writing && len(o.bytes)+len(o.uploads) > 0 {
		o.writing = true
		go o.c.write()
	}
	return engine.FaultNone
}

// write is the writer's goroutine. Messages go before blocks: they are short,
// and what they answer waits.
func (c *conn) write() {
	o := &c.out
	var blocks []engine.Block
	for {
		o.mu.Lock()
		if o.shut || len(o.bytes)+len(o.uploads)+len(blocks) == 0 {
			o.writing = false
			o.room.Broadcast()
			o.mu.Unlock()
			return
		}
		b, sealed := o.bytes, o.sealed
		o.bytes, o.spare, o.sealed = o.spare[:0], nil, 0
		blocks = append(blocks, o.uploads...)
		o.uploads = o.uploads[:0]
		o.mu.Unlock()

		c.seal(b[sealed:])
		c.t.up.Spend(len(b))
		err := c.writeBytes(b)
		if len(b) > 0 {
			o.mu.Lock()
			o.unsent -= len(b)
			o.mu.Unlock()
		}
		if cap(b) <= 64<<10 {
			o.spare = b
		}
		if err == nil && len(blocks) > 0 {
			var n int
			n, err = c.upload(blocks)
			blocks = blocks[:copy(blocks, blocks[n:])]
		}
		if err != nil {
			c.close(faultOf(err))
		}
	}
}

// hasMessages reports whether messages, blocks apart, wait to be written.
func (o *outbox) hasMessages() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unsent > 0
}

// seal encrypts in place what is written next, if the connection is encrypted.
func (c *conn) seal(b []byte) {
	if c.crypt != nil {
		c.crypt.Encrypt(b)
	}
}

// writeBytes writes what is sealed.
func (c *conn) writeBytes(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if err := c.nc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.nc.Write(b)
	if err != nil {
		return err
	}
	// A wait that is none of the peer's fault, for the rate limit or for the disk,
	// follows: the deadline must not pass meanwhile.
	return c.nc.SetWriteDeadline(time.Time{})
}

func (o *outbox) close() {
	o.mu.Lock()
	o.shut = true
	o.mu.Unlock()
}

// wait returns when no writer runs any more.
func (o *outbox) wait() {
	o.mu.Lock()
	for o.writing {
		o.room.Wait()
	}
	o.bytes, o.uploads, o.spare = nil, nil, nil
	o.mu.Unlock()
}
