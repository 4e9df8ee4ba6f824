package simnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"seedbed/internal/netx"
)

var (
	addrA = netip.MustParseAddr("10.0.0.1")
	addrB = netip.MustParseAddr("10.0.0.2")
	addr6 = netip.MustParseAddr("fd00::2")
	atB   = netip.AddrPortFrom(addrB, 6881)
)

const ms = time.Millisecond

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// connect returns both ends of a connection from a to port 6881 of b.
func connect(t *testing.T, a, b *Host) (net.Conn, net.Conn) {
	t.Helper()
	l := must(b.Listen(6881))
	defer l.Close()
	accepted := make(chan net.Conn)
	go func() { accepted <- must(l.Accept(t.Context())) }()
	c := must(a.Dial(t.Context(), netip.AddrPortFrom(b.Addr(), 6881)))
	return c, <-accepted
}

func both(n *Net) (a, b *Host) { return n.Host(addrA), n.Host(addrB) }

func TestConnIsANetConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		a, b := both(New(1, Link{}))
		l := must(b.Listen(6881))
		c := must(a.Dial(context.Background(), atB))
		d := must(l.Accept(context.Background()))
		return c, d, func() { c.Close(); d.Close(); l.Close() }, nil
	})
}

func TestDelayIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := both(New(1, Link{Delay: 50 * ms}))
		start := time.Now()
		c, d := connect(t, a, b)
		if got := time.Since(start); got != 100*ms {
			t.Errorf("dialled in %v", got)
		}
		go func() {
			buf := make([]byte, 10)
			n := must(d.Read(buf))
			d.Write(buf[:n])
		}()
		start = time.Now()
		c.Write([]byte("ping"))
		buf := make([]byte, 10)
		if n := must(c.Read(buf)); string(buf[:n]) != "ping" || time.Since(start) != 100*ms {
			t.Errorf("%q after %v", buf[:n], time.Since(start))
		}
		if netx.RemoteAddr(c) != atB || netx.LocalAddr(d) != atB || netx.RemoteAddr(d) != netx.LocalAddr(c) {
			t.Error(c.LocalAddr(), c.RemoteAddr(), d.LocalAddr(), d.RemoteAddr())
		}
	})
}

func TestDialsThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1, Link{Delay: 50 * ms})
		a, b := both(n)
		dial := func(to netip.AddrPort) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			start := time.Now()
			_, err := a.Dial(ctx, to)
			if a.Conns() != 0 {
				t.Error("a failed dial keeps its port")
			}
			return time.Since(start), err
		}
		if d, err := dial(atB); !errors.Is(err, syscall.ECONNREFUSED) || d != 100*ms {
			t.Errorf("nobody listens: %v after %v", err, d)
		}
		timeout := func(what string, to netip.AddrPort) {
			t.Helper()
			d, err := dial(to)
			var ne net.Error
			if !errors.As(err, &ne) || !ne.Timeout() || d != 5*time.Second {
				t.Errorf("%s: %v after %v", what, err, d)
			}
		}
		timeout("no host", netip.MustParseAddrPort("10.9.9.9:1"))
		l := must(b.Listen(6881))
		b.Filter(6881, true)
		timeout("a firewall", atB)
		b.Filter(6881, false)
		for range backlog {
			must(n.Host(netip.MustParseAddr("10.0.0.3")).Dial(t.Context(), atB))
		}
		timeout("a full backlog", atB)
		b.Unplug()
		timeout("an unplugged host", atB)
		l.Close()
		if _, err := dial(netip.AddrPortFrom(addr6, 1)); !errors.Is(err, netx.ErrNoFamily) {
			t.Error(err)
		}
		must(a.Listen(7000))
		if _, err := dial(netip.AddrPortFrom(addrA, 7000)); !errors.Is(err, netx.ErrSelf) {
			t.Error(err)
		}
	})
}

func TestDialsComeFromTheListeningPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := both(New(1, Link{}))
		must(a.Listen(7000))
		must(b.Listen(6881))
		c := must(a.Dial(t.Context(), atB))
		again := must(a.Dial(t.Context(), atB))
		if p, q := netx.LocalAddr(c).Port(), netx.LocalAddr(again).Port(); p != 7000 || q < 32768 {
			t.Error(p, q)
		}
		c.Close()
		if p := netx.LocalAddr(must(a.Dial(t.Context(), atB))).Port(); p != 7000 {
			t.Error(p)
		}
	})
}

func TestAcceptEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := both(New(1, Link{}))
		l := must(b.Listen(0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Accept(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		go func() {
			time.Sleep(time.Second)
			l.Close()
		}()
		if _, err := l.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		port := l.Addrs()[0].Port()
		must(b.Listen(port))
		if _, err := b.Listen(port); !errors.Is(err, syscall.EADDRINUSE) {
			t.Error(err)
		}
	})
}

func TestEndsOfConnections(t *testing.T) {
	run := func(name string, f func(t *testing.T, c, d net.Conn, a, b *Host)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := both(New(1, Link{Delay: 50 * ms}))
				c, d := connect(t, a, b)
				f(t, c, d, a, b)
			})
		})
	}
	read := func(c net.Conn) (string, error) {
		b, err := io.ReadAll(c)
		return string(b), err
	}
	run("close delivers what was sent, then EOF", func(t *testing.T, c, d net.Conn, a, b *Host) {
		c.Write([]byte("last words"))
		c.Close()
		if s, err := read(d); s != "last words" || err != nil {
			t.Error(s, err)
		}
		d.Close()
		if a.Conns() != 0 || b.Conns() != 0 {
			t.Error("connections left")
		}
	})
	run("close with unread data resets", func(t *testing.T, c, d net.Conn, a, b *Host) {
		d.Write([]byte("unread"))
		time.Sleep(time.Second)
		c.Close()
		if _, err := read(d); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		if _, err := d.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Error(err)
		}
	})
	run("writing to a closed socket resets", func(t *testing.T, c, d net.Conn, a, b *Host) {
		c.Close()
		if _, err := d.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		time.Sleep(100 * ms)
		if _, err := d.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Error(err)
		}
	})
	run("a crash resets", func(t *testing.T, c, d net.Conn, a, b *Host) {
		a.Crash()
		start := time.Now()
		if _, err := read(d); !errors.Is(err, syscall.ECONNRESET) || time.Since(start) != 50*ms {
			t.Error(err, time.Since(start))
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		must(a.Open(6881)).Close()
	})
	run("an unplugged host is silent", func(t *testing.T, c, d net.Conn, a, b *Host) {
		a.Unplug()
		c.Write([]byte("x"))
		c.Close()
		d.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := read(d); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		d.SetWriteDeadline(time.Now().Add(time.Hour))
		if n, err := d.Write(make([]byte, window+1)); n != window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(n, err)
		}
	})
	run("a writer waits for its reader", func(t *testing.T, c, d net.Conn, a, b *Host) {
		c.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := c.Write(make([]byte, 2*window)); n != window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(n, err)
		}
		c.SetWriteDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			io.CopyN(io.Discard, d, window)
		}()
		start := time.Now()
		if n, err := c.Write(make([]byte, window)); n != window || err != nil || time.Since(start) != time.Second {
			t.Error(n, err, time.Since(start))
		}
	})
	run("closing wakes who waits", func(t *testing.T, c, d net.Conn, a, b *Host) {
		go func() {
			time.Sleep(time.Second)
			c.Close()
		}()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// Streams keep their order and lose nothing, whatever the link does. The rate limits what
// a host can send.
func TestStreamsOverABadLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := both(New(7, Link{Delay: 20 * ms, Jitter: 30 * ms, Loss: 0.05, Rate: 1e6}))
		c, d := connect(t, a, b)
		data := make([]byte, 1<<20)
		rng := rand.NewChaCha8([32]byte{})
		rng.Read(data)
		start := time.Now()
		go func() {
			c.Write(data)
			c.Close()
		}()
		got := must(io.ReadAll(d))
		if !bytes.Equal(got, data) {
			t.Error("not what was sent")
		}
		if d := time.Since(start); d < 1048*ms || d > 4*time.Second {
			t.Errorf("a mebibyte at 1 MB/s took %v", d)
		}
	})
}

