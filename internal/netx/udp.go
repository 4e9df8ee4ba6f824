package netx

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Sizes of the system's buffers for a UDP socket, in bytes: a burst of some thousand
// datagrams. If the system grants less, that is not an error.
const (
	udpReadBuffer  = 1 << 20
	udpWriteBuffer = 1 << 20
)

// udpConn is a PacketConn on a real socket. It uses the system's batch calls where they
// exist.
type udpConn struct {
	c     *net.UDPConn
	local netip.AddrPort
	batch batcher

	cutting sync.Mutex // guards cut
	cut     []Datagram // used by writeCut only

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
		case !isTransient(err):
			time.Sleep(firstPause) // the machine lacks some resource
		}
	}
}

// WriteBatch implements PacketConn.
func (u *udpConn) WriteBatch(ms []Datagram) (sent int, err error) {
	for len(ms) > 0 {
		n, e := u.batch.write(ms)
		for i := range ms[:n] {
			ms[i].Err = nil
		}
		sent += n
		if ms = ms[n:]; e == nil {
			continue
		}
		if errors.Is(e, net.ErrClosed) {
			for i := range ms {
				ms[i].Err = net.ErrClosed
			}
			return sent, net.ErrClosed
		}
		if ms[0].isSegmented() && u.batch.mustCut(&ms[0], e) {
			e = u.writeCut(&ms[0], u.batch.write)
		}
		if ms[0].Err = e; e == nil {
			sent++
		} else if err == nil {
			err = e
		}
		ms = ms[1:]
	}
	return sent, err
}
