package swarm

import (
	"context"
	"errors"
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
	// HandshakeTimeout is how long it may take over its handshake.
	HandshakeTimeout = 15 * time.Second
	// maxGreeting bounds the incoming connections of a torrent that have not told
	// their peer id yet.
	maxGreeting = 64
)

// A Hello is the part of an incoming handshake that says which torrent is
// meant. The peer id comes after it, and some peers send it only when they have
// seen our handshake (BEP 3: "the peer id ... is transmitted last").
type Hello struct {
	Reserved wire.Reserved
	InfoHash id.ID

	by time.Time // when the rest must be there
}

const helloLen = wire.HandshakeLen - id.Len

// ReadHello reads the first part of an incoming handshake, giving up at the
// first byte that is wrong or after HandshakeTimeout. The rest is for
// (*Torrent).Incoming.
func ReadHello(nc net.Conn) (Hello, error) {
	h := Hello{by: time.Now().Add(HandshakeTimeout)}
	if err := nc.SetReadDeadline(h.by); err != nil {
		return Hello{}, err
	}
	var b [helloLen]byte
	for n := 0; n < len(b); {
		k, err := nc.Read(b[n:])
		n += k
		var short *wire.Error
		if _, _, _, e := wire.ParseHandshake(b[:n]); errors.As(e, &short) && short.Kind != wire.Short {
			return Hello{}, e
		}
		if err != nil && n < len(b) {
			return Hello{}, err
		}
	}
	copy(h.Reserved[:], b[20:])
	copy(h.InfoHash[:], b[28:])
	return h, nil
}

// Incoming takes over a connection whose Hello named this torrent. It is closed
// when too many are at their handshake already.
func (t *Torrent) Incoming(nc net.Conn, h Hello) {
	if t.stopping.Load() {
		nc.Close()
		return
	}
	if t.greeting.Add(1) > maxGreeting {
		t.greeting.Add(-1)
		nc.Close()
		return
	}
	go func() {
		if h.by.IsZero() {
			h.by = time.Now().Add(HandshakeTimeout)
		}
		var pid id.ID
		err := t.shake(nc, h.by, func() error {
			if _, err := nc.Write(t.handshake()); err != nil {
				return err
			}
			_, err := io.ReadFull(nc, pid[:])
			return err
		})
		t.greeting.Add(-1)
		if err != nil {
			t.cfg.Log.Debug("incoming handshake failed", "from", nc.RemoteAddr(), "error", err)
			nc.Close()
			return
		}
		t.adopt(nc, netx.RemoteAddr(nc), true, pid, h.Reserved)
	}()
}

// dial connects to a candidate and shakes hands.
func (t *Torrent) dial(addr netip.AddrPort) {
	if t.stopping.Load() {
		return
	}
	go func() {
		ctx, cancel := context.WithTimeout(t.ctx, DialTimeout)
		nc, err := t.cfg.Dialer.Dial(ctx, addr)
		cancel()
		fail := func(err error) {
			t.inbox.post(item{ev: engine.Event{Kind: engine.EvDialFailed, Addr: addr, Fault: faultOf(err)}})
		}
		if err != nil {
			fail(err)
			return
		}
		var r wire.Reserved
		var pid id.ID
		err = t.shake(nc, time.Now().Add(HandshakeTimeout), func() error {
			if _, err := nc.Write(t.handshake()); err != nil {
				return err
			}
			var b [wire.HandshakeLen]byte
			if _, err := io.ReadFull(nc, b[:]); err != nil {
				return err
			}
			var ih id.ID
			var err error
			if r, ih, pid, err = wire.ParseHandshake(b[:]); err == nil && ih != t.cfg.InfoHash {
				err = &wire.Error{Kind: wire.BadHandshake}
			}
			return err
		})
		if err != nil {
			nc.Close()
			fail(err)
			return
		}
		t.adopt(nc, addr, false, pid, r)
	}()
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
func (t *Torrent) handshake() []byte {
	var r wire.Reserved
	r.SetExtended()
	r.SetFast()
	if t.cfg.DHTPort != 0 {
		r.SetDHT()
	}
	return wire.AppendHandshake(make([]byte, 0, wire.HandshakeLen), r, t.cfg.InfoHash, t.cfg.PeerID)
}

// adopt makes a connection out of a socket whose handshake is done and reads it
// to its end.
func (t *Torrent) adopt(nc net.Conn, addr netip.AddrPort, incoming bool, pid id.ID, r wire.Reserved) {
	c := newConn(t, engine.Conn(t.nextConn.Add(1)), nc, addr)
	if !t.inbox.post(item{
		ev:   engine.Event{Kind: engine.EvConnected, Conn: c.id, Addr: addr, Incoming: incoming, PeerID: pid, Reserved: r},
		conn: c,
	}) {
		nc.Close()
		return
	}
	c.run()
}