func TestDatagrams(t *testing.T) {
	arrivals := func(seed uint64) (got []byte, at []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			a, b := both(New(seed, Link{Delay: 50 * ms, Jitter: 40 * ms, Loss: 0.3}))
			p, q := must(a.PacketConn(7000)), must(b.PacketConn(6881))
			start := time.Now()
			for i := range 200 {
				if err := p.WriteTo([]byte{byte(i)}, atB); err != nil {
					t.Fatal(err)
				}
			}
			go func() {
				time.Sleep(time.Second)
				q.Close()
			}()
			batch := []netx.Datagram{{Buf: make([]byte, 9)}, {Buf: make([]byte, 9)}}
			for {
				n, err := q.ReadBatch(batch)
				if err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Error(err)
					}
					return
				}
				for _, m := range batch[:n] {
					if m.N != 1 || m.Addr != p.LocalAddr() {
						t.Error(m)
					}
					got, at = append(got, m.Buf[0]), append(at, time.Since(start))
				}
			}
		})
		return got, at
	}
	got, at := arrivals(1)
	if len(got) < 120 || len(got) > 160 {
		t.Errorf("%d of 200 arrived at 30 %% loss", len(got))
	}
	if at[0] < 50*ms || at[len(at)-1] >= 90*ms || !slices.IsSorted(at) || slices.IsSorted(got) {
		t.Errorf("from %v to %v, in order: %v", at[0], at[len(at)-1], slices.IsSorted(got))
	}
	same, sameAt := arrivals(1)
	if !bytes.Equal(got, same) || !slices.Equal(at, sameAt) {
		t.Error("the same seed gave a different network")
	}
	if other, _ := arrivals(2); bytes.Equal(got, other) {
		t.Error("another seed gave the same network")
	}
}

func TestDatagramsThatGoNowhere(t *testing.T) {
	a, b := both(New(1, Link{}))
	p := must(a.PacketConn(0))
	for _, to := range []netip.AddrPort{atB, netip.MustParseAddrPort("10.9.9.9:1")} {
		if err := p.WriteTo([]byte("x"), to); err != nil {
			t.Error(err) // UDP does not know
		}
	}
	if err := p.WriteTo([]byte("x"), netip.AddrPortFrom(addr6, 1)); err == nil {
		t.Error("sent to another family")
	}
	if err := p.WriteTo(make([]byte, 65508), atB); !errors.Is(err, syscall.EMSGSIZE) {
		t.Error(err)
	}
	must(b.PacketConn(6881))
	if _, err := b.PacketConn(6881); !errors.Is(err, syscall.EADDRINUSE) {
		t.Error(err)
	}
	p.Close()
	if err := p.WriteTo([]byte("x"), atB); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestStackHasBothFamiliesOnOnePort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1, Link{Delay: ms})
		n.SetLink(addrA, addrB, Link{Delay: 9 * ms})
		a, s := must(n.Host(addrA, netip.MustParseAddr("fd00::1")).Open(0)), must(n.Host(addrB, addr6).Open(6881))
		if len(s.UDP()) != 2 || len(s.Addrs()) != 2 || s.Port() != 6881 || a.Port() == 0 {
			t.Fatal(s.UDP(), s.Addrs(), s.Port(), a.Port())
		}
		for i, to := range []netip.Addr{addrB, addr6} {
			start := time.Now()
			c := must(a.Dial(t.Context(), netip.AddrPortFrom(to, 6881)))
			if d := time.Since(start); d != []time.Duration{18 * ms, 2 * ms}[i] {
				t.Error(to, d)
			}
			if d := must(s.Accept(t.Context())); netx.RemoteAddr(d) != netx.LocalAddr(c) {
				t.Error(netx.RemoteAddr(d))
			}
			if err := a.UDP()[i].WriteTo([]byte("hi"), netip.AddrPortFrom(to, 6881)); err != nil {
				t.Error(err)
			}
			batch := []netx.Datagram{{Buf: make([]byte, 9)}}
			if n := must(s.UDP()[i].ReadBatch(batch)); n != 1 || batch[0].Addr.Port() != a.Port() {
				t.Error(n, batch)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
