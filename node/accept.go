package node

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"

	"seedbed/internal/netx"
	"seedbed/swarm"
)

const (
	// maxGreeting bounds connections that have not named a torrent yet, and
	// maxGreetingPerHost those of one address: whoever floods us with silent
	// connections has his own oldest closed, and then everybody the oldest, for
	// an honest peer names its torrent within a round trip.
	maxGreeting        = 256
	maxGreetingPerHost = 32
)

// accept hands incoming connections to the torrents that they name.
func (n *Node) accept() {
	var l lobby
	for {
		c, err := n.net.Accept(n.ctx)
		if err != nil {
			if n.ctx.Err() == nil {
				n.log.Error("incoming connections are no longer accepted", "err", err)
			}
			return
		}
		if n.cfg.Blocklist.Contains(netx.RemoteAddr(c).Addr()) {
			c.Close()
			continue
		}
		l.enter(c)
		n.wg.Go(func() { n.greet(&l, c) })
	}
}

// greet reads the first half of a handshake, which names the torrent.
func (n *Node) greet(l *lobby, c net.Conn) {
	stop := context.AfterFunc(n.ctx, func() { c.Close() }) // a stopping node waits for nobody
	defer stop()
	h, err := swarm.ReadHello(c, n.cfg.Encryption, n.ofKeyHash)
	l.leave(c)
	if err != nil {
		n.log.Debug("an incoming connection made no handshake", "from", c.RemoteAddr(), "err", err)
		c.Close()
		return
	}
	t := n.lookup(h.InfoHash)
	if t == nil || !n.room() || !stop() {
		c.Close()
		return
	}
	t.swarm.Incoming(h)
}

// lobby holds the connections that have not named a torrent yet.
type lobby struct {
	mu    sync.Mutex
	conns []waiting // in order of arrival
}

type waiting struct {
	c    net.Conn
	from netip.Addr
}

// enter takes c in, and closes another for it if there is no room.
func (l *lobby) enter(c net.Conn) {
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
	case same >= maxGreetingPerHost:
		l.drop(oldest)
	case len(l.conns) >= maxGreeting:
		l.drop(0)
	}
	l.conns = append(l.conns, waiting{c, from})
}

func (l *lobby) drop(i int) {
	l.conns[i].c.Close()
	l.conns = slices.Delete(l.conns, i, i+1)
}

func (l *lobby) leave(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.IndexFunc(l.conns, func(w waiting) bool { return w.c == c }); i >= 0 {
		l.conns = slices.Delete(l.conns, i, i+1)
	}
}
