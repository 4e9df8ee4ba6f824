package swarm

import (
	"net"
	"net/netip"
	"sync"

	"seedbed/swarm/engine"
)

// A conn is one connection after its handshake.
type conn struct {
	t      *Torrent
	id     engine.Conn
	nc     net.Conn
	addr   netip.AddrPort
	raw    *rawIO // nil if the system has no such thing
	leases leaseTable
	in     reader
	out    outbox

	// The loop's alone: what it will hand to the outbox at the end of its turn.
	bytes   []byte
	uploads []engine.Block
	dirty   bool

	endMu sync.Mutex
	fault engine.Fault // why it ended: the first reason given
	ended bool
}

func newConn(t *Torrent, id engine.Conn, nc net.Conn, addr netip.AddrPort) *conn {
	c := &conn{t: t, id: id, nc: nc, addr: addr}
	c.in.c, c.out.c = c, c
	c.out.room.L, c.out.batch = &c.out.mu, uploadBatch
	c.raw = newRawIO(nc, c.in.take, c.in.idle)
	return c
}

// close ends the connection; its reader posts EvClosed when all is quiet. Only
// the first fault counts.
func (c *conn) close(f engine.Fault) {
	c.endMu.Lock()
	first := !c.ended
	if first {
		c.ended, c.fault = true, f
	}
	c.endMu.Unlock()
	if first {
		c.nc.Close()
		c.out.close()
	}
}

// run is the reader's goroutine, from the end of the handshake to EvClosed.
func (c *conn) run() {
	err := c.in.loop()
	c.close(faultOf(err))
	c.t.cfg.Log.Debug("connection ended", "peer", c.addr, "fault", c.fault.String(), "error", err)
	c.leases.close()
	c.out.wait()
	c.in.drop()
	c.t.inbox.post(item{ev: engine.Event{Kind: engine.EvClosed, Conn: c.id, Addr: c.addr, Fault: c.fault}, conn: c})
}
