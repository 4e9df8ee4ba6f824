package netx

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"seedbed/internal/traffic"
)

// BEP 5 and BEP 29 share the port: the first byte determines the protocol.
func TestProtocolOf(t *testing.T) {
	header := func(first byte) []byte { return append([]byte{first}, make([]byte, 19)...) }
	long := make([]byte, MaxDatagram) // perhaps truncated
	long[0] = 0x01
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{nil, "none"}, {[]byte{}, "none"}, {[]byte("d"), "krpc"}, {[]byte("d1:y1:qe"), "krpc"}, {[]byte("xe"), "none"},
		{header(0x01), "utp"}, {header(0x41), "utp"}, {header(0x51), "none"}, {header(0x42), "none"}, {header(0x40), "none"},
		{header(0x41)[:19], "none"}, {header(0x11), "utp"}, {header(0x21), "utp"}, {header(0x31), "utp"},
		{long[:MaxDatagram-1], "utp"}, {long, "none"},
	} {
		got := "none"
		if p, ok := ProtocolOf(c.b); ok {
			got = [...]string{"krpc", "utp"}[p]
		}
		if got != c.want {
			t.Errorf("%x: %s, not %s", c.b, got, c.want)
		}
	}
}

// Each handler receives its own datagrams of a batch in their order, and no memory is
// lost.
func TestSocketDispatches(t *testing.T) {
	utp := func(n byte) string { return string(append([]byte{0x41, n}, make([]byte, 20)...)) }
	var ms []Datagram
	for _, s := range []string{"d1", utp(1), "", "d2", "xe", utp(2), "d3", utp(3), "\x41short", "d4"} {
		ms = append(ms, Datagram{Buf: []byte(s + "rest of the buffer"), N: len(s)})
	}
	var got [numProtocols][]string
	s := NewSocket(&script{batches: [][]Datagram{ms}})
	handler := func(p Protocol) func([]Datagram) {
		return func(ms []Datagram) {
			for _, m := range ms {
				got[p] = append(got[p], string(m.Buf[:min(m.N, 2)]))
			}
		}
	}
	u := handler(UTP)
	s.handlers[UTP].Store(&u)
	s.Handle(KRPC, handler(KRPC))
	<-s.Done()
	if fmt.Sprintf("%q", got) != `[["d1" "d2" "d3" "d4"] ["A\x01" "A\x02" "A\x03"]]` || s.Strays() != 3 {
		t.Errorf("%q, %d strays", got, s.Strays())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Without handlers the datagrams are counted. A Socket that was never used can be closed.
func TestSocketWithoutHandlers(t *testing.T) {
	ms := []Datagram{{Buf: []byte("d"), N: 1}, {Buf: bytes.Repeat([]byte{0x41}, 20), N: 20}}
	s := NewSocket(&script{batches: [][]Datagram{ms}})
	s.Handle(UTP, func([]Datagram) {})
	<-s.Done()
	if s.Strays() != 1 {
		t.Error(s.Strays())
	}
	if err := NewSocket(&script{}).Close(); err != nil {
		t.Error(err)
	}
}

// Dispatching allocates nothing.
func TestDispatchDoesNotAllocate(t *testing.T) {
	s := NewSocket(&script{})
	n := 0
	count := func(ms []Datagram) { n += len(ms) }
	s.handlers[KRPC].Store(&count)
	s.handlers[UTP].Store(&count)
	ms := make([]Datagram, BatchLen)
	for i := range ms {
		ms[i] = Datagram{Buf: slices.Repeat([]byte{[]byte{'d', 0x01, 'x'}[i%3]}, 30), N: 30}
	}
	if a := testing.AllocsPerRun(100, func() { s.dispatch(ms) }); a != 0 {
		t.Errorf("%v allocations", a)
	}
	if n == 0 {
		t.Error("nothing was dispatched")
	}
}

// A Socket counts the bytes of the datagrams that it receives and sends.
func TestSocketCountsBytes(t *testing.T) {
	s := NewSocket(&script{batches: [][]Datagram{{{Buf: []byte("d12"), N: 3}, {Buf: []byte("stray"), N: 5}}}})
	s.Handle(KRPC, func([]Datagram) {})
	<-s.Done()
	if _, err := s.WriteBatch([]Datagram{{Buf: make([]byte, 20)}, {Buf: make([]byte, 30)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteTo(make([]byte, 7), netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	if got := s.Traffic(); got != (traffic.Bytes{In: 8, Out: 57}) {
		t.Errorf("%+v", got)
	}
}

// script is a PacketConn that returns prepared datagrams and is then closed.
type script struct {
	mu      sync.Mutex
	batches [][]Datagram
}

func (s *script) ReadBatch(ms []Datagram) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.batches) == 0 {
		return 0, net.ErrClosed
	}
	n := 0
	for i, m := range s.batches[0] {
		if m.Segment > 0 {
			ms[i].Buf = m.Buf // longer than the buffer
		}
		ms[i].N, ms[i].Segment, ms[i].Addr = copy(ms[i].Buf, m.Buf[:m.N]), m.Segment, m.Addr
		n++
	}
	s.batches = s.batches[1:]
	return n, nil
}
func (s *script) WriteBatch(ms []Datagram) (int, error) { return len(ms), nil }
func (s *script) WriteTo([]byte, netip.AddrPort) error  { return nil }
func (s *script) LocalAddr() netip.AddrPort             { return netip.AddrPort{} }
func (s *script) Close() error                          { return nil }
