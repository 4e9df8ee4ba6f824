//go:build linux

package bootnode

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"seedbed/dht/bootstrap"
	"seedbed/dht/krpc"
	"seedbed/internal/netx"
	"seedbed/internal/udpload"
)

// TestServer runs the servers of BenchmarkThroughput, in separate processes.
func TestServer(t *testing.T) {
	switch {
	case udpload.Child("echo"):
		conns, err := netx.OpenUDP(netx.UDPConfig{Listen: []string{"127.0.0.1:0"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range conns {
			go udpload.Echo(c, netx.BatchLen)
		}
		udpload.Serve(conns[0].LocalAddr())
	case udpload.Child("bootstrap"):
		conns, err := netx.OpenUDP(netx.UDPConfig{Listen: []string{"127.0.0.1:0"}})
		if err != nil {
			t.Fatal(err)
		}
		// The ring of a node that has run for a while. The sources send more queries
		// than any real node, so their limit is higher, but it is still checked.
		saved := bootstrap.State{Saved: time.Now()}
		for i := range 20_000 {
			var n [krpc.NodeLen4]byte
			binary.BigEndian.PutUint64(n[:], rand.Uint64())
			binary.BigEndian.PutUint32(n[20:], 0x0b000000+uint32(i))
			n[25] = 1
			saved.Nodes[0] = append(saved.Nodes[0], n[:]...)
		}
		s, err := New(Config{Conns: conns, Saved: saved, Rate: 1000, Burst: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if n := s.Stats().V4.Nodes; n != 20_000 {
			t.Fatal(n)
		}
		udpload.Serve(conns[0].LocalAddr())
	default:
		t.Skip("not a server")
	}
}

// BenchmarkThroughput measures what a query costs the whole server including sockets,
// compared with an echo of the same datagrams through the same kind of sockets.
func BenchmarkThroughput(b *testing.B) {
	echo, server := udpload.Start(b, "TestServer", "echo"), udpload.Start(b, "TestServer", "bootstrap")
	load := udpload.NewLoad(b)
	for _, q := range []struct {
		method, key string
	}{
		{"find_node", "target"},
		{"get_peers", "info_hash"},
	} {
		b.Run(q.method, func(b *testing.B) {
			queries := make([][]byte, udpload.Sources)
			for i := range queries {
				queries[i] = fmt.Appendf(nil, "d1:ad2:id20:%020d%d:%s20:%020de1:q%d:%s1:t2:aa1:y1:qe", i, len(q.key), q.key, i, len(q.method), q.method)
			}
			check := func(answer []byte) error {
				var m krpc.Message
				if err := krpc.Parse(answer, &m); err != nil || m.Y != 'r' || len(m.Response.Nodes) != bootstrap.K*krpc.NodeLen4 || !strings.HasPrefix(m.IP.Addr().String(), "127.") {
					return fmt.Errorf("%q: %v", answer, err)
				}
				return nil
			}
			for range b.N {
				load.Compare(echo, server, 25, 80*time.Millisecond, func(i int) []byte { return queries[i] }, check).Report(b)
			}
		})
	}
}
