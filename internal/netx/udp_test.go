package netx

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/ipv4"
)

// batch returns n datagrams with buffers of size bytes.
func batch(n, size int) []Datagram {
	ms := make([]Datagram, n)
	for i := range ms {
		ms[i].Buf = make([]byte, size)
	}
	return ms
}

func TestDatagramsBothWays(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		if host == "[::1]" && !hasIPv6() {
			continue
		}
		t.Run(host, func(t *testing.T) {
			a, b := open(t, Config{Listen: []string{host + ":0"}}).UDP()[0], open(t, Config{Listen: []string{host + ":0"}}).UDP()[0]
			const n = 300
			out := batch(n, 0)
			for i := range out {
				out[i] = Datagram{Buf: fmt.Appendf(nil, "d%de", i), Addr: b.LocalAddr()}
			}
			other := netip.MustParseAddrPort("[2001:db8::1]:1")
			if b.LocalAddr().Addr().Is6() {
				other = netip.MustParseAddrPort("192.0.2.1:1")
			}
			out[7].Addr = other   // cannot be sent
			out[n-1].Addr = other // nor can this one
			go func() {           // the reader receives the datagrams meanwhile
				sent, err := a.WriteBatch(out)
				if sent != n-2 || err == nil {
					t.Errorf("sent %d: %v", sent, err)
				}
			}()
			in := batch(33, 100)
			for next := 0; next < n-1; {
				k, err := b.ReadBatch(in)
				if err != nil || k == 0 {
					t.Fatal(k, err)
				}
				for _, m := range in[:k] {
					if next == 7 {
						next++
					}
					if want := fmt.Sprintf("d%de", next); string(m.Buf[:m.N]) != want || m.Addr != a.LocalAddr() {
						t.Fatalf("%q from %v, want %s", m.Buf[:m.N], m.Addr, want)
					}
					next++
				}
			}
			if err := b.WriteTo([]byte("back"), a.LocalAddr()); err != nil {
				t.Error(err)
			}
			if k, err := a.ReadBatch(in); k != 1 || err != nil || string(in[0].Buf[:in[0].N]) != "back" || in[0].Addr != b.LocalAddr() {
				t.Error(k, err, in[0])
			}
		})
	}
}

func TestLongDatagramIsCut(t *testing.T) {
	a, b := open(t, Config{Listen: []string{"127.0.0.1:0"}}).UDP()[0], open(t, Config{Listen: []string{"127.0.0.1:0"}}).UDP()[0]
	if err := a.WriteTo(bytes.Repeat([]byte("x"), 2000), b.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	in := batch(1, 100)
	if n, err := b.ReadBatch(in); n != 1 || err != nil || in[0].N != 100 {
		t.Error(n, err, in[0].N)
	}
}

func TestClosingWakesTheReader(t *testing.T) {
	c := open(t, Config{Listen: []string{"127.0.0.1:0"}}).UDP()[0]
	done := make(chan error)
	go func() {
		_, err := c.ReadBatch(batch(4, 10))
		done <- err
	}()
	c.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := c.WriteBatch([]Datagram{{Buf: []byte("x"), Addr: c.LocalAddr()}}); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := c.WriteTo([]byte("x"), c.LocalAddr()); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestDatagramsDoNotAllocate(t *testing.T) {
	a, b := open(t, Config{Listen: []string{"127.0.0.1:0"}}).UDP()[0], open(t, Config{Listen: []string{"127.0.0.1:0"}}).UDP()[0]
	out, in := batch(16, 100), batch(16, 2048)
	for i := range out {
		out[i].Addr = b.LocalAddr()
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := a.WriteBatch(out); err != nil {
			t.Fatal(err)
		}
		for left := len(out); left > 0; {
			n, err := b.ReadBatch(in)
			if err != nil {
				t.Fatal(err)
			}
			left -= n
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d datagrams", n, len(out))
	}
}

// BenchmarkDatagrams sends and receives 100 bytes at a time on loopback: in our batches,
// in those of golang.org/x/net, and one by one.
func BenchmarkDatagrams(b *testing.B) {
	sockets := func(b *testing.B) (x, y *net.UDPConn) {
		for _, c := range []**net.UDPConn{&x, &y} {
			var err error
			if *c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { (*c).Close() })
		}
		return x, y
	}
	for _, size := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("ours/%d", size), func(b *testing.B) {
			x, y := sockets(b)
			from, to := newUDP(x), newUDP(y)
			out, in := batch(size, 100), batch(64, 2048)
			for i := range out {
				out[i].Addr = to.LocalAddr()
			}
			b.ReportAllocs()
			for i := 0; i < b.N; i += size {
				if _, err := from.WriteBatch(out); err != nil {
					b.Fatal(err)
				}
				for left := size; left > 0; {
					n, err := to.ReadBatch(in)
					if err != nil {
						b.Fatal(err)
					}
					left -= n
				}
			}
		})
		b.Run(fmt.Sprintf("xnet/%d", size), func(b *testing.B) {
			x, y := sockets(b)
			from, to := ipv4.NewPacketConn(x), ipv4.NewPacketConn(y)
			out, in := make([]ipv4.Message, size), make([]ipv4.Message, 64)
			for i := range out {
				out[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 100)}, Addr: y.LocalAddr()}
			}
			for i := range in {
				in[i].Buffers = [][]byte{make([]byte, 2048)}
			}
			b.ReportAllocs()
			for i := 0; i < b.N; i += size {
				for rest := out; len(rest) > 0; {
					n, err := from.WriteBatch(rest, 0)
					if err != nil {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
				for left := size; left > 0; {
					n, err := to.ReadBatch(in, 0)
					if err != nil {
						b.Fatal(err)
					}
					for j := range in[:n] {
						_ = in[j].Addr.(*net.UDPAddr).AddrPort()
					}
					left -= n
				}
			}
		})
		b.Run(fmt.Sprintf("single/%d", size), func(b *testing.B) {
			x, y := sockets(b)
			to, buf, in := addrPort(y.LocalAddr()), make([]byte, 100), make([]byte, 2048)
			b.ReportAllocs()
			for i := 0; i < b.N; i += size {
				for range size {
					if _, err := x.WriteToUDPAddrPort(buf, to); err != nil {
						b.Fatal(err)
					}
				}
				for range size {
					if _, _, err := y.ReadFromUDPAddrPort(in); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
