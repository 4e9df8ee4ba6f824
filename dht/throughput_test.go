//go:build linux

package dht

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/respond"
	"seedbed/dht/store"
	"seedbed/internal/netx"
	"seedbed/internal/udpload"
)

// TestServer runs the servers of BenchmarkThroughput, in separate processes.
func TestServer(t *testing.T) {
	switch {
	case udpload.Child("echo"):
		conn := loopback(t, "127.0.0.1:0")[0]
		go udpload.Echo(conn, netx.BatchLen)
		udpload.Serve(conn.LocalAddr())
	case udpload.Child("node"):
		conns := loopback(t, "127.0.0.1:0")
		d := newNode(t, Config{Conns: conns})
		d.mu.Lock()
		table := d.families[0].table
		for i := range 4000 {
			a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 6881)
			table.Replied(d.now(), a, randomID(), time.Millisecond)
		}
		// Loopback sources are not limited, and on the internet no source sends as many
		// queries as these: here the limit is checked but high.
		d.answers.Responder = respond.New(respond.Config{
			Table4: table, Store: d.answers.store, Tokens: store.NewTokens(d.now(), d.random), Rand: d.random, Rate: 1000, Burst: 1000,
		})
		d.mu.Unlock()
		udpload.Serve(conns[0].LocalAddr())
	default:
		t.Skip("not a server")
	}
}

// BenchmarkThroughput measures what a query costs a whole node including sockets,
// compared with an echo of the same datagrams through the same kind of socket.
func BenchmarkThroughput(b *testing.B) {
	echo, node := udpload.Start(b, "TestServer", "echo"), udpload.Start(b, "TestServer", "node")
	load := udpload.NewLoad(b)
	const infohashes = 1000
	tokens := make([][]byte, udpload.Sources)
	query := func(i int, method, args string) []byte {
		return fmt.Appendf(nil, "d1:ad2:id20:%020d%se1:q%d:%s1:t4:%s1:y1:qe", i, args, len(method), method, binary.BigEndian.AppendUint32(nil, uint32(i)))
	}
	getPeers := func(i int) []byte {
		return query(i, "get_peers", fmt.Sprintf("9:info_hash20:%020d", i%infohashes))
	}
	for _, q := range []struct {
		name  string
		query func(i int) []byte
		want  func(m *krpc.Message) bool
	}{
		{"find_node",
			func(i int) []byte { return query(i, "find_node", fmt.Sprintf("6:target20:%020d", i)) },
			func(m *krpc.Message) bool { return len(m.Response.Nodes) == 8*krpc.NodeLen4 }},
		{"get_peers", getPeers,
			func(m *krpc.Message) bool {
				return len(m.Response.Nodes) == 8*krpc.NodeLen4 && len(m.Response.Token) > 0
			}},
		{"announce_peer",
			func(i int) []byte {
				return query(i, "announce_peer", fmt.Sprintf("9:info_hash20:%020d4:porti6881e5:token%d:%s", i%infohashes, len(tokens[i]), tokens[i]))
			},
			func(m *krpc.Message) bool { return true }},
		{"get_peers_of_ten", getPeers,
			func(m *krpc.Message) bool { return m.Response.Values.Len() == udpload.Sources/infohashes }},
	} {
		b.Run(q.name, func(b *testing.B) {
			if q.name == "announce_peer" {
				load.Once(node.Addr, getPeers, func(answer []byte) {
					var m krpc.Message
					if krpc.Parse(answer, &m) == nil && m.Y == 'r' && len(m.T) == 4 {
						tokens[binary.BigEndian.Uint32(m.T)] = append([]byte(nil), m.Response.Token...)
					}
				})
			}
			queries := make([][]byte, udpload.Sources)
			for i := range queries {
				queries[i] = q.query(i)
			}
			check := func(answer []byte) error {
				var m krpc.Message
				if err := krpc.Parse(answer, &m); err != nil || m.Y != 'r' || !q.want(&m) {
					return fmt.Errorf("%q: %v", answer, err)
				}
				return nil
			}
			for range b.N {
				load.Compare(echo, node, 25, 80*time.Millisecond, func(i int) []byte { return queries[i] }, check).Report(b)
			}
		})
	}
}
