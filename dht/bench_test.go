package dht

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"seedbed/dht/krpc"
	"seedbed/internal/id"
	"seedbed/internal/netx"
)

// silent is a connection on which nothing happens.
type silent struct {
	local  netip.AddrPort
	closed chan struct{}
}

func (s *silent) ReadBatch([]netx.Datagram) (int, error) {
	<-s.closed
	return 0, errNoReturn
}
func (s *silent) WriteBatch(ms []netx.Datagram) (int, error) { return len(ms), nil }
func (s *silent) WriteTo([]byte, netip.AddrPort) error       { return nil }
func (s *silent) LocalAddr() netip.AddrPort                  { return s.local }
func (s *silent) Close() error                               { close(s.closed); return nil }

// BenchmarkQuery is what one query costs from its datagram to its reply, with
// the sockets left out.
func BenchmarkQuery(b *testing.B) {
	d := newNode(b, Config{Conns: []netx.PacketConn{&silent{local: netip.MustParseAddrPort("127.0.0.1:6881"), closed: make(chan struct{})}}})
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
			f.table.Replied(d.now(), from, id.ID{1}, 0) // known: no ping goes out
			out := make([]byte, 0, krpc.MaxDatagram)
			var m krpc.Message
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if out = f.datagram(out[:0], packets[i%256], from, &m); len(out) == 0 {
					b.Fatal("no reply")
				}
			}
		})
	}
}
