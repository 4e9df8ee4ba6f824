package node

import (
	"context"
	"net"
	"time"

	"seedbed/internal/netx"
	"seedbed/swarm"
)

const (
	// maxGreeting bounds connections that have not named a torrent yet, and
	// maxGreetingPerHost those of one address.
	maxGreeting        = 256
	maxGreetingPerHost = 32
	// wakeTimeout is how long a connection waits until a parked torrent has started.
	wakeTimeout = 10 * time.Second
)

// accept hands incoming connections to the torrents that they name.
func (n *Node) accept() {
	l := swarm.NewPendingHandshakes(maxGreeting, maxGreetingPerHost)
	for {
		c, err := n.net.Accept(n.ctx)
		if err != nil {
			if n.ctx.Err() == nil {
				n.log.Error("incoming connections are no longer accepted", "err", err)
			}
			return
		}
		if n.isBlocked(netx.RemoteAddr(c).Addr()) {
			c.Close()
			continue
		}
		l.Add(c)
		n.wg.Go(func() { n.greet(l, c) })
	}
}

// greet reads the first half of a handshake, which names the torrent.
func (n *Node) greet(l *swarm.PendingHandshakes, c net.Conn) {
	stop := context.AfterFunc(n.ctx, func() { c.Close() }) // a stopping node waits for nobody
	defer stop()
	h, err := swarm.ReadHello(c, n.cfg.Encryption, n.ofKeyHash)
	l.Remove(c)
	if err != nil {
		n.log.Debug("an incoming connection made no handshake", "from", c.RemoteAddr(), "err", err)
		c.Close()
		return
	}
	t := n.lookup(h.InfoHash)
	h.NodeFull = !n.room()
	if t == nil || h.NodeFull && t.run.Load() == nil || !stop() { // no torrent wakes when there is no room
		c.Close()
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, wakeTimeout)
	defer cancel()
	r := t.wake(ctx)
	if r == nil {
		c.Close()
		return
	}
	r.swarm.Incoming(h)
}
