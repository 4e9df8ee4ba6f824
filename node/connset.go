package node

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"seedbed/internal/netx"
)

// connSet is a set of open connections of which no other part of the node keeps a list.
type connSet struct {
	mu    sync.Mutex
	conns map[*setConn]struct{}
}

// setConn is a connection that leaves its set when it is closed.
type setConn struct {
	net.Conn
	set *connSet
}

func (c *setConn) Close() error {
	c.set.mu.Lock()
	delete(c.set.conns, c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}

// dialHost is the type of netx.Outbound.DialHost.
type dialHost = func(ctx context.Context, network, hostPort string, check func(netip.Addr) error) (net.Conn, error)

// dialer returns dial with the connections that it makes added to the set.
func (s *connSet) dialer(dial dialHost) dialHost {
	return func(ctx context.Context, network, hostPort string, check func(netip.Addr) error) (net.Conn, error) {
		c, err := dial(ctx, network, hostPort, check)
		if err != nil {
			return nil, err
		}
		m := &setConn{c, s}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conns == nil {
			s.conns = map[*setConn]struct{}{}
		}
		s.conns[m] = struct{}{}
		return m, nil
	}
}

// closeIf closes the connections for which isLost returns true.
func (s *connSet) closeIf(isLost func(local, remote netip.Addr) bool) {
	s.mu.Lock()
	var lost []*setConn
	for c := range s.conns {
		if isLost(netx.LocalAddr(c).Addr(), netx.RemoteAddr(c).Addr()) {
			lost = append(lost, c)
		}
	}
	s.mu.Unlock()
	for _, c := range lost {
		c.Close()
	}
}
