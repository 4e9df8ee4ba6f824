package swarm

import (
	"net"
	"net/netip"
	"sync"

	"seedbed/swarm/engine"
	"seedbed/swarm/mse"
)

// A conn is one connection after its handshake.
type conn struct {
	t      *Torrent
	id     engine.Conn
	nc     net.Conn
	addr   netip.AddrPort
	raw    *rawIO      // nil if the system has no such thing
	crypt  *mse.Stream // around nc, whether raw or not; nil in the clear
	leases leaseTable
	in     reader
	out    outbox

	// The loop's alone: what it will hand to the outbox at the end of its turn.
	bytes   []byte
	uploads []engine.Block
	dirty   bool

	gone chan struct{} // closed with the connection

	endMu sync.Mutex
	fault engine.Fault // why it ended: the first reason given
	ended bool
}

func newConn(t *Torrent, id engine.Conn, nc net.Conn, addr netip.AddrPort) *conn {
	c := &conn{t: t, id: id, nc: nc, addr: addr, gone: make(chan struct{})}
	c.in.c, c.out.c = c, c
	c.out.room.L, c.out.batch = &c.out.mu, batchBytes
	if m, ok := nc.(*mse.Conn); ok {
		c.nc, c.in.early, c.crypt = m.Unwrap()
	}
	c.raw = newRawIO(c.nc, c.in.take, c.in.idle)
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
		close(c.gone)
		c.nc.Close()
		c.out.close()
	}
}

// run is the reader's goroutine, from the end of the handshake to EvClosed. It is
// mostly at rest in a read, and its stack is most of what an idle connection costs:
// the frames above that read are kept small, so that the collector can halve it.
func (c *conn) run() {
	c.end(c.in.loop())
}

// end is what comes after the last read.
//
//go:noinline
func (c *conn) end(err error) {
	c.close(faultOf(err))
	c.t.cfg.Log.Debug("connection ended", "peer", c.addr, "fault", c.fault.String(), "error", err)
	c.leases.close()
	c.out.wait()
	c.in.drop()
	c.t.inbox.post(item{ev: &engine.EvClosed{Conn: c.id, Addr: c.addr, Fault: c.fault}, conn: c})
}
