package netx

import (
	"net"
	"net/netip"
	"sync"
)

// absentConn is the PacketConn of a Host whose interface is missing. It receives and sends
// nothing.
type absentConn struct {
	local  netip.AddrPort
	closed chan struct{}
	once   sync.Once
}

func newAbsent(local netip.AddrPort) PacketConn {
	return &absentConn{local: local, closed: make(chan struct{})}
}

// ReadBatch implements PacketConn.
func (a *absentConn) ReadBatch([]Datagram) (int, error) {
	<-a.closed
	return 0, net.ErrClosed
}

// WriteBatch implements PacketConn.
func (a *absentConn) WriteBatch(ms []Datagram) (int, error) {
	for i := range ms {
		ms[i].Err = ErrNoInterface
	}
	return 0, ErrNoInterface
}

// WriteTo implements PacketConn.
func (a *absentConn) WriteTo([]byte, netip.AddrPort) error { return ErrNoInterface }

// LocalAddr implements PacketConn.
func (a *absentConn) LocalAddr() netip.AddrPort { return a.local }

// Close implements PacketConn.
func (a *absentConn) Close() error {
	a.once.Do(func() { close(a.closed) })
	return nil
}
