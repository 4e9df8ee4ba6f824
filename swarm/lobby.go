package swarm

import (
	"net"
	"net/netip"
	"slices"
	"sync"

	"seedbed/internal/netx"
)

// A Lobby holds connections that are at their handshake. When it is full the
// oldest has to go, and before that, if one address has more than its share, the
// oldest of that: whoever sends nothing loses its place to those who come, and an
// honest peer is through within a round trip or two.
type Lobby struct {
	size, perHost int

	mu    sync.Mutex
	conns []waiting // in order of arrival
}

type waiting struct {
	c    net.Conn
	from netip.Addr
}

// NewLobby has room for so many connections, and so many of one address.
func NewLobby(size, perHost int) *Lobby { return &Lobby{size: size, perHost: perHost} }

// Enter takes c in, and closes another for it if there is no room.
func (l *Lobby) Enter(c net.Conn) {
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
	l.conns = append(l.conns, waiting{c, from})
}

func (l *Lobby) drop(i int) {
	l.conns[i].c.Close()
	l.conns = slices.Delete(l.conns, i, i+1)
}

// Leave is for who is through, or has given up.
func (l *Lobby) Leave(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(l.conns, func(w waiting) bool { return w.c == c }); i >= 0 {
		l.conns = slices.Delete(l.conns, i, i+1)
	}
}
