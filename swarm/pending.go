package swarm

import (
	"net"
	"net/netip"
	"slices"
	"sync"

	"seedbed/internal/netx"
)

// PendingHandshakes holds connections whose handshake is in progress. When it is full, it
// closes the oldest one; if one address has reached its own limit, it closes the oldest one
// of that address instead. So a peer that sends nothing is replaced by new ones, while an
// honest peer completes its handshake within a round trip or two.
type PendingHandshakes struct {
	size, perHost int

	mu    sync.Mutex
	conns []pendingConn // in order of arrival
}

type pendingConn struct {
	c    net.Conn
	from netip.Addr
}

// NewPendingHandshakes returns a PendingHandshakes for up to size connections, and up to
// perHost of one address.
func NewPendingHandshakes(size, perHost int) *PendingHandshakes {
	return &PendingHandshakes{size: size, perHost: perHost}
}

// Add adds c, and closes another connection if there is no space.
func (l *PendingHandshakes) Add(c net.Conn) {
	from := netx.RemoteAddr(c).Addr()
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest, same := -1, 0
	for i, w := range l.conns {
		if w.from == from {
			if same == 0 {
				oldest = i
			}
			same++
		}
	}
	switch {
	case same >= l.perHost:
		l.drop(oldest)
	case len(l.conns) >= l.size:
		l.drop(0)
	}
	l.conns = append(l.conns, pendingConn{c, from})
}

func (l *PendingHandshakes) drop(i int) {
	l.conns[i].c.Close()
	l.conns = slices.Delete(l.conns, i, i+1)
}

// Remove removes a connection whose handshake has ended.
func (l *PendingHandshakes) Remove(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(l.conns, func(w pendingConn) bool { return w.c == c }); i >= 0 {
		l.conns = slices.Delete(l.conns, i, i+1)
	}
}
