//go:build linux

package dht

import (
	"bytes"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"seedbed/dht/krpc"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/udpload"
)

// TestAnswerers runs the nodes that BenchmarkOutgoing queries, in a separate process.
func TestAnswerers(t *testing.T) {
	if !udpload.Child("answerers") {
		t.Skip("not a server")
	}
	const size = 64
	var nodes []answerer
	for range size {
		nodes = append(nodes, answerer{randomID(), loopback(t, "127.0.0.1:0")[0]})
	}
	for _, n := range nodes {
		go n.serve(nodes)
	}
	udpload.Serve(nodes[0].conn.LocalAddr())
}

// answerer is a node that answers every query with the nodes closest to its target.
type answerer struct {
	id   id.ID
	conn *netx.Socket
}

func (n answerer) serve(nodes []answerer) {
	nodes = slices.Clone(nodes)
	in := datagrams(nil)
	for {
		got, err := n.conn.ReadBatch(in)
		if err != nil {
			return
		}
		for _, d := range in[:got] {
			var m krpc.Message
			if krpc.Parse(d.Buf[:d.N], &m) != nil || m.Y != 'q' {
				continue
			}
			r := krpc.Reply{To: d.Addr, T: m.T, ID: n.id}
			if m.Query.HasTarget {
				slices.SortFunc(nodes, func(a, b answerer) int { return m.Query.Target.CmpDistance(a.id, b.id) })
				for _, o := range nodes[:8] {
					r.Nodes = addrs.Append(append(r.Nodes, o.id[:]...), o.conn.LocalAddr())
				}
				r.Token = []byte("token")
			}
			n.conn.WriteTo(r.Append(nil), d.Addr)
		}
	}
}

// BenchmarkOutgoing measures the processor time of one of our queries and its reply, as in
// a lookup, compared with a datagram of the same size that a bare echo returns. Both go to
// another process, alternately.
func BenchmarkOutgoing(b *testing.B) {
	echo, nodes := udpload.Start(b, "TestServer", "echo"), udpload.Start(b, "TestAnswerers", "answerers")
	client := loopback(b, "127.0.0.1:0")[0]
	d := newNode(b, Config{Conns: loopback(b, "127.0.0.1:0"), Bootstrap: []string{nodes.Addr.String()}, Rate: 1e6})
	<-d.Ready()
	const turns, queries = 20, 2000
	out, in := datagrams(bytes.Repeat([]byte("q"), 110)), datagrams(nil)
	for i := range out {
		out[i].Addr = echo.Addr
	}
	bare := func() (asked int) {
		for ; asked < queries; asked += len(out) {
			if _, err := client.WriteBatch(out); err != nil {
				b.Fatal(err)
			}
			for got := 0; got < len(out); {
				n, err := client.ReadBatch(in)
				if err != nil {
					b.Fatal(err)
				}
				got += n
			}
		}
		return asked
	}
	lookups := func() int {
		begin := d.Stats().V4
		var wg sync.WaitGroup
		for range maxTraversals {
			wg.Go(func() {
				for d.Stats().V4.Out < begin.Out+queries {
					s, err := d.Lookup(b.Context(), randomID(), func(netip.AddrPort, []netip.AddrPort) {})
					if err != nil || s.Answered == 0 {
						b.Errorf("%+v, %v", s, err)
						return
					}
				}
			})
		}
		wg.Wait()
		return int(d.Stats().V4.Replies - begin.Replies)
	}
	for range b.N {
		var echoes, asked []time.Duration
		for range turns {
			echoes = append(echoes, cpuOf(b, bare))
			asked = append(asked, cpuOf(b, lookups))
		}
		// Other load on the machine can only add time, so only the cheapest rounds count.
		slices.Sort(echoes)
		slices.Sort(asked)
		e, a := echoes[turns/5], asked[turns/5]
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(e), "echo-cpu-ns/query")
		b.ReportMetric(float64(a), "cpu-ns/query")
		b.ReportMetric(float64(a)/float64(e), "echoes/query")
	}
}

// cpuOf returns the processor time of this process for each query of f.
func cpuOf(t testing.TB, f func() int) time.Duration {
	used := func() time.Duration {
		var ru unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &ru); err != nil {
			t.Fatal(err)
		}
		return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	begin := used()
	n := f()
	return (used() - begin) / time.Duration(n)
}
