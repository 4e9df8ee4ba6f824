package netx

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// The system's buffers of a UDP socket, in bytes: a burst of some thousand
// datagrams. What the system does not grant is gone without.
const (
	udpReadBuffer  = 1 << 20
	udpWriteBuffer = 1 << 20
)

// udpConn is a PacketConn of a real socket. Its batches are the system's where
// it has them.
type udpConn struct {
	c     *net.UDPConn
	local netip.AddrPort
	batch batcher

	metering sync.Mutex
	meter    meter
}

func newUDP(c *net.UDPConn) PacketConn {
	c.SetReadBuffer(udpReadBuffer)
	c.SetWriteBuffer(udpWriteBuffer)
	u := &udpConn{c: c, local: addrPort(c.LocalAddr())}
	u.batch.init(c)
	return u
}

// LocalAddr implements PacketConn.
func (u *udpConn) LocalAddr() netip.AddrPort { return u.local }

// WriteTo implements PacketConn.
func (u *udpConn) WriteTo(b []byte, to netip.AddrPort) error {
	_, err := u.c.WriteToUDPAddrPort(b, to)
	return err
}

// Close implements PacketConn.
func (u *udpConn) Close() error { return u.c.Close() }

// ReadBatch implements PacketConn.
func (u *udpConn) ReadBatch(ms []Datagram) (int, error) {
	for {
		n, err := u.batch.read(ms)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, net.ErrClosed):
			return 0, net.ErrClosed
		case !passing(err):
			time.Sleep(firstPause) // the machine is short of something
		}
	}
}

// WriteBatch implements PacketConn.
func (u *udpConn) WriteBatch(ms []Datagram) (sent int, err error) {
	for len(ms) > 0 {
		n, e := u.batch.write(ms)
		sent += n
		if ms = ms[n:]; e == nil {
			continue
		}
		if errors.Is(e, net.ErrClosed) {
			return sent, net.ErrClosed
		}
		if err == nil {
			err = e
		}
		ms = ms[1:] // the one that could not be sent
	}
	return sent, err
}
