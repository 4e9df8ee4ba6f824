package dht

import (
	"net"
	"net/netip"
	"testing"

	"seedbed/internal/netx"
)

// udpConn is a real socket in the simplest way.
type udpConn struct{ c *net.UDPConn }

func listenUDP(t testing.TB, addr string) *udpConn {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
	if err != nil {
		t.Fatal(err)
	}
	return &udpConn{c}
}

func (u *udpConn) ReadBatch(ms []netx.Datagram) (int, error) {
	n, from, err := u.c.ReadFromUDPAddrPort(ms[0].Buf)
	if err != nil {
		return 0, err
	}
	ms[0].N, ms[0].Addr = n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return 1, nil
}

func (u *udpConn) WriteBatch(ms []netx.Datagram) (n int, first error) {
	for _, m := range ms {
		if err := u.WriteTo(m.Buf, m.Addr); err != nil && first == nil {
			first = err
		} else if err == nil {
			n++
		}
	}
	return n, first
}

func (u *udpConn) WriteTo(b []byte, to netip.AddrPort) error {
	_, err := u.c.WriteToUDPAddrPort(b, to)
	return err
}

func (u *udpConn) LocalAddr() netip.AddrPort { return u.c.LocalAddr().(*net.UDPAddr).AddrPort() }
func (u *udpConn) Close() error              { return u.c.Close() }
