package swarm

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/swarm/wire"
)

// script is a peer whose bytes are all determined by the test.
type script struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

// dialScript connects to a node from a separate host and does the handshake. fast says
// whether it supports the fast extension; it never supports BEP 10.
func dialScript(t testing.TB, n *simnet.Net, num byte, to *node, ih id.ID, fast bool) *script {
	t.Helper()
	nc, err := n.Host(netip.AddrFrom4([4]byte{10, 9, 0, num})).Dial(context.Background(), to.addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t, nc, bufio.NewReader(nc)}
	var r wire.Reserved
	if fast {
		r.SetFast()
	}
	s.write(wire.AppendHandshake(nil, r, ih, id.ID{9, 9, num}))
	if _, err := io.ReadFull(s.r, make([]byte, wire.HandshakeLen)); err != nil {
		t.Fatal("handshake:", err)
	}
	return s
}

func (s *script) write(b []byte) {
	if _, err := s.nc.Write(b); err != nil {
		s.t.Error("script:", err)
	}
}

func (s *script) send(ms ...wire.Msg) {
	var b []byte
	for _, m := range ms {
		b = wire.Append(b, m)
	}
	s.write(b)
}

// next returns the next message, or an error when the connection has ended.
func (s *script) next() (wire.Msg, error) {
	var p [wire.PrefixLen]byte
	if _, err := io.ReadFull(s.r, p[:]); err != nil {
		return wire.Msg{}, err
	}
	b := make([]byte, binary.BigEndian.Uint32(p[:]))
	if _, err := io.ReadFull(s.r, b); err != nil {
		return wire.Msg{}, err
	}
	return wire.Parse(b)
}

// until reads up to the first message of a type, and returns it with the time of its
// arrival.
func (s *script) until(ty wire.Type) (wire.Msg, time.Time) {
	s.t.Helper()
	for {
		m, err := s.next()
		if err != nil {
			s.t.Fatalf("%v before a %v came", err, ty)
		}
		if m.Type == ty {
			return m, time.Now()
		}
	}
}

// end reads until the connection ends and returns the time.
func (s *script) end() time.Time {
	for {
		if _, err := s.next(); err != nil {
			return time.Now()
		}
	}
}

// haveAll returns the first message of a peer that has everything.
func haveAll(pieces int, fast bool) wire.Msg {
	if fast {
		return wire.Msg{Type: wire.HaveAll}
	}
	b := make([]byte, (pieces+7)/8)
	for i := range pieces {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return wire.Msg{Type: wire.Bitfield, Payload: b}
}

// serve answers requests from m until the connection ends. reply may change or withhold a
// block.
func (s *script) serve(m *memStorage, reply func(req wire.Msg, block []byte) bool) {
	s.send(haveAll(m.info.NumPieces(), false), wire.Msg{Type: wire.Unchoke})
	for {
		q, err := s.next()
		if err != nil {
			return
		}
		if q.Type != wire.Request {
			continue
		}
		off := int64(q.Index)*m.info.PieceLength + int64(q.Begin)
		block := append([]byte(nil), m.data[off:off+int64(q.Length)]...)
		if reply != nil && !reply(q, block) {
			continue
		}
		if _, err := s.nc.Write(wire.Append(nil, wire.Msg{Type: wire.Piece, Index: q.Index, Begin: q.Begin, Payload: block})); err != nil {
			return
		}
	}
}

// netDialer dials on the real network.
type netDialer struct{ net.Dialer }

func (d *netDialer) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return d.DialContext(ctx, "tcp", to.String())
}
