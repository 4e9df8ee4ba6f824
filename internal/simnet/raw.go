package simnet

import (
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// iovMax is how many buffers a vectored write may have, as on Linux.
const iovMax = 1024

// The methods below make a conn a peerconn.RawConn: they read and write without blocking,
// and callbacks report when the connection is ready.

// TryRead reads what has arrived; if nothing has, n is 0 and err is nil.
func (c *conn) TryRead(b []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch now := time.Now(); {
	case c.closed:
		return 0, c.fail("read", net.ErrClosed)
	case len(c.in) > 0 && passed(c.in[0].at, now):
		n = c.take(b, now)
		c.change() // there is space again
		return n, nil
	case passed(c.reset, now):
		return 0, c.fail("read", os.NewSyscallError("read", syscall.ECONNRESET))
	case len(c.in) == 0 && passed(c.fin, now):
		return 0, io.EOF
	}
	return 0, nil
}

// TryWritev writes what fits into the window.
func (c *conn) TryWritev(vec [][]byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return 0, c.fail("write", net.ErrClosed)
	case passed(c.reset, time.Now()):
		return 0, c.fail("write", os.NewSyscallError("write", syscall.EPIPE))
	case len(vec) > iovMax:
		return 0, c.fail("write", os.NewSyscallError("writev", syscall.EINVAL))
	}
	for _, b := range vec {
		for len(b) > 0 {
			room := min(window-c.peer.size, segment, len(b))
			if room <= 0 {
				return n, nil
			}
			c.send(b[:room])
			b, n = b[room:], n+room
		}
	}
	return n, nil
}

// AwaitReadable calls ready once when TryRead would return bytes, EOF or an error.
func (c *conn) AwaitReadable(ready func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readable = ready
	c.callBack()
}

// AwaitWritable calls ready once when TryWritev would write something or fail.
func (c *conn) AwaitWritable(ready func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writable = ready
	c.callBack()
}

// Shutdown closes both directions.
func (c *conn) Shutdown() { _ = c.Close() }

// Release does nothing: Shutdown has already freed the port.
func (c *conn) Release() {}

// callBack calls the callbacks that are due, and sets the timer for the next ones.
func (c *conn) callBack() {
	now := time.Now()
	var next time.Time
	if f := c.readable; f != nil {
		at := c.reset
		if len(c.in) > 0 {
			at = earliest(at, c.in[0].at)
		} else {
			at = earliest(at, c.fin)
		}
		if c.closed || passed(at, now) {
			c.readable = nil
			f()
		} else {
			next = at
		}
	}
	if f := c.writable; f != nil {
		if c.closed || passed(c.reset, now) || c.peer.size < window {
			c.writable = nil
			f()
		} else {
			next = earliest(next, c.reset)
		}
	}
	switch {
	case next.IsZero() || next.Equal(c.wakeAt):
	case c.wake == nil:
		c.wakeAt = next
		c.wake = time.AfterFunc(next.Sub(now), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.wakeAt = time.Time{}
			c.callBack()
		})
	default:
		c.wakeAt = next
		c.wake.Reset(next.Sub(now))
	}
}
