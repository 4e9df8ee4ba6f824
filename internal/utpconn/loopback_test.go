package utpconn

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"seedbed/internal/netx"
)

// loopback starts a Transport on real sockets of this machine.
func loopback(t testing.TB) *Transport {
	t.Helper()
	h, err := netx.Open(netx.Config{Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	tr := New(Config{Sockets: h.UDP()})
	t.Cleanup(func() {
		_ = tr.Close()
		_ = h.Close()
	})
	return tr
}

// Many connections at a time over real sockets carry what is written, both ways.
func TestManyConnectionsOnLoopback(t *testing.T) {
	const conns, size = 20, 300 << 10
	a, b := loopback(t), loopback(t)
	var wg sync.WaitGroup
	wg.Go(func() { // echo
		for range conns {
			c, err := b.Accept(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			wg.Go(func() {
				defer c.Close()
				if n, err := io.Copy(c, io.LimitReader(c, size)); n != size || err != nil {
					t.Error(n, err)
				}
			})
		}
	})
	for i := range conns {
		wg.Go(func() {
			c, err := a.Dial(context.Background(), addr(b))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			want := random(uint64(i), size)
			wg.Go(func() {
				if _, err := c.Write(want); err != nil {
					t.Error(err)
				}
			})
			got := make([]byte, size)
			if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
				t.Error("other bytes than were sent", err)
			}
		})
	}
	wg.Wait()
}

// BenchmarkLoopback sends 64 KiB at a time over one connection between real sockets, and
// over TCP for comparison.
func BenchmarkLoopback(b *testing.B) {
	const size = 64 << 10
	run := func(b *testing.B, from, to net.Conn) {
		b.SetBytes(size)
		done := make(chan error)
		go func() {
			_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{to}, make([]byte, size))
			done <- err
		}()
		buf := make([]byte, size)
		for b.Loop() {
			if _, err := from.Write(buf); err != nil {
				b.Fatal(err)
			}
		}
		from.Close()
		<-done
	}
	b.Run("utp", func(b *testing.B) {
		x, y := loopback(b), loopback(b)
		from, err := x.Dial(b.Context(), addr(y))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := from.Write([]byte("x")); err != nil {
			b.Fatal(err)
		}
		to, err := y.Accept(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		run(b, from, to)
	})
	b.Run("tcp", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		from, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		to, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		run(b, from, to)
	})
}
