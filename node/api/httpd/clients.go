package httpd

import (
	"net"
	"net/netip"
	"sync"

	"seedbed/internal/addrs"
)

// The connections of one client (addrs.ClientNet) to one listener. Programs on this machine and trusted reverse proxies connect for many users.
const (
	maxOfClient  = 64
	maxOfTrusted = maxConns * 3 / 4
)

// A clientListener limits the connections of each client. It closes a connection that is one too
// many, so that the client does not keep others waiting.
type clientListener struct {
	net.Listener
	isProxy func(netip.Addr) bool

	mu    sync.Mutex
	conns map[netip.Prefix]int // of clients that have connections
}

func limitClients(l net.Listener, isProxy func(netip.Addr) bool) net.Listener {
	return &clientListener{Listener: l, isProxy: isProxy, conns: map[netip.Prefix]int{}}
}

// Accept implements net.Listener.
func (l *clientListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		client, limit := l.client(c)
		if !l.take(client, limit) {
			c.Close()
			continue
		}
		return &clientConn{Conn: c, release: sync.OnceFunc(func() { l.release(client) })}, nil
	}
}

// client returns who has opened a connection, and the limit of its connections.
func (l *clientListener) client(c net.Conn) (client netip.Prefix, limit int) {
	a, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return client, maxOfTrusted // not a socket of TCP
	}
	addr := addrs.Host(a.Addr())
	switch {
	case addr.IsLoopback():
		return addrs.ClientNet(addr), maxOfTrusted
	case l.isProxy(addr):
		return netip.PrefixFrom(addr, addr.BitLen()), maxOfTrusted
	}
	return addrs.ClientNet(addr), maxOfClient
}

// take counts a connection, if the client has less than limit.
func (l *clientListener) take(client netip.Prefix, limit int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[client] >= limit {
		return false
	}
	l.conns[client]++
	return true
}

func (l *clientListener) release(client netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[client]--; l.conns[client] == 0 {
		delete(l.conns, client)
	}
}

// A clientConn is counted until it is closed.
type clientConn struct {
	net.Conn
	release func()
}

// Close closes the connection.
func (c *clientConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
