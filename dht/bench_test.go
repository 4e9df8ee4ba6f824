package dht

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"seedbed/dht/krpc"
	"seedbed/internal/id"
	"seedbed/internal/netx"
)

// silent is a connection that receives nothing.
type silent struct {
	local  netip.AddrPort
	closed chan struct{}
}

func (s *silent) ReadBatch([]netx.Datagram) (int, error) {
	<-s.closed
	return 0, net.ErrClosed
}
func (s *silent) WriteBatch(ms []netx.Datagram) (int, error) { return len(ms), nil }
func (s *silent) WriteTo([]byte, netip.AddrPort) error       { return nil }
func (s *silent) LocalAddr() netip.AddrPort                  { return s.local }
func (s *silent) Close() error                               { close(s.closed); return nil }

// BenchmarkQuery measures one query from its datagram to its reply, without
// the sockets.
func BenchmarkQuery(b *testing.B) {
	d := newNode(b, Config{Conns: []*netx.Socket{netx.NewSocket(&silent{local: netip.MustParseAddrPort("127.0.0.1:6881"), closed: make(chan struct{})})}})
	f := d.families[0]
	for i := range 4000 {
		a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 6881)
		f.table.Replied(d.now(), a, randomID(), time.Millisecond)
	}
	from := netip.MustParseAddrPort("127.0.0.1:9999")
	for _, q := range []struct{ name, format string }{
		{"ping", "d1:ad2:id20:%se1:q4:ping1:t2:aa1:y1:qe"},
		{"find_node", "d1:ad2:id20:%[1]s6:target20:%[2]se1:q9:find_node1:t2:aa1:y1:qe"},
		{"get_peers", "d1:ad2:id20:%[1]s9:info_hash20:%[2]se1:q9:get_peers1:t2:aa1:y1:qe"},
	} {
		b.Run(q.name, func(b *testing.B) {
			var packets [256][]byte
			for i := range packets {
				from, target := randomID(), randomID()
				if q.name == "ping" {
					packets[i] = fmt.Appendf(nil, q.format, string(from[:]))
				} else {
					packets[i] = fmt.Appendf(nil, q.format, string(from[:]), string(target[:]))
				}
			}
			f.table.Replied(d.now(), from, id.ID{1}, 0) // a known node: no ping is sent
			out := make([]byte, 0, krpc.MaxDatagram)
			var m krpc.Message
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				d.mu.Lock()
				out = f.datagram(d.now(), out[:0], packets[i%256], from, &m)
				d.mu.Unlock()
				if len(out) == 0 {
					b.Fatal("no reply")
				}
			}
		})
	}
}

// BenchmarkOverUDP measures a query and its reply over real sockets of this machine,
// 32 at a time, compared with an echo of the same datagrams over the same sockets.
func BenchmarkOverUDP(b *testing.B) {
	own, target := randomID(), randomID()
	query := fmt.Appendf(nil, "d1:ad2:id20:%s6:target20:%se1:q9:find_node1:t2:aa1:y1:qe", string(own[:]), string(target[:]))
	b.Run("echo", func(b *testing.B) {
		server := loopback(b, "127.0.0.1:0")[0]
		go func() {
			ms := datagrams(nil)
			for {
				n, err := server.ReadBatch(ms)
				if err != nil {
					return
				}
				for i := range ms[:n] {
					ms[i].Buf = ms[i].Buf[:ms[i].N]
				}
				server.WriteBatch(ms[:n])
				for i := range ms[:n] {
					ms[i].Buf = ms[i].Buf[:cap(ms[i].Buf)]
				}
			}
		}()
		blast(b, query, server.LocalAddr())
	})
	b.Run("find_node", func(b *testing.B) {
		conns := loopback(b, "127.0.0.1:0")
		d := newNode(b, Config{Conns: conns})
		d.mu.Lock()
		for i := range 4000 {
			a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 6881)
			d.families[0].table.Replied(d.now(), a, randomID(), time.Millisecond)
		}
		d.mu.Unlock()
		blast(b, query, conns[0].LocalAddr())
	})
}

func datagrams(fill []byte) []netx.Datagram {
	ms := make([]netx.Datagram, netx.BatchLen)
	for i := range ms {
		ms[i].Buf = make([]byte, 2048)
		if fill != nil {
			ms[i].Buf = fill
		}
	}
	return ms
}

func blast(b *testing.B, query []byte, to netip.AddrPort) {
	client := loopback(b, "127.0.0.1:0")[0]
	out, in := datagrams(query), datagrams(nil)
	for i := range out {
		out[i].Addr = to
	}
	b.ResetTimer()
	for done := 0; done < b.N; {
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
		done += len(out)
	}
}
