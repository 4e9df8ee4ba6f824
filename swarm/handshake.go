package swarm

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

const (
	// DialTimeout is how long a peer may take to accept a connection.
	DialTimeout = 10 * time.Second
	// HandshakeTimeout is how long a handshake may take.
	HandshakeTimeout = 15 * time.Second
	// maxHandshakes bounds the incoming handshakes of a torrent in progress,
	// maxHandshakesPerHost those from one IP address.
	maxHandshakes        = 64
	maxHandshakesPerHost = 16
)

// Incoming takes over a connection whose Hello identified this torrent.
func (t *Torrent) Incoming(h Hello) {
	if t.stopping.Load() {
		h.nc.Close()
		return
	}
	n, ok := t.byInfohash(h.InfoHash)
	if !ok {
		h.nc.Close()
		return
	}
	if h.Reserved.V2() { // BEP 52: "The remote peer may then respond with the new infohash"
		n = t.preferV2(n)
	}
	t.handshakes.Add(h.nc)
	go func() {
		g := Handshake{Conn: h.nc, Encrypted: h.encrypted, Reserved: h.Reserved, InfoHash: n.hash}
		err := shake(t.ctx, g.Conn, h.by, func() error {
			if _, err := g.Conn.Write(t.handshake(n)); err != nil {
				return err
			}
			_, err := io.ReadFull(g.Conn, g.PeerID[:])
			return err
		})
		t.handshakes.Remove(h.nc)
		if err != nil {
			t.cfg.Log.Debug("incoming handshake failed", "from", g.Conn.RemoteAddr(), "error", err)
			g.Conn.Close()
			return
		}
		t.addConn(g, netx.RemoteAddr(g.Conn), n.v2, incoming, h.NodeFull)
	}()
}

// dial connects to a candidate, as a CmdDial says, and completes the handshake.
func (t *Torrent) dial(cmd *engine.Command) {
	if t.stopping.Load() {
		return
	}
	addr, encrypted, unproven := cmd.Addr, cmd.Encrypted, cmd.Unproven
	go func() {
		accepted, tried := false, false
		o := t.outgoing(func(ctx context.Context) (net.Conn, error) {
			leave, err := t.cfg.Admit(ctx, addr, unproven)
			if err != nil {
				return nil, err
			}
			tried = true
			ctx, cancel := context.WithTimeout(ctx, DialTimeout)
			defer cancel()
			c, err := t.cfg.Dialer.Dial(ctx, addr)
			leave(err == nil)
			accepted = accepted || err == nil
			t.cfg.Trace.dialed(addr, err)
			return c, err
		})
		g, next, err := o.Connect(t.ctx, encrypted)
		if err == nil || accepted {
			t.cfg.Trace.handshaken(addr, g, err)
		}
		fault := faultOf(err)
		if tried {
			t.cfg.Shared.counters.dials.Of(addr.Addr())[outcomeOf(fault)].Add(1)
		}
		if err != nil {
			if o := outcomeOf(fault); accepted && (o == HungUp || o == TimedOut) && t.cfg.HungUp != nil {
				t.cfg.HungUp(addr)
			}
			t.inbox.post(item{ev: &engine.EvDialFailed{Addr: addr, Fault: fault, Encrypted: next}})
			return
		}
		n, _ := t.byInfohash(g.InfoHash)
		t.addConn(g, addr, n.v2, outgoing, false)
	}()
}

// punch connects to a peer that dials us at the same time, as a CmdPunch says.
func (t *Torrent) punch(cmd *engine.Command) {
	if t.stopping.Load() {
		return
	}
	addr, encrypted := cmd.Addr, cmd.Encrypted
	t.cfg.Log.Debug("hole punch begins", "peer", addr)
	go func() {
		o := t.outgoing(func(ctx context.Context) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, DialTimeout)
			defer cancel()
			return t.cfg.Punch(ctx, addr)
		})
		g, _, err := o.Connect(t.ctx, encrypted)
		if err != nil {
			t.cfg.Log.Debug("hole punch failed", "peer", addr, "error", err)
			t.inbox.post(item{ev: &engine.EvPunchFailed{Addr: addr}})
			return
		}
		n, _ := t.byInfohash(g.InfoHash)
		t.addConn(g, addr, n.v2, punched, false)
	}()
}

// outgoing returns what makes a connection of this torrent with dial.
func (t *Torrent) outgoing(dial func(context.Context) (net.Conn, error)) Outgoing {
	o := Outgoing{
		Dial: dial, Encryption: t.cfg.Encryption,
		Accepts: func(asked, answer id.ID) bool {
			n, ok := t.byInfohash(answer)
			return ok && (n.hash == asked || n.v2)
		},
	}
	for _, n := range *t.swarmHashes.Load() {
		o.Hellos = append(o.Hellos, OutgoingHello{n.hash, t.handshake(n)})
	}
	return o
}

// handshake returns our handshake for an infohash.
func (t *Torrent) handshake(n swarmHash) []byte {
	var r wire.Reserved
	if t.preferV2(n) != n {
		r.SetV2() // BEP 52: "to indicate that it also supports the new format"
	}
	r.SetExtended()
	r.SetFast()
	if t.cfg.HasDHT {
		r.SetDHT()
	}
	return wire.AppendHandshake(make([]byte, 0, wire.HandshakeLen), r, n.hash, t.cfg.PeerID)
}

// Join adds a connection to a peer in this process, which needs no handshake. addr is the
// address used to name and ban the peer; id is its peer id.
func (t *Torrent) Join(nc net.Conn, addr netip.AddrPort, id id.ID) {
	g := Handshake{Conn: nc, PeerID: id}
	g.Reserved.SetFast()
	t.addConn(g, addr, false, joined, false)
}

// addConn turns a socket with a completed handshake into a connection and starts it. v2
// says that the handshake used the v2 infohash (BEP 52). nodeFull says that the connection
// must replace another.
func (t *Torrent) addConn(g Handshake, addr netip.AddrPort, v2 bool, kind connKind, nodeFull bool) {
	c := newConn(t, engine.Conn(t.nextConn.Add(1)), g.Conn, addr, kind)
	if !t.inbox.post(item{
		ev: &engine.EvConnected{
			Conn: c.id, Addr: addr, Incoming: kind == incoming || kind == joined, Punched: kind == punched,
			PeerID: g.PeerID, Reserved: g.Reserved, Encrypted: g.Encrypted, V2: v2, NodeFull: nodeFull,
			UTP: g.Conn.RemoteAddr().Network() == "udp",
		},
		conn: c,
	}) {
		c.Discard()
		return
	}
	c.open.Add(1)
	c.Start()
}
