package httpd

import (
	"errors"
	"net"
	"net/netip"
	"testing"
)

// queue is a listener whose connections come from the addresses in it.
type queue chan string

func (q queue) Accept() (net.Conn, error) {
	addr, ok := <-q
	if !ok {
		return nil, net.ErrClosed
	}
	return &fakeConn{addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(addr))}, nil
}
func (q queue) Addr() net.Addr { return &net.TCPAddr{} }
func (q queue) Close() error   { return nil }

type fakeConn struct {
	net.Conn
	addr net.Addr
}

func (c *fakeConn) RemoteAddr() net.Addr { return c.addr }
func (c *fakeConn) Close() error         { return nil }

// connect opens n connections from an address and returns those that are accepted.
func connect(t *testing.T, l net.Listener, q queue, addr string, n int) (accepted []net.Conn) {
	t.Helper()
	const last = "203.0.113.255:9" // ends the wait for the others
	go func() {
		for range n {
			q <- addr
		}
		q <- last
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if c.RemoteAddr().String() == last {
			c.Close()
			return accepted
		}
		accepted = append(accepted, c)
	}
}

// One client cannot take all connections, wherever it connects from. Others still can connect, and so
// can the client when it closes one.
func TestOneClientCannotTakeAllConnections(t *testing.T) {
	for _, c := range []struct {
		name, first, same, other string
		limit                    int
	}{
		{"IPv4", "198.51.100.7:1", "[::ffff:198.51.100.7]:2", "198.51.100.8:1", maxOfClient},
		{"IPv6", "[2001:db8::1]:1", "[2001:db8::ffff:1]:1", "[2001:db8:0:1::1]:1", maxOfClient},
		{"loopback", "127.0.0.1:1", "127.9.9.9:2", "198.51.100.8:1", maxOfTrusted},
		{"proxy", "192.0.2.9:1", "192.0.2.9:2", "192.0.2.10:1", maxOfTrusted},
	} {
		q := make(queue)
		l := limitClients(q, func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.9") })
		all := connect(t, l, q, c.first, maxConns)
		if len(all) != c.limit || c.limit >= maxConns {
			t.Errorf("%s: %d connections of %d, want %d", c.name, len(all), maxConns, c.limit)
		}
		if n := len(connect(t, l, q, c.same, 1)); n != 0 {
			t.Errorf("%s: the same client from %s is another", c.name, c.same)
		}
		if n := len(connect(t, l, q, c.other, 1)); n != 1 {
			t.Errorf("%s: %s cannot connect", c.name, c.other)
		}
		all[0].Close()
		all[0].Close() // counts once
		if n := len(connect(t, l, q, c.same, 2)); n != 1 {
			t.Errorf("%s: %d connections after one was closed", c.name, n)
		}
		for _, x := range all[1:] {
			x.Close()
		}
		close(q)
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
