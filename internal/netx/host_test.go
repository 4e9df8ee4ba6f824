package netx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestDialComesFromTheListeningPort(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]", ""} {
		if host == "[::1]" && !hasIPv6() {
			continue
		}
		t.Run(host, func(t *testing.T) {
			a, b := open(t, Config{Listen: []string{host + ":0"}}), open(t, Config{Listen: []string{host + ":0"}})
			to := b.Addrs()[0]
			if to.Addr().IsUnspecified() {
				to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), b.Port())
			}
			// The second time these two ports are already connected, so another port is
			// used.
			for _, same := range []bool{true, false} {
				c, err := a.Dial(t.Context(), to)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				d, err := b.Accept(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				if LocalAddr(c) != RemoteAddr(d) || RemoteAddr(c) != to || (LocalAddr(c).Port() == a.Port()) != same {
					t.Errorf("%v to %v from port %d", LocalAddr(c), RemoteAddr(c), a.Port())
				}
				if _, err := c.Write([]byte("hello")); err != nil {
					t.Error(err)
				}
				buf := make([]byte, 5)
				if _, err := io.ReadFull(d, buf); err != nil || string(buf) != "hello" {
					t.Errorf("%q, %v", buf, err)
				}
			}
		})
	}
}

func TestDialErrors(t *testing.T) {
	h := open(t, Config{Listen: []string{"127.0.0.1:0"}})
	wild := open(t, Config{Listen: []string{":0"}})
	free := freePort(t)
	lo := netip.MustParseAddr("127.0.0.1")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, tt := range []struct {
		name string
		host *Host
		ctx  context.Context
		to   netip.AddrPort
		why  Reason
	}{
		{"nobody listens", h, t.Context(), netip.AddrPortFrom(lo, free), Refused},
		{"nobody listens, mapped", h, t.Context(), netip.AddrPortFrom(netip.AddrFrom16(lo.As16()), free), Refused},
		{"itself", h, t.Context(), h.Addrs()[0], Self},
		{"itself by one of its addresses", wild, t.Context(), netip.AddrPortFrom(lo, wild.Port()), Self},
		{"another family", h, t.Context(), netip.MustParseAddrPort("[2001:db8::1]:1"), Unreachable},
		{"off the machine from loopback", h, t.Context(), netip.MustParseAddrPort("192.0.2.1:1"), Unreachable},
		{"no time left", h, late, netip.AddrPortFrom(lo, free), TimedOut},
		{"ended", h, ended, netip.AddrPortFrom(lo, free), Stopped},
	} {
		c, err := tt.host.Dial(tt.ctx, tt.to)
		if err == nil {
			c.Close()
		}
		if got := ReasonOf(err); err == nil || got != tt.why {
			t.Errorf("%s: %d, want %d: %v", tt.name, got, tt.why, err)
		}
	}
}

func TestReasonOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want Reason
	}{
		{io.EOF, Reset},
		{fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), Reset},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, Reset},
		{&net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, Reset},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ETIMEDOUT)}, TimedOut},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, Unreachable},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}, Exhausted},
		{os.ErrDeadlineExceeded, TimedOut},
		{net.ErrClosed, Stopped},
		{errors.New("something"), Other},
		{nil, Other},
	} {
		if got := ReasonOf(tt.err); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestAcceptEnds(t *testing.T) {
	h := open(t, Config{Listen: []string{"127.0.0.1:0"}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Accept(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// The Host closes a connection that was never accepted.
	c, err := net.Dial("tcp", h.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if _, err := h.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); ReasonOf(err) != Reset {
		t.Error(err)
	}
	h.Close()
}

// flaky is a listener whose Accept fails at given times with given errors.
type flaky struct {
	net.Listener
	errs  []error
	calls []time.Duration
	start time.Time
	done  chan struct{}
}

func (f *flaky) Addr() net.Addr { return &net.TCPAddr{} }

func (f *flaky) Accept() (net.Conn, error) {
	f.calls = append(f.calls, time.Since(f.start))
	if len(f.errs) == 0 {
		<-f.done
		return nil, net.ErrClosed
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	if err == nil {
		c, _ := net.Pipe()
		return c, nil
	}
	return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
}

func TestAcceptContinuesAfterAShortage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{start: time.Now(), done: make(chan struct{})}
		f.errs = append(f.errs, nil, syscall.ECONNABORTED, nil, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, nil)
		for range 10 {
			f.errs = append(f.errs, syscall.EMFILE)
		}
		f.errs = append(f.errs, nil)
		var said strings.Builder
		out, done := make(chan net.Conn), make(chan struct{})
		go acceptLoop(f, out, done, slog.New(slog.NewTextHandler(&said, nil)))
		for range 4 {
			(<-out).Close()
		}
		synctest.Wait()
		close(f.done)
		var want []time.Duration
		at := time.Duration(0)
		for _, pause := range []int{0, 0, 0, 0, 5, 10, 20, 0, 5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000, 0} {
			at += time.Duration(pause) * time.Millisecond
			want = append(want, at)
		}
		if fmt.Sprint(f.calls) != fmt.Sprint(want) {
			t.Errorf("accepted at %v, want %v", f.calls, want)
		}
		if n := strings.Count(said.String(), "cannot accept connections"); n != 2 {
			t.Errorf("said %d times: %s", n, said.String())
		}
	})
}

func TestClosingEndsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{start: time.Now(), done: make(chan struct{}), errs: []error{syscall.EMFILE}}
		done := make(chan struct{})
		close(done)
		close(f.done)
		acceptLoop(f, nil, done, slog.New(slog.DiscardHandler))
		if d := time.Since(f.start); d != 0 {
			t.Errorf("after %v", d)
		}
	})
}
