package swarm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/swarm/wire"
)

// Requests for small blocks are all answered on one connection, however many are waiting:
// adjacent blocks, distant ones, and both mixed with full blocks.
func TestManySmallBlocksAreAnsweredOnOneConnection(t *testing.T) {
	const pieceLength = 16 << 10
	info, full := makeContent(t, 1100*pieceLength, pieceLength)
	for name, request := range map[string]func(i uint32) wire.Msg{
		"far apart": func(i uint32) wire.Msg {
			return wire.Msg{Type: wire.Request, Index: i, Begin: i % 100, Length: 1 + i%300}
		},
		"neighbours": func(i uint32) wire.Msg {
			return wire.Msg{Type: wire.Request, Index: i / 64, Begin: i % 64 * 100, Length: 100}
		},
		"mixed": func(i uint32) wire.Msg {
			q := wire.Msg{Type: wire.Request, Index: i, Length: 60}
			if i%3 == 0 {
				q.Length = pieceLength
			}
			return q
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, addr := startReal(t, 1, info, full.copy(), nil)
			nc, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(time.Minute))
			hello := wire.AppendHandshake(nil, wire.Reserved{}, info.Hash, id.ID{7})
			if _, err := nc.Write(wire.Append(hello, wire.Msg{Type: wire.Interested})); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(nc)
			if _, err := io.ReadFull(r, make([]byte, wire.HandshakeLen)); err != nil {
				t.Fatal(err)
			}
			const n = 1000
			for got := uint32(0); got < n; {
				var p [wire.PrefixLen]byte
				if _, err := io.ReadFull(r, p[:]); err != nil {
					t.Fatalf("after %d of %d blocks: %v", got, n, err)
				}
				b := make([]byte, binary.BigEndian.Uint32(p[:]))
				if _, err := io.ReadFull(r, b); err != nil {
					t.Fatalf("after %d of %d blocks: %v", got, n, err)
				}
				m, err := wire.Parse(b)
				if err != nil {
					t.Fatal(err)
				}
				switch m.Type {
				case wire.Unchoke:
					var out []byte
					for i := range uint32(n) {
						out = wire.Append(out, request(i))
					}
					if _, err := nc.Write(out); err != nil {
						t.Fatal(err)
					}
				case wire.Piece:
					q := request(got)
					off := int64(q.Index)*pieceLength + int64(q.Begin)
					if m.Index != q.Index || m.Begin != q.Begin || !bytes.Equal(m.Payload, full.data[off:off+int64(q.Length)]) {
						t.Fatalf("block %d is not the one that was requested", got)
					}
					got++
				}
			}
		})
	}
}
