package netx

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// numbered returns a buffer of n segments, each filled with its number, and half a segment.
func numbered(n, segment int) (b []byte) {
	for i := range n {
		b = append(b, bytes.Repeat([]byte{byte(i)}, segment)...)
	}
	return append(b, bytes.Repeat([]byte{byte(n)}, segment/2)...)
}

// pair returns two UDP sockets of one family on loopback.
func pair(t *testing.T, addr string) (from, to *udpConn) {
	t.Helper()
	for _, u := range []**udpConn{&from, &to} {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		*u = new(Host).newUDP(c).(*udpConn)
	}
	return from, to
}

// receive reads datagrams until size bytes have arrived. The datagrams of a segmented
// buffer are returned one by one.
func receive(t *testing.T, c PacketConn, size int) (got [][]byte, coalesced bool) {
	t.Helper()
	in := batch(16, CoalescedLen)
	for size > 0 {
		n, err := c.ReadBatch(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range in[:n] {
			size -= m.N
			segment := m.N
			if m.Segment > 0 {
				segment, coalesced = m.Segment, true
			}
			for b := range slices.Chunk(m.Buf[:m.N], segment) {
				got = append(got, bytes.Clone(b))
			}
		}
	}
	return got, coalesced
}

// A buffer with segments arrives as that many datagrams, whether the system or we cut it,
// and whether or not the receiver coalesces. Buffers around it arrive whole and in order.
func TestSegmentsAreDatagrams(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		if addr == "[::1]:0" && !hasIPv6() {
			continue
		}
		for _, c := range []struct {
			name          string
			cut, coalesce bool
			segments      int
		}{
			{"by the system", false, false, 20},
			{"coalesced", false, true, 20},
			{"by us", true, false, 20},
			{"too many for the system", false, false, 150},
		} {
			t.Run(addr+" "+c.name, func(t *testing.T) {
				from, to := pair(t, addr)
				if c.cut {
					forceCut(from)
				}
				coalescer, ok := PacketConn(to).(Coalescer)
				canCoalesce := ok && c.coalesce && coalescer.Coalesce()
				const segment = 300
				b := numbered(c.segments, segment)
				out := []Datagram{
					{Buf: []byte("before"), Addr: to.local},
					{Buf: b, Segment: segment, Addr: to.local},
					{Buf: []byte("after"), Addr: to.local, Segment: segment, Err: errors.New("old")},
				}
				if n, err := from.WriteBatch(out); n != len(out) || err != nil {
					t.Fatal(n, err)
				}
				for i := range out {
					if out[i].Err != nil {
						t.Errorf("datagram %d: %v", i, out[i].Err)
					}
				}
				want := slices.Concat([][]byte{[]byte("before")}, slices.Collect(slices.Chunk(b, segment)), [][]byte{[]byte("after")})
				got, coalesced := receive(t, to, len(b)+len("before")+len("after"))
				if !slices.EqualFunc(got, want, bytes.Equal) {
					t.Errorf("%d datagrams, want %d", len(got), len(want))
				}
				if coalesced != canCoalesce {
					t.Errorf("coalesced: %v, want %v", coalesced, canCoalesce)
				}
			})
		}
	}
}

// WriteBatch tells which datagrams were not sent: those of the other family and those that
// are too long, whole or in segments.
func TestUnsentDatagramsHaveAnError(t *testing.T) {
	from, to := pair(t, "127.0.0.1:0")
	long := make([]byte, 65508)
	out := []Datagram{
		{Buf: []byte("sent"), Addr: to.local},
		{Buf: []byte("other family"), Addr: netip.MustParseAddrPort("[2001:db8::1]:6881")},
		{Buf: long, Addr: to.local},
		{Buf: append(long, 1), Segment: len(long), Addr: to.local},
		{Buf: []byte("sent"), Addr: to.local},
	}
	n, err := from.WriteBatch(out)
	if n != 2 || !errors.Is(err, ErrNoFamily) {
		t.Error(n, err)
	}
	for i, sent := range []bool{true, false, false, false, true} {
		if (out[i].Err == nil) != sent {
			t.Errorf("datagram %d: %v", i, out[i].Err)
		}
	}
}

// failing is a PacketConn that does not send the datagrams with these texts.
type failing struct {
	PacketConn
	texts []string
}

var errNotSent = errors.New("not sent")

func (f *failing) WriteBatch(ms []Datagram) (n int, err error) {
	for i := range ms {
		ms[i].Err = nil
		text := string(ms[i].Buf)
		if slices.ContainsFunc(f.texts, func(s string) bool { return strings.HasSuffix(text, s) }) {
			ms[i].Err, err = errNotSent, errNotSent
			continue
		}
		n++
	}
	return n, err
}

// write is the write of a batcher.
func (f *failing) write(ms []Datagram) (int, error) { return f.WriteBatch(ms[:1]) }

// Segments have an error only if none was sent. Otherwise uTP would send their bytes again in
// packets of another length with the same numbers, and the peer would have both.
func TestPartlySentSegmentsAreSent(t *testing.T) {
	any := netip.MustParseAddrPort("127.0.0.1:1")
	for _, c := range []struct {
		failing []string
		want    error
	}{
		{nil, nil}, {[]string{"two"}, nil}, {[]string{"3"}, nil}, {[]string{"two", "3"}, nil},
		{[]string{"one", "two", "3"}, errNotSent},
	} {
		f := &failing{texts: c.failing}
		out := []Datagram{{Buf: []byte("onetwo3"), Segment: 3, Addr: any}}
		if err := new(udpConn).writeCut(&out[0], f.write); err != c.want {
			t.Errorf("%q fail: %v", c.failing, err)
		}
		r := newRelay(Outbound{}, 0, any.Addr(), nil)
		r.set(&session{conn: f, proxy: any}, nil)
		if _, err := r.WriteBatch(out); err != c.want || out[0].Err != c.want {
			t.Errorf("%q fail at the proxy: %v, %v", c.failing, err, out[0].Err)
		}
	}
}

// A handler gets the datagrams of a coalesced buffer one by one, in the order of arrival and
// at most BatchLen at a time, each with its own protocol.
func TestSocketSplitsCoalescedDatagrams(t *testing.T) {
	utp := func(i int) []byte { return append([]byte{0x01, byte(i)}, make([]byte, 28)...) }
	var all []byte
	for i := range 100 {
		all = append(all, utp(i)...)
	}
	krpc := append([]byte("d1:"), make([]byte, 27)...)
	all = append(all, krpc...)
	all = append(all, "short"...)
	from := netip.MustParseAddrPort("127.0.0.1:6881")
	s := NewSocket(&script{batches: [][]Datagram{
		{{Buf: append(all, "rest of the buffer"...), N: len(all), Segment: len(krpc), Addr: from}},
	}})
	next, calls := 0, 0
	h := func(ms []Datagram) {
		calls++
		for _, m := range ms {
			if m.N != 30 || int(m.Buf[1]) != next || m.Addr != from || len(ms) > BatchLen {
				t.Errorf("datagram %d: %x of %v in a batch of %d", next, m.Buf[:m.N], m.Addr, len(ms))
			}
			next++
		}
	}
	s.handlers[UTP].Store(&h)
	queries := 0
	s.Handle(KRPC, func(ms []Datagram) { queries += len(ms) })
	<-s.Done()
	if next != 100 || calls != 2 || queries != 1 || s.Strays() != 1 {
		t.Errorf("%d datagrams in %d calls, %d queries, %d strays", next, calls, queries, s.Strays())
	}
}
