//go:build linux

package integration

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"seedbed/swarm/wire"
)

// A raw peer does only what the protocol requires, so that a measurement shows what the
// client at the other end can do.

// handshake sends our handshake, reads the peer's and checks its infohash.
func handshake(nc net.Conn, r io.Reader, infohash [20]byte) error {
	var reserved wire.Reserved
	reserved.SetFast()
	id := [20]byte{'-', 'R', 'A', '0', '0', '0', '1', '-'}
	if _, err := rand.Read(id[8:]); err != nil {
		return err
	}
	if _, err := nc.Write(wire.AppendHandshake(nil, reserved, infohash, id)); err != nil {
		return err
	}
	var h [wire.HandshakeLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return err
	}
	_, got, _, err := wire.ParseHandshake(h[:])
	if err == nil && got != infohash {
		err = errors.New("the handshake is of another torrent")
	}
	return err
}

// frame reads a message into b, which grows as needed.
func frame(r *bufio.Reader, b []byte) (wire.Msg, []byte, error) {
	var prefix [wire.PrefixLen]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return wire.Msg{}, b, err
	}
	n := int(binary.BigEndian.Uint32(prefix[:]))
	if cap(b) < n {
		b = make([]byte, n)
	}
	b = b[:n]
	if _, err := io.ReadFull(r, b); err != nil {
		return wire.Msg{}, b, err
	}
	m, err := wire.Parse(b)
	return m, b, err
}

// listenRaw accepts connections for one torrent until the test ends, and calls serve for
// each after its handshake.
func listenRaw(t testing.TB, ip string, infohash [20]byte, serve func(nc net.Conn, r *bufio.Reader) error) {
	t.Helper()
	l, err := net.Listen("tcp", endpoint(ip))
	must(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[nc] = true
			mu.Unlock()
			wg.Go(func() {
				defer nc.Close()
				r := bufio.NewReaderSize(nc, 64<<10)
				if handshake(nc, r, infohash) == nil {
					_ = serve(nc, r) // the client closes it
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for nc := range open {
			nc.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// seedRaw shares data in memory as fast as the sockets accept it.
func seedRaw(t testing.TB, ip string, infohash [20]byte, pieceLength int64, data []byte) {
	listenRaw(t, ip, infohash, func(nc net.Conn, r *bufio.Reader) error {
		if _, err := nc.Write(wire.Append(wire.Append(nil, wire.Msg{Type: wire.HaveAll}), wire.Msg{Type: wire.Unchoke})); err != nil {
			return err
		}
		var b []byte
		var headers [64][wire.PieceHeaderLen]byte
		for {
			// One write answers all requests that have arrived.
			var vec net.Buffers
			for n := 0; n < len(headers) && (n == 0 || r.Buffered() > 0); {
				var m wire.Msg
				var err error
				if m, b, err = frame(r, b); err != nil {
					return err
				}
				if m.Type != wire.Request {
					continue
				}
				off := int64(m.Index)*pieceLength + int64(m.Begin)
				if off < 0 || off+int64(m.Length) > int64(len(data)) {
					return errors.New("a request beyond the end")
				}
				vec = append(vec, wire.AppendPieceHeader(headers[n][:0], m.Index, m.Begin, int(m.Length)), data[off:off+int64(m.Length)])
				n++
			}
			if _, err := vec.WriteTo(nc); err != nil {
				return err
			}
		}
	})
}

// muteRaw accepts connections, announces that it has everything and unchokes, but never
// sends a block.
func muteRaw(t testing.TB, ip string, infohash [20]byte) {
	listenRaw(t, ip, infohash, func(nc net.Conn, r *bufio.Reader) error {
		if _, err := nc.Write(wire.Append(wire.Append(nil, wire.Msg{Type: wire.HaveAll}), wire.Msg{Type: wire.Unchoke})); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, r)
		return err
	})
}

// leechRaw downloads a torrent from one peer and discards it.
func leechRaw(ctx context.Context, from, to string, infohash [20]byte, size, pieceLength int64) error {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	nc, err := d.DialContext(ctx, "tcp", endpoint(to))
	if err != nil {
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	r := bufio.NewReaderSize(nc, 64<<10)
	if err := handshake(nc, r, infohash); err != nil {
		return err
	}
	if _, err := nc.Write(wire.Append(wire.Append(nil, wire.Msg{Type: wire.HaveNone}), wire.Msg{Type: wire.Interested})); err != nil {
		return err
	}
	const block, ahead, batch = 16 << 10, 256, 32
	var next, got int64 // bytes requested and received
	var b, out []byte
	choked := true
	for got < size {
		if !choked && (next-got)/block <= ahead-batch {
			out = out[:0]
			for next < size && (next-got)/block < ahead {
				n := min(block, size-next, pieceLength-next%pieceLength)
				out = wire.Append(out, wire.Msg{Type: wire.Request, Index: uint32(next / pieceLength), Begin: uint32(next % pieceLength), Length: uint32(n)})
				next += n
			}
			if _, err := nc.Write(out); err != nil {
				return err
			}
		}
		var m wire.Msg
		if m, b, err = frame(r, b); err != nil {
			return err
		}
		switch m.Type {
		case wire.Unchoke:
			choked = false
		case wire.Reject: // it is requested again, which the other end may delay
			again := wire.Append(nil, wire.Msg{Type: wire.Request, Index: m.Index, Begin: m.Begin, Length: m.Length})
			if _, err := nc.Write(again); err != nil {
				return err
			}
		case wire.Piece:
			got += int64(len(m.Payload))
		}
	}
	return nil
}
