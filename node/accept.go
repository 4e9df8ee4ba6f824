package node

import (
	"context"
	"net"
	"time"

	"seedbed/internal/netx"
	"seedbed/internal/reachability"
	"seedbed/swarm"
)

const (
	// maxPending is the maximum number of connections that have not sent an infohash yet,
	// and maxPendingPerHost the maximum from one address.
	maxPending        = 256
	maxPendingPerHost = 32
	// wakeTimeout is the time that a connection waits for a parked torrent to start.
	wakeTimeout = 10 * time.Second
)

// accept starts to pass each incoming connection to the torrent whose infohash is in its
// handshake.
func (n *Node) accept() {
	l := swarm.NewPendingHandshakes(maxPending, maxPendingPerHost)
	n.wg.Go(func() { n.acceptFrom(n.net.Accept, l) })
	if n.cfg.UTP {
		n.wg.Go(func() { n.acceptFrom(n.transports.utp.Accept, l) })
	}
}

func (n *Node) acceptFrom(next func(context.Context) (net.Conn, error), l *swarm.PendingHandshakes) {
	for {
		c, err := next(n.ctx)
		if err != nil {
			if n.ctx.Err() == nil {
				n.log.Error("cannot accept incoming connections any more", "err", err)
			}
			return
		}
		n.evidence.arrived(netx.RemoteAddr(c).Addr(), transportOf(c))
		if n.isBlocked(netx.RemoteAddr(c).Addr()) {
			n.refuse(c, Unlisted)
			continue
		}
		l.Add(c)
		n.wg.Go(func() { n.handshake(l, c) })
	}
}

// transportOf returns what a connection runs over.
func transportOf(c net.Conn) reachability.Transport {
	if c.RemoteAddr().Network() == "udp" {
		return reachability.UDP
	}
	return reachability.TCP
}

// handshake reads the first half of a handshake, which contains the infohash.
func (n *Node) handshake(l *swarm.PendingHandshakes, c net.Conn) {
	stop := context.AfterFunc(n.ctx, func() { c.Close() }) // Close does not wait for a handshake
	defer stop()
	h, err := swarm.ReadHello(c, n.cfg.Encryption, n.byKeyHash)
	l.Remove(c)
	if n.takeDialBack(c, h.InfoHash) { // also without encryption
		return
	}
	if err != nil {
		n.log.Debug("an incoming connection sent no valid handshake", "from", c.RemoteAddr(), "err", err)
		n.refuse(c, NoHandshake)
		return
	}
	t := n.lookup(h.InfoHash)
	h.NodeFull = !n.room()
	switch {
	case t == nil:
		n.refuse(c, NoTorrent)
		return
	case h.NodeFull && t.run.Load() == nil: // a full node does not wake parked torrents
		n.refuse(c, NodeFull)
		return
	case !stop(): // the node is closing
		n.refuse(c, NotRunning)
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, wakeTimeout)
	defer cancel()
	r := t.wake(ctx)
	if r == nil {
		n.refuse(c, NotRunning)
		return
	}
	n.counters.incoming[Passed].Add(1)
	r.swarm.Incoming(h)
}

// refuse closes an incoming connection and counts it.
func (n *Node) refuse(c net.Conn, why IncomingOutcome) {
	n.counters.incoming[why].Add(1)
	c.Close()
}
