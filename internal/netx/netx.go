// Package netx owns the sockets. A Host holds one port number for TCP and UDP,
// over IPv4 and IPv6; connections are dialled from that same port, so that a
// peer that hears of us by any way learns one address.
//
// What the rooms above need of a network are the interfaces of this file; in
// tests internal/simnet stands behind them. Addresses are netip.AddrPort,
// IPv4 never in its IPv6-mapped form.
//
// Open's errors are sentences for the user (*Error). Why sorts the errors of
// Dial and of connections.
package netx

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Dialer makes connections.
type Dialer interface {
	// Dial connects to a peer. It takes as long as ctx allows.
	Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// Listener takes connections.
type Listener interface {
	// Accept waits for a connection to any of Addrs. It fails only when ctx ends
	// or the Listener is closed (net.ErrClosed).
	Accept(ctx context.Context) (net.Conn, error)
	Addrs() []netip.AddrPort
	Close() error
}

// PacketConn is a UDP socket of one address family. Its methods may be called
// by several goroutines at once.
type PacketConn interface {
	// ReadBatch waits for datagrams and returns how many it has put into ms. It
	// fails only when the socket is closed (net.ErrClosed).
	ReadBatch(ms []Datagram) (int, error)
	// WriteBatch sends every datagram, Buf whole, and returns how many went out.
	// One that cannot be sent does not keep the others back; the error is that of
	// the first such.
	WriteBatch(ms []Datagram) (int, error)
	// WriteTo sends one datagram.
	WriteTo(b []byte, to netip.AddrPort) error
	LocalAddr() netip.AddrPort
	Close() error
}

// Filler is a PacketConn that knows how full the system's buffer for incoming
// datagrams is: from 0, nothing waits, to 1, the next ones are lost.
type Filler interface {
	Fill() float64
}

// Datagram is one of a batch. For reading, the caller provides Buf, and gets
// the first N bytes of it filled; what a longer datagram has more is lost. The
// memory stays the caller's throughout.
type Datagram struct {
	Buf  []byte
	N    int
	Addr netip.AddrPort // where it came from, or is to go
}

// Network is all of it: what a node runs on.
type Network interface {
	Dialer
	Listener
	// Port is the one port number, of every address.
	Port() uint16
	// UDP are the sockets, one for each family at hand.
	UDP() []*Socket
}

// RemoteAddr is the address of c's other end, without the mapped form.
func RemoteAddr(c net.Conn) netip.AddrPort { return addrPort(c.RemoteAddr()) }

// LocalAddr is the address of c's own end, without the mapped form.
func LocalAddr(c net.Conn) netip.AddrPort { return addrPort(c.LocalAddr()) }

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(interface{ AddrPort() netip.AddrPort })
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// ErrSelf is Dial's error when the address turned out to be our own.
var ErrSelf = errors.New("that address is our own")

// ErrNoFamily is Dial's error when the Host has no address of the peer's family.
var ErrNoFamily = errors.New("no local address of that family")
