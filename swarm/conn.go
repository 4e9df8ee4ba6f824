package swarm

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"seedbed/internal/netx"
	"seedbed/swarm/engine"
	"seedbed/swarm/peerconn"
	"seedbed/swarm/storage"
	"seedbed/swarm/wire"
)

// conn is a connection of a torrent: it owns a peerconn.Conn and turns its callbacks into
// inbox items.
type conn struct {
	*peerconn.Conn
	t    *Torrent
	id   engine.Conn
	addr netip.AddrPort
	// local is our address, which is unspecified for uTP. It is the zero Addr for a peer in this
	// process.
	local netip.Addr
	open  *atomic.Int64 // counts the open connections of this kind
	out   *output       // output of the loop's current turn; nil if none
}

func newConn(t *Torrent, id engine.Conn, nc net.Conn, addr netip.AddrPort, kind connKind) *conn {
	c := &conn{t: t, id: id, addr: addr}
	if kind != joined {
		c.local = netx.LocalAddr(nc).Addr()
	}
	cfg := peerconn.Config{ID: id, Owner: c, Resources: t.cfg.Shared.conns, Up: t.up, Down: t.down}
	cfg.Meter, c.open = t.cfg.Shared.counters.ofConn(addr.Addr(), kind)
	c.Conn = peerconn.New(nc, cfg)
	return c
}

// Arrived implements peerconn.Owner.
func (c *conn) Arrived(list []peerconn.Arrival) bool { return c.t.inbox.push(list) }

// ReadAt implements peerconn.Owner.
func (c *conn) ReadAt(b []byte, off int64) error { return c.t.readLocal(b, off) }

// PieceLength implements peerconn.Owner.
func (c *conn) PieceLength() int64 { return c.t.info.PieceLength }

// MaxFrame implements peerconn.Owner.
func (c *conn) MaxFrame() int { return int(c.t.maxFrame.Load()) }

// Uploaded implements peerconn.Owner.
func (c *conn) Uploaded(blocks []engine.Block) {
	c.t.inbox.postBlocks(engine.BlockUploaded, c.id, blocks)
}

// Unread implements peerconn.Owner.
func (c *conn) Unread(blocks []engine.Block, err error) {
	if errors.Is(err, storage.ErrNotLocal) { // it was here when the block was queued
		blocks = slices.Clone(blocks)
		c.t.inbox.post(item{fn: func() {
			for _, b := range blocks {
				c.t.upload(c.id, b)
			}
		}})
		return
	}
	lost := make([]item, len(blocks))
	for i, b := range blocks {
		lost[i] = item{block: engine.BlockEvent{Kind: engine.BlockUnsent, Conn: c.id, Block: b}}
	}
	c.t.storageFailed(err, lost...)
}

// Ended implements peerconn.Owner.
func (c *conn) Ended(f engine.Fault, err error) {
	if f == engine.FaultNone {
		f = faultOf(err)
	}
	c.t.cfg.Log.Debug("connection ended", "peer", c.addr, "fault", f.String(), "error", err)
	c.t.cfg.Trace.closed(c.addr, f)
	c.open.Add(-1)
	c.t.inbox.post(item{ev: &engine.EvClosed{Conn: c.id, Addr: c.addr, Fault: f}, conn: c})
}

// output collects what one turn of the loop sends on one connection. Outputs belong to
// the loop and are reused, so that idle connections have none.
type output struct {
	c       *conn
	control []byte // messages
	uploads []engine.Block
}

// maxSpareOutput is the largest message buffer that an unused output keeps, in bytes.
const maxSpareOutput = 64 << 10

// output returns the output of connection n in this turn. It returns nil if the
// connection has closed.
func (t *Torrent) output(n engine.Conn) *output {
	c := t.conns[n]
	if c == nil {
		return nil
	}
	if c.out == nil {
		if k := len(t.unused); k > 0 {
			c.out, t.unused = t.unused[k-1], t.unused[:k-1]
		} else {
			c.out = new(output)
		}
		c.out.c = c
		t.outputs = append(t.outputs, c.out)
	}
	return c.out
}

// keepOrder must be called before an upload is added to o. If the upload rate is limited,
// blocks are sent in the order in which outputs are flushed. To keep the engine's order,
// keepOrder flushes the output that got the previous upload.
func (t *Torrent) keepOrder(o *output) {
	if last := t.uploading; last != nil && last != o && t.up.Limited() {
		last.flush()
	}
	t.uploading = o
}

// send adds a message.
func (o *output) send(m wire.Msg) { o.control = wire.Append(o.control, m) }

// flush hands the output's contents to the connection. The output stays assigned to it.
func (o *output) flush() {
	o.c.Flush(o.control, o.uploads)
	o.control, o.uploads = o.control[:0], o.uploads[:0]
}

// flushOutputs flushes all outputs at the end of a turn.
func (t *Torrent) flushOutputs() {
	t.uploading = nil
	for _, o := range t.outputs {
		o.flush()
		o.c.out, o.c = nil, nil
		if cap(o.control) > maxSpareOutput {
			o.control = nil
		}
	}
	t.unused = append(t.unused, t.outputs...)
	clear(t.outputs)
	t.outputs = t.outputs[:0]
	if n := 64; len(t.unused) > n {
		t.unused = slices.Delete(t.unused, n, len(t.unused))
	}
}
