package node

import (
	"context"
	"net"

	"seedbed/swarm"
)

// maxGreeting bounds connections that have not named a torrent yet: whoever
// floods us with silent connections is refused, not served.
const maxGreeting = 256

// accept hands incoming connections to the torrents that they name.
func (n *Node) accept() {
	slots := make(chan struct{}, maxGreeting)
	for {
		c, err := n.host.Accept(n.ctx)
		if err != nil {
			if n.ctx.Err() == nil {
				n.log.Error("incoming connections are no longer accepted", "err", err)
			}
			return
		}
		select {
		case slots <- struct{}{}:
			n.wg.Go(func() {
				defer func() { <-slots }()
				n.greet(c)
			})
		default:
			c.Close()
		}
	}
}

// greet reads the first half of a handshake, which names the torrent.
func (n *Node) greet(c net.Conn) {
	stop := context.AfterFunc(n.ctx, func() { c.Close() }) // a stopping node waits for nobody
	defer stop()
	h, err := swarm.ReadHello(c)
	if err != nil {
		n.log.Debug("an incoming connection made no handshake", "from", c.RemoteAddr(), "err", err)
		c.Close()
		return
	}
	t := n.lookup(h.InfoHash)
	if t == nil || !stop() {
		c.Close()
		return
	}
	t.swarm.Incoming(c, h)
}
