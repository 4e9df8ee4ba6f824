package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/swarm/engine"
	"seedbed/swarm/mse"
	"seedbed/swarm/wire"
)

const (
	// DialTimeout is how long a peer may take to accept a connection.
	DialTimeout = 10 * time.Second
	// HandshakeTimeout is how long it may take over its handshake.
	HandshakeTimeout = 15 * time.Second
	// maxGreeting bounds the incoming connections of a torrent that have not told
	// their peer id yet, and maxGreetingPerHost those of one address.
	maxGreeting        = 64
	maxGreetingPerHost = 16
)

// A greeted is a connection whose handshake is done.
type greeted struct {
	nc        net.Conn
	encrypted bool // the handshake, and perhaps the rest
	id        id.ID
	reserved  wire.Reserved
	v2        bool // by the v2 infohash (BEP 52)
}

// Incoming takes over a connection whose Hello named this torrent.
func (t *Torrent) Incoming(h Hello) {
	if t.stopping.Load() {
		h.nc.Close()
		return
	}
	n, ok := t.called(h.InfoHash)
	if !ok {
		h.nc.Close()
		return
	}
	if h.Reserved.V2() { // BEP 52: "The remote peer may then respond with the new infohash"
		n = t.upgrade(n)
	}
	t.lobby.Enter(h.nc)
	go func() {
		g := greeted{nc: h.nc, encrypted: h.encrypted, reserved: h.Reserved, v2: n.v2}
		err := t.shake(g.nc, h.by, func() error {
			if _, err := g.nc.Write(t.handshake(n)); err != nil {
				return err
			}
			_, err := io.ReadFull(g.nc, g.id[:])
			return err
		})
		t.lobby.Leave(h.nc)
		if err != nil {
			t.cfg.Log.Debug("incoming handshake failed", "from", g.nc.RemoteAddr(), "error", err)
			g.nc.Close()
			return
		}
		t.adopt(g, netx.RemoteAddr(g.nc), true)
	}()
}

// dial connects to a candidate and shakes hands. encrypted says that it has
// taken to that before.
func (t *Torrent) dial(addr netip.AddrPort, encrypted bool) {
	if t.stopping.Load() {
		return
	}
	go func() {
		var g greeted
		var err error
		for _, way := range t.ways(encrypted) {
			if g, err = t.call(addr, way); !errors.Is(err, errHungUp) {
				break
			}
		}
		if err != nil {
			t.inbox.post(item{ev: &engine.EvDialFailed{Addr: addr, Fault: faultOf(err)}})
			return
		}
		t.adopt(g, addr, false)
	}()
}

// errHungUp ends the handshake with a peer who closed the connection over it, as
// those do who speak the other kind alone.
var errHungUp = errors.New("closed in the handshake")

// A way is how a peer may be dialled: by a name of the torrent, and with what
// encryption.
type way struct {
	name  name
	offer mse.Methods
}

// ways are those that are tried one after the other.
func (t *Torrent) ways(encrypted bool) (list []way) {
	for _, n := range *t.names.Load() {
		for _, offer := range t.cfg.Encryption.ways(encrypted) {
			list = append(list, way{n, offer})
		}
	}
	return list
}

// call dials once, in one way.
func (t *Torrent) call(addr netip.AddrPort, w way) (greeted, error) {
	ctx, cancel := context.WithTimeout(t.ctx, DialTimeout)
	nc, err := t.cfg.Dialer.Dial(ctx, addr)
	cancel()
	if err != nil {
		return greeted{}, err
	}
	g := greeted{nc: nc, encrypted: w.offer != inTheClear}
	err = t.shake(nc, time.Now().Add(HandshakeTimeout), func() (err error) {
		if g.encrypted {
			g.nc, err = initiate(nc, w.name.hash, w.offer, t.handshake(w.name))
		} else {
			_, err = nc.Write(t.handshake(w.name))
		}
		if err != nil {
			return err
		}
		var b [wire.HandshakeLen]byte
		if _, err := io.ReadFull(g.nc, b[:]); err != nil {
			return err
		}
		var ih id.ID
		if g.reserved, ih, g.id, err = wire.ParseHandshake(b[:]); err != nil {
			return err
		}
		n, ok := t.called(ih)
		if !ok || n != w.name && !n.v2 {
			return &wire.Error{Kind: wire.BadHandshake}
		}
		g.v2 = n.v2
		return nil
	})
	if err != nil {
		nc.Close()
	}
	if faultOf(err) == engine.FaultReset && t.ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", errHungUp, err)
	}
	return g, err
}

// shake runs a handshake under its deadline, and ends it when the torrent stops.
func (t *Torrent) shake(nc net.Conn, by time.Time, f func() error) error {
	if err := nc.SetDeadline(by); err != nil {
		return err
	}
	stop := context.AfterFunc(t.ctx, func() { nc.Close() })
	err := f()
	if !stop() {
		return net.ErrClosed
	}
	if err != nil {
		return err
	}
	return nc.SetDeadline(time.Time{})
}

// handshake is our own.
func (t *Torrent) handshake(n name) []byte {
	var r wire.Reserved
	if t.upgrade(n) != n {
		r.SetV2() // BEP 52: "to indicate that it also supports the new format"
	}
	r.SetExtended()
	r.SetFast()
	if t.cfg.DHTPort != 0 {
		r.SetDHT()
	}
	return wire.AppendHandshake(make([]byte, 0, wire.HandshakeLen), r, n.hash, t.cfg.PeerID)
}

// Join takes over one end of a connection whose other end is a peer of ours in this
// process, which needs no handshake. addr is what it is called and banned by; id is its peer
// id.
func (t *Torrent) Join(nc net.Conn, addr netip.AddrPort, id id.ID) {
	g := greeted{nc: nc, id: id}
	g.reserved.SetFast()
	t.adopt(g, addr, true)
}

// adopt makes a connection out of a socket whose handshake is done and reads it
// to its end.
func (t *Torrent) adopt(g greeted, addr netip.AddrPort, incoming bool) {
	c := newConn(t, engine.Conn(t.nextConn.Add(1)), g.nc, addr)
	if !t.inbox.post(item{
		ev: &engine.EvConnected{
			Conn: c.id, Addr: addr, Incoming: incoming,
			PeerID: g.id, Reserved: g.reserved, Encrypted: g.encrypted, V2: g.v2,
		},
		conn: c,
	}) {
		g.nc.Close()
		return
	}
	go c.run() // with a stack of its own
}
