// Package traffic counts bytes that are sent and received.
package traffic

import (
	"net"
	"net/netip"
	"sync/atomic"
)

// Bytes is a number of bytes received and sent.
type Bytes struct{ In, Out int64 }

// A Meter counts bytes. Its methods may be called from any goroutine.
type Meter struct{ in, out atomic.Int64 }

// Received counts n bytes that were received.
func (m *Meter) Received(n int) { m.in.Add(int64(n)) }

// Sent counts n bytes that were sent.
func (m *Meter) Sent(n int) { m.out.Add(int64(n)) }

// Bytes returns the bytes since the start.
func (m *Meter) Bytes() Bytes { return Bytes{m.in.Load(), m.out.Load()} }

// Conn returns c with its bytes counted.
func (m *Meter) Conn(c net.Conn) net.Conn { return &meteredConn{c, m} }

type meteredConn struct {
	net.Conn
	m *Meter
}

// Read implements net.Conn.
func (c *meteredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.m.Received(n)
	return n, err
}

// Write implements net.Conn.
func (c *meteredConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.m.Sent(n)
	return n, err
}

// ByFamily holds a value for each address family.
type ByFamily[T any] struct{ V4, V6 T }

// Of returns the value for the family of an address.
func (f *ByFamily[T]) Of(a netip.Addr) *T {
	if a.Unmap().Is6() {
		return &f.V6
	}
	return &f.V4
}
