package simnet

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// window is how many unread bytes one direction holds.
	window = 256 << 10
	// segment is the maximum number of bytes that travel together.
	segment = 16 << 10
	// resend is the additional delay of a lost segment.
	resend = 200 * time.Millisecond
)

// pair is a connection: two ends with one lock.
type pair struct {
	mu      sync.Mutex
	changed chan struct{} // closed on any change if someone waits
	ends    [2]*conn
}

// change wakes the calls that wait, and calls the callbacks.
func (p *pair) change() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
	for _, c := range p.ends {
		c.callBack()
	}
}

// wait releases the lock until something changes or until the given time (zero: no
// limit).
func (p *pair) wait(until time.Time) {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	ch := p.changed
	p.mu.Unlock()
	defer p.mu.Lock()
	if until.IsZero() {
		<-ch
		return
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-ch:
	case <-t.C:
	}
}

// conn is one end. It implements net.Conn.
type conn struct {
	*pair
	host *Host
	peer *conn
	t    tuple

	in            []seg     // in transit to this end, in order of arrival
	size          int       // bytes in "in"
	last          time.Time // arrival of the latest segment
	fin           time.Time // when the other end's close arrives; zero if it is open
	reset         time.Time // when a reset arrives; zero if none
	closed        bool      // closed by this end
	readDeadline  time.Time
	writeDeadline time.Time

	readable, writable func()      // callbacks; nil if no one waits
	wake               *time.Timer // calls back what becomes ready with time
	wakeAt             time.Time   // when wake fires; zero if it is not set
}

type seg struct {
	at time.Time
	b  []byte
}

// newPair returns the dialing end of a new connection. The other end has no host until it
// is accepted.
func newPair(h *Host, t tuple) *conn {
	p := new(pair)
	c := &conn{pair: p, host: h, t: t}
	c.peer = &conn{pair: p, peer: c, t: tuple{t.remote, t.local}}
	p.ends = [2]*conn{c, c.peer}
	return c
}

func (c *conn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.t.local) }
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.t.remote) }

func (c *conn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// passed reports whether at is set and not after now.
func passed(at, now time.Time) bool { return !at.IsZero() && !at.After(now) }

// earliest returns the first of the times that are set.
func earliest(ts ...time.Time) (first time.Time) {
	for _, t := range ts {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

func (c *conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case c.closed:
			return 0, c.fail("read", net.ErrClosed)
		case passed(c.readDeadline, now):
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
		case len(c.in) > 0 && passed(c.in[0].at, now):
			n := c.take(b, now)
			c.change() // there is space again
			return n, nil
		case passed(c.reset, now):
			return 0, c.fail("read", os.NewSyscallError("read", syscall.ECONNRESET))
		case len(c.in) == 0 && passed(c.fin, now):
			return 0, io.EOF
		}
		next := earliest(c.readDeadline, c.reset)
		if len(c.in) > 0 {
			next = earliest(next, c.in[0].at)
		} else {
			next = earliest(next, c.fin)
		}
		c.wait(next)
	}
}

// take moves what has arrived to b, as much as fits.
func (c *conn) take(b []byte, now time.Time) (n int) {
	for len(c.in) > 0 && passed(c.in[0].at, now) && n < len(b) {
		s := &c.in[0]
		k := copy(b[n:], s.b)
		n += k
		if s.b = s.b[k:]; len(s.b) == 0 {
			c.in = c.in[1:]
		}
	}
	c.size -= n
	return n
}

func (c *conn) Write(b []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case c.closed:
			return n, c.fail("write", net.ErrClosed)
		case passed(c.writeDeadline, now):
			return n, c.fail("write", os.ErrDeadlineExceeded)
		case passed(c.reset, now):
			return n, c.fail("write", os.NewSyscallError("write", syscall.EPIPE))
		case len(b) == 0:
			return n, nil
		}
		room := min(window-c.peer.size, segment, len(b))
		if room <= 0 {
			c.wait(earliest(c.writeDeadline, c.reset))
			continue
		}
		c.send(b[:room])
		b, n = b[room:], n+room
	}
}

// send sends b.
func (c *conn) send(b []byte) {
	p := c.peer
	at, there := c.arrival(len(b))
	switch {
	case !there:
		p.size += len(b) // never acknowledged: it occupies its space forever
	case p.closed:
		// Data for a closed socket is answered with a reset.
		c.reset = earliest(c.reset, at.Add(time.Until(at)))
		c.change()
	default:
		p.in = append(p.in, seg{at, append([]byte(nil), b...)})
		p.size += len(b)
		c.change()
	}
}

// arrival returns when size bytes that are sent now reach the other end, if they do.
func (c *conn) arrival(size int) (at time.Time, there bool) {
	n := c.host.net
	n.mu.Lock()
	there = c.host.reaches(c.t.remote.Addr()) != nil && slices.Contains(*c.host.addrs.Load(), c.t.local.Addr())
	n.mu.Unlock()
	at, lost := n.depart(flow{'t', c.t.local, c.t.remote}, size)
	if lost {
		at = at.Add(resend)
	}
	if at.Before(c.peer.last) {
		at = c.peer.last
	}
	c.peer.last = at
	return at, there
}

// Close closes the connection. As with real TCP, the other end receives the data in
// transit and then EOF, or a reset if this end left something unread.
func (c *conn) Close() error { return c.close(false) }

// Reset closes the connection so that the other end gets an error.
func (c *conn) Reset() { c.close(true) }

func (c *conn) close(reset bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.fail("close", net.ErrClosed)
	}
	if c.host != nil && !c.peer.closed {
		if at, there := c.arrival(0); there {
			if reset || len(c.in) > 0 {
				c.peer.reset = earliest(c.peer.reset, at)
			} else {
				c.peer.fin = at
			}
		}
	}
	c.closed, c.in = true, nil
	c.change()
	c.forget()
	return nil
}

// forget frees the port.
func (c *conn) forget() {
	if c.host == nil {
		return
	}
	n := c.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.host.conns[c.t] == c {
		delete(c.host.conns, c.t)
	}
}

func (c *conn) SetDeadline(t time.Time) error {
	return c.setDeadline(func() { c.readDeadline, c.writeDeadline = t, t })
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(func() { c.readDeadline = t })
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(func() { c.writeDeadline = t })
}

func (c *conn) setDeadline(set func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.fail("set", net.ErrClosed)
	}
	set()
	c.change()
	return nil
}

var _ net.Conn = (*conn)(nil)
