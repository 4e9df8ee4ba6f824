package node

import (
	"context"
	"net"
	"time"

	"seedbed/internal/netx"
	"seedbed/swarm"
)

const (
	// maxGreeting limits the connections that have not named a torrent yet, and
	// maxGreetingPerHost those from one address.
	maxGreeting        = 256
	maxGreetingPerHost = 32
	// wakeTimeout is how long a connection waits for a parked torrent to start.
	wakeTimeout = 10 * time.Second
)

// accept passes each incoming connection to the torrent that its handshake names.
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

// greet reads the first half of a handshake, which contains the infohash.
func (n *Node) greet(l *swarm.PendingHandshakes, c net.Conn) {
	stop := context.AfterFunc(n.ctx, func() { c.Close() }) // a node that stops does not wait for a handshake
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
	if t == nil || h.NodeFull && t.run.Load() == nil || !stop() { // a full node wakes no parked torrent
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
