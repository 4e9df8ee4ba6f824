// Package netx provides the sockets of a node. A Host uses one port number for TCP and
// UDP, over IPv4 and IPv6. Connections are dialed from the same port, so that peers see
// the address at which the node can be reached.
//
// Other packages use the interfaces of this file; in tests internal/simnet implements
// them. Addresses are netip.AddrPort, and IPv4 addresses are never in IPv6-mapped form.
//
// The errors of Open are sentences for the user (*Error). ReasonOf classifies the errors of
// Dial and of connections.
package netx

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Dialer opens connections.
type Dialer interface {
	// Dial connects to a peer. Only ctx limits the time it takes.
	Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// Listener accepts connections.
type Listener interface {
	// Accept waits for a connection to any of Addrs. It fails only if ctx ends or the
	// Listener is closed (net.ErrClosed).
	Accept(ctx context.Context) (net.Conn, error)
	Addrs() []netip.AddrPort
	Close() error
}

// PacketConn is a UDP socket of one address family. Its methods may be called
// concurrently.
type PacketConn interface {
	// ReadBatch waits for datagrams and returns how many it has stored in ms. It fails
	// only if the socket is closed (net.ErrClosed).
	ReadBatch(ms []Datagram) (int, error)
	// WriteBatch sends every datagram with all of Buf, sets its Err, and returns how many were
	// sent. If one cannot be sent, it still sends the others. It returns the first error.
	WriteBatch(ms []Datagram) (int, error)
	// WriteTo sends one datagram.
	WriteTo(b []byte, to netip.AddrPort) error
	LocalAddr() netip.AddrPort
	Close() error
}

// FillLeveler is implemented by a PacketConn that knows how full the system's receive buffer
// is, from 0 (empty) to 1 (further datagrams are lost).
type FillLeveler interface {
	FillLevel() float64
}

// Coalescer is implemented by a PacketConn that can read several datagrams into one buffer.
type Coalescer interface {
	// Coalesce makes ReadBatch do so from now on, and reports whether the system can. Every
	// Buf must then have CoalescedLen bytes.
	Coalesce() bool
}

// Datagram is one datagram of a batch, or several datagrams of the same length with the
// same address. To read, the caller provides Buf, and its first N bytes are filled; the rest
// of a longer datagram is lost. The memory always belongs to the caller.
type Datagram struct {
	Buf  []byte
	N    int
	Addr netip.AddrPort // its source or destination
	// Segment is 0 for one datagram. Otherwise, each Segment bytes are a datagram, and the
	// rest, which may be shorter, is the last one. ReadBatch sets it, but not to more than 0
	// unless Coalesce was called.
	Segment int
	// Err is why WriteBatch has not sent the datagram. If some segments were sent and others
	// were not, it is nil, and the others count as lost on the way. So after an error the
	// caller may send the same bytes in other segments.
	Err error
}

// Network is everything that a node needs of a network.
type Network interface {
	Dialer
	Listener
	// Port returns the port number, which is the same for every address.
	Port() uint16
	// UDP returns the UDP sockets, one for each family available.
	UDP() []*Socket
}

// RemoteAddr returns the remote address of c, never in mapped form.
func RemoteAddr(c net.Conn) netip.AddrPort { return addrPort(c.RemoteAddr()) }

// LocalAddr returns the local address of c, never in mapped form.
func LocalAddr(c net.Conn) netip.AddrPort { return addrPort(c.LocalAddr()) }

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// ErrSelf is the error of Dial if the address turned out to be our own.
var ErrSelf = errors.New("the address is our own")

// ErrNoFamily is the error of Dial if the Host has no address of the peer's family.
var ErrNoFamily = errors.New("this machine has no address of that family")
