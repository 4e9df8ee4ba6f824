package utpconn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"seedbed/internal/netx"
	"seedbed/internal/simnet"
	"seedbed/internal/utp"
)

const ms = time.Millisecond

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// public returns the address of the i-th host of a test.
func public(i int) netip.Addr { return netip.AddrFrom4([4]byte{45, 0, byte(i >> 8), byte(i)}) }

// transport starts a Transport on a host of n.
func transport(t *testing.T, n *simnet.Net, ip netip.Addr, change ...func(*Config)) *Transport {
	t.Helper()
	pc, err := n.Host(ip).PacketConn(6881)
	if err != nil {
		t.Fatal(err)
	}
	sock := netx.NewSocket(pc)
	cfg := Config{Sockets: []*netx.Socket{sock}}
	for _, f := range change {
		f(&cfg)
	}
	tr := New(cfg)
	t.Cleanup(func() {
		_ = tr.Close()
		_ = sock.Close()
	})
	return tr
}

func addr(tr *Transport) netip.AddrPort { return tr.cfg.Sockets[0].LocalAddr() }

// connect returns both ends of a new connection. The dialed end has written one byte, which
// the other has read: a connection is accepted when the dialing side has proved its address.
func connect(t *testing.T, from, to *Transport) (dialed, accepted *Stream) {
	t.Helper()
	c, err := from.Dial(t.Context(), addr(to))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	a, err := to.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(a, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return c.(*Stream), a.(*Stream)
}

// sizes are the sizes of the lists of a Transport.
type sizes struct{ streams, hosts, halfOpen, lingering, timers int }

func sizesOf(tr *Transport) sizes {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.timers.mu.Lock()
	defer tr.timers.mu.Unlock()
	return sizes{len(tr.streams), len(tr.hosts), len(tr.halfOpen), len(tr.lingering), tr.timers.heap.Len()}
}

func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(b)
	return b
}

// Both ends send and receive at the same time, while the network loses and reorders packets.
// What is written before Close arrives, and then the end of the stream.
func TestBothWaysWithLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(7, simnet.Link{Delay: 20 * ms, Jitter: 5 * ms, Loss: 0.02})
		a, b := transport(t, n, public(1)), transport(t, n, public(2))
		x, y := connect(t, a, b)
		want := map[*Stream][]byte{x: random(1, 300<<10), y: random(2, 200<<10)}
		done := make(chan error, 4)
		for from, to := range map[*Stream]*Stream{x: y, y: x} {
			go func() {
				_, err := from.Write(want[from])
				done <- err
			}()
			go func() {
				got := make([]byte, len(want[from]))
				if _, err := io.ReadFull(to, got); err != nil {
					done <- err
				} else if !bytes.Equal(got, want[from]) {
					done <- errors.New("other bytes than were sent")
				} else {
					done <- nil
				}
			}()
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		last := random(3, 10<<10)
		if _, err := x.Write(last); err != nil {
			t.Fatal(err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Write(last); !errors.Is(err, net.ErrClosed) {
			t.Errorf("writing after Close: %v", err)
		}
		if _, err := x.Read(last); !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading after Close: %v", err)
		}
		if got, err := io.ReadAll(y); err != nil || !bytes.Equal(got, last) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		y.Close()
		time.Sleep(2 * maxLinger)
		for _, tr := range []*Transport{a, b} {
			if got := sizesOf(tr); got != (sizes{}) {
				t.Errorf("left over: %+v", got)
			}
		}
	})
}

// The methods of peerconn.RawConn never wait, and the callbacks come when there is a result.
func TestWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		x, y := connect(t, transport(t, n, public(1)), transport(t, n, public(2)))
		if k, err := y.TryRead(make([]byte, 10)); k != 0 || err != nil {
			t.Errorf("read %d, %v", k, err)
		}
		ready := make(chan struct{}, 1)
		notify := func() { ready <- struct{}{} }
		y.AwaitReadable(notify)
		synctest.Wait()
		if len(ready) != 0 {
			t.Error("nothing has arrived and the callback came")
		}
		if k, err := x.TryWritev([][]byte{[]byte("ab"), nil, []byte("c")}); k != 3 || err != nil {
			t.Errorf("wrote %d, %v", k, err)
		}
		<-ready
		b := make([]byte, 10)
		if k, err := y.TryRead(b); string(b[:k]) != "abc" || err != nil {
			t.Errorf("read %q, %v", b[:k], err)
		}

		// A peer that reads nothing stops the writer, and the callback comes when it reads again.
		big := make([]byte, 64<<10)
		total := 0
		for idle := 0; idle < 100; {
			k, err := x.TryWritev([][]byte{big})
			if err != nil {
				t.Fatal(err)
			}
			if total += k; k == 0 {
				idle++
			}
			time.Sleep(50 * ms)
		}
		if total > 3*maxBufferSize {
			t.Errorf("%d bytes were accepted", total)
		}
		x.AwaitWritable(notify)
		time.Sleep(time.Second)
		if len(ready) != 0 {
			t.Error("nothing can be written and the callback came")
		}
		for read := 0; read < total; {
			k, err := y.TryRead(big)
			if err != nil {
				t.Fatal(err)
			}
			if read += k; k == 0 {
				time.Sleep(10 * ms)
			}
		}
		<-ready

		// Shutdown calls the callbacks, and the other end reads the end.
		x.AwaitReadable(notify)
		y.AwaitReadable(notify)
		x.Shutdown()
		<-ready
		if _, err := x.TryRead(b); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := x.TryWritev([][]byte{b}); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		<-ready
		if _, err := y.TryRead(b); err != io.EOF {
			t.Error(err)
		}
		x.Release()
		y.Shutdown()
		y.Release()
	})
}

// Read and Write fail at their deadlines, also at those set while they wait.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		x, y := connect(t, transport(t, n, public(1)), transport(t, n, public(2)))
		begun := time.Now()
		x.SetDeadline(begun.Add(time.Second))
		if _, err := x.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		time.AfterFunc(time.Second, func() { x.SetWriteDeadline(time.Now().Add(time.Second)) })
		x.SetDeadline(time.Time{})
		begun = time.Now()
		if _, err := x.Write(make([]byte, 8*maxBufferSize)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		x.SetWriteDeadline(time.Time{})
		go io.Copy(io.Discard, y)
		if k, err := x.Write([]byte("more")); k != 4 || err != nil {
			t.Error(k, err)
		}
	})
}

// A dial ends with its context, is refused at once, or times out after a few seconds. Nothing
// is left behind.
func TestDialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a := transport(t, n, public(1))
		refusing := transport(t, n, public(2), func(c *Config) { c.RefuseIncoming = true })
		n.Host(public(3))
		nobody := netip.AddrPortFrom(public(3), 6881)
		short, cancel := context.WithTimeout(t.Context(), 50*ms)
		defer cancel()
		for _, c := range []struct {
			ctx  context.Context
			to   netip.AddrPort
			want netx.Reason
			took time.Duration
		}{
			{short, nobody, netx.TimedOut, 50 * ms},
			{t.Context(), addr(refusing), netx.Refused, 40 * ms},
			{t.Context(), nobody, netx.TimedOut, 9 * time.Second},
			{t.Context(), addr(a), netx.Self, 0},
			{t.Context(), netip.MustParseAddrPort("[2001:db8::1]:6881"), netx.Unreachable, 0},
		} {
			begun := time.Now()
			_, err := a.Dial(c.ctx, c.to)
			if netx.ReasonOf(err) != c.want || time.Since(begun) < c.took || time.Since(begun) > c.took+ms {
				t.Errorf("%v: %v after %v", c.to, err, time.Since(begun))
			}
		}
		if got := sizesOf(a); got != (sizes{}) {
			t.Errorf("left over: %+v", got)
		}
	})
}

// A dial sends up to three SYNs with different ids, and uses the connection that opens.
func TestDialTriesOtherIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a := transport(t, n, public(1))
		r := newRaw(t, n, netip.AddrPortFrom(public(2), 6881), a)
		defer r.conn.Close()
		begun := time.Now()
		dialed := make(chan net.Conn, 1)
		go func() {
			c, err := a.Dial(t.Context(), r.conn.LocalAddr())
			if err != nil {
				t.Error(err)
			}
			dialed <- c
		}()
		ids := make(map[uint16]bool)
		var last utp.Header
		for _, at := range []time.Duration{0, time.Second, 3 * time.Second} {
			last = r.next()
			ids[last.ConnID] = true
			if took := time.Since(begun); last.Type != utp.Syn || took != at+20*ms {
				t.Errorf("%+v after %v", last, took)
			}
		}
		r.send(utp.Header{Type: utp.State, ConnID: last.ConnID, Seq: 5, Ack: last.Seq, Window: 9999})
		c := <-dialed
		if c == nil || len(ids) != 3 || sizesOf(a).streams != 1 {
			t.Fatalf("%v, %d ids, left over: %+v", c, len(ids), sizesOf(a))
		}
		c.Close()
		if h := r.next(); h.ConnID != last.ConnID+1 {
			t.Errorf("%+v", h)
		}
	})
}

// All connections together have a bounded amount of memory: with many of them each has less,
// and more again when the others have ended.
func TestBuffersAreShared(t *testing.T) {
	for n := 1; n <= maxStreams; n++ {
		size := bufferSize(n)
		if size < minBufferSize || size > maxBufferSize || size > minBufferSize && n*size > maxBuffers || 2*size <= maxBufferSize && 2*n*size <= maxBuffers {
			t.Fatalf("%d bytes for each of %d connections", size, n)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a, b := transport(t, n, public(1)), transport(t, n, public(2))
		x, _ := connect(t, a, b)
		written := func() (total int) {
			t.Helper()
			for { // until the buffers of both sides are full, as nobody reads
				n, err := x.TryWritev([][]byte{make([]byte, 64<<10)})
				if err != nil {
					t.Fatal(err)
				}
				total += n
				if time.Sleep(10 * time.Second); n == 0 {
					return total
				}
			}
		}
		a.buffers.Store(minBufferSize)
		b.buffers.Store(minBufferSize)
		if got := written(); got < minBufferSize || got > 3*minBufferSize {
			t.Errorf("%d bytes with many connections", got)
		}
		a.buffers.Store(maxBufferSize)
		time.Sleep(time.Minute) // until it asks whether the other side reads
		if got := written(); got <= minBufferSize/2 {
			t.Errorf("%d more bytes with few connections", got)
		}
	})
}

// brokenConn is a PacketConn that can lose its network: then it sends nothing and says so.
type brokenConn struct {
	netx.PacketConn

	mu    sync.Mutex
	err   error // nil: it works
	tries int   // calls of WriteBatch that failed
}

// set takes the network away with an error, or gives it back with nil.
func (c *brokenConn) set(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *brokenConn) WriteBatch(ms []netx.Datagram) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return c.PacketConn.WriteBatch(ms)
	}
	c.tries++
	return 0, c.err
}

// broken starts a Transport whose network can be taken away.
func broken(t *testing.T, n *simnet.Net, ip netip.Addr) (*Transport, *brokenConn) {
	t.Helper()
	pc, err := n.Host(ip).PacketConn(6881)
	if err != nil {
		t.Fatal(err)
	}
	conn := &brokenConn{PacketConn: pc}
	sock := netx.NewSocket(conn)
	tr := New(Config{Sockets: []*netx.Socket{sock}})
	t.Cleanup(func() {
		_ = tr.Close()
		_ = sock.Close()
	})
	return tr, conn
}

// A dial fails at once if its SYN cannot be sent.
func TestDialWithoutRoute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a, conn := broken(t, n, public(1))
		b := transport(t, n, public(2))
		conn.set(syscall.ENETUNREACH)
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Dial(ctx, addr(b)); netx.ReasonOf(err) != netx.Unreachable || time.Since(begun) != 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if got := sizesOf(a); got != (sizes{}) {
			t.Errorf("left over: %+v", got)
		}
		conn.set(nil)
		connect(t, a, b)
	})
}

// While the network is down, a connection tries to send only now and then. It goes on when
// the network is back, and one that is closed meanwhile ends.
func TestNetworkIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a, conn := broken(t, n, public(1))
		b := transport(t, n, public(2))
		x, y := connect(t, a, b)
		closed, _ := connect(t, a, b)
		conn.set(syscall.ENETUNREACH)
		if _, err := x.Write([]byte("late")); err != nil {
			t.Fatal(err)
		}
		closed.Close()
		time.Sleep(2 * maxLinger)
		if got := sizesOf(a); got.streams != 1 || got.lingering != 0 {
			t.Errorf("%+v", got)
		}
		conn.mu.Lock()
		if limit := int(2*2*maxLinger/time.Second) + 50; conn.tries > limit {
			t.Errorf("%d tries in %v, more than %d", conn.tries, 2*maxLinger, limit)
		}
		conn.mu.Unlock()
		conn.set(nil)
		got := make([]byte, 4)
		y.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.ReadFull(y, got); err != nil || string(got) != "late" {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// Close ends every connection: both ends fail, and Accept and Dial do too.
func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a, b := transport(t, n, public(1)), transport(t, n, public(2))
		x, y := connect(t, a, b)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := y.Read(make([]byte, 1)); netx.ReasonOf(err) != netx.Reset {
			t.Error(err)
		}
		if _, err := x.Read(make([]byte, 1)); netx.ReasonOf(err) != netx.Reset {
			t.Error(err)
		}
		if _, err := b.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, err := b.Dial(t.Context(), addr(a)); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := b.Close(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// A peer that disappears does not keep a closed connection for longer than a minute, and there
// are not more than maxLingering of them.
func TestLingeringIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		local := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}) }
		a, b := transport(t, n, local(1)), transport(t, n, local(2))
		var all []*Stream
		for range maxLingering + 10 {
			x, _ := connect(t, a, b)
			all = append(all, x)
		}
		n.Host(local(2)).Unplug()
		for _, x := range all {
			x.Write([]byte("more"))
			x.Close()
		}
		if got := sizesOf(a); got.lingering != maxLingering || got.streams != maxLingering {
			t.Errorf("%+v", got)
		}
		time.Sleep(maxLinger + time.Second)
		if got := sizesOf(a); got != (sizes{}) {
			t.Errorf("left over: %+v", got)
		}
	})
}

// The length of packets that reached a host is remembered for its next connection, for a
// while.
func TestPathMTUIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a, b := transport(t, n, public(1)), transport(t, n, public(2))
		x, y := connect(t, a, b)
		go io.Copy(io.Discard, y)
		if _, err := x.Write(make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		known := func() int {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.pathMTU(a.now(), public(2))
		}
		if got := known(); got != maxDatagram4 {
			t.Errorf("%d", got)
		}
		x.Close()
		time.Sleep(mtuLifetime + time.Second)
		if got := known(); got != 0 {
			t.Errorf("%d after a long time", got)
		}
	})
}

// raw is a host that sends single packets and collects what comes back.
type raw struct {
	t    *testing.T
	conn netx.PacketConn
	to   netip.AddrPort
}

func newRaw(t *testing.T, n *simnet.Net, from netip.AddrPort, to *Transport) *raw {
	t.Helper()
	conn, err := n.Host(from.Addr()).PacketConn(from.Port())
	if err != nil {
		t.Fatal(err)
	}
	return &raw{t, conn, addr(to)}
}

func (r *raw) send(h utp.Header) {
	if err := r.conn.WriteTo(h.Append(nil), r.to); err != nil {
		r.t.Error(err)
	}
}

// next waits for a packet that has the length of a header.
func (r *raw) next() utp.Header {
	r.t.Helper()
	in := []netx.Datagram{{Buf: make([]byte, 2048)}}
	if _, err := r.conn.ReadBatch(in); err != nil {
		r.t.Fatal(err)
	}
	h, _, err := utp.Parse(in[0].Buf[:in[0].N])
	if err != nil || in[0].N != utp.HeaderLen {
		r.t.Errorf("%x: %v", in[0].Buf[:in[0].N], err)
	}
	return h
}

// answers waits for a while, closes the socket and returns the packets, all of which have
// the length of a header.
func (r *raw) answers(wait time.Duration) (got []utp.Header) {
	r.t.Helper()
	time.AfterFunc(wait, func() { r.conn.Close() })
	in := []netx.Datagram{{Buf: make([]byte, 2048)}}
	for {
		n, err := r.conn.ReadBatch(in)
		if err != nil {
			return got
		}
		for _, m := range in[:n] {
			h, _, err := utp.Parse(m.Buf[:m.N])
			if err != nil || m.N != utp.HeaderLen {
				r.t.Errorf("%x: %v", m.Buf[:m.N], err)
			}
			got = append(got, h)
		}
	}
}

// An unproved source gets one small packet for a SYN, and nothing later: the SYN may be forged.
func TestASYNIsAnsweredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a := transport(t, n, public(1))
		r := newRaw(t, n, netip.AddrPortFrom(public(2), 6881), a)
		r.send(utp.Header{Type: utp.Syn, ConnID: 0xffff, Seq: 1})
		got := r.answers(time.Minute)
		if len(got) != 1 || got[0].Type != utp.State || got[0].ConnID != 0xffff || got[0].Ack != 1 {
			t.Errorf("%+v", got)
		}
		if got := sizesOf(a); got != (sizes{}) || len(a.accepted) != 0 {
			t.Errorf("left over: %+v, %d accepted", got, len(a.accepted))
		}
	})
}

// A packet of an unknown connection is answered with a reset, except a reset.
func TestUnknownConnectionsAreReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a := transport(t, n, public(1))
		for i, typ := range []utp.Type{utp.Data, utp.Fin, utp.State, utp.Reset} {
			r := newRaw(t, n, netip.AddrPortFrom(public(2+i), 6881), a)
			r.send(utp.Header{Type: typ, ConnID: 77, Seq: 5})
			got := r.answers(time.Second)
			if typ == utp.Reset {
				if len(got) != 0 {
					t.Errorf("a reset was answered: %+v", got)
				}
			} else if len(got) != 1 || got[0].Type != utp.Reset || got[0].ConnID != 77 || got[0].Ack != 5 {
				t.Errorf("type %d: %+v", typ, got)
			}
		}
	})
}

// Forged packets make us send little to the forged source: a few packets a second to one
// address from all of its ports, and none to a port below 1024 or a blocked address. Other
// sources are answered meanwhile.
func TestAnswersAreLimited(t *testing.T) {
	for _, typ := range []utp.Type{utp.Syn, utp.Data} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1, simnet.Link{Delay: 20 * ms})
			a := transport(t, n, public(1), func(c *Config) {
				c.Blocked = func(ip netip.Addr) bool { return ip == public(4) }
			})
			var ports []*raw
			for _, port := range []uint16{53, 1023, 1024, 6881, 50000} {
				ports = append(ports, newRaw(t, n, netip.AddrPortFrom(public(2), port), a))
			}
			for i := range 100 {
				for _, r := range ports {
					r.send(utp.Header{Type: typ, ConnID: uint16(3 * i), Seq: 1})
				}
				time.Sleep(10 * ms)
			}
			for ip, want := range map[netip.Addr]int{public(3): 1, public(4): 0} {
				r := newRaw(t, n, netip.AddrPortFrom(ip, 6881), a)
				r.send(utp.Header{Type: typ, ConnID: 1, Seq: 1})
				if got := r.answers(time.Second); len(got) != want {
					t.Errorf("%d answers to %v", len(got), ip)
				}
			}
			total := 0
			for i, r := range ports {
				got := len(r.answers(ms))
				if total += got; i < 2 && got != 0 {
					t.Errorf("%d answers to port %d", got, r.conn.LocalAddr().Port())
				}
			}
			if total == 0 || total > replyBurst+replyRate*4 {
				t.Errorf("%d answers to one address", total)
			}
		})
	}
}

// Half-open connections are bounded, per host and in all. In a flood of forged SYNs an honest
// peer still connects.
func TestHalfOpenIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a, b := transport(t, n, public(1)), transport(t, n, public(2))
		flood := func(hosts, each int) {
			for i := range hosts {
				r := newRaw(t, n, netip.AddrPortFrom(public(100+i), 6881), a)
				for k := range each {
					r.send(utp.Header{Type: utp.Syn, ConnID: uint16(2 * k), Seq: 1})
				}
				r.conn.Close()
			}
		}
		flood(1, 50)
		time.Sleep(30 * ms)
		if got := sizesOf(a); got.halfOpen != maxHalfOpenPerHost {
			t.Errorf("one host: %+v", got)
		}
		flood(maxHalfOpen+100, 1)
		x, y := connect(t, b, a)
		if got := sizesOf(a); got.halfOpen != maxHalfOpen-1 { // the honest one is established
			t.Errorf("%+v", got)
		}
		x.Close()
		y.Close()
		time.Sleep(time.Minute)
		if got := sizesOf(a); got != (sizes{}) {
			t.Errorf("left over: %+v", got)
		}
	})
}

// One public host gets at most maxPerHost connections.
func TestConnectionsPerHostAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a, b := transport(t, n, public(1)), transport(t, n, public(2))
		for range maxPerHost {
			connect(t, b, a)
			time.Sleep(time.Second) // within the rate of answers
		}
		if _, err := b.Dial(t.Context(), addr(a)); netx.ReasonOf(err) != netx.Refused {
			t.Errorf("one more: %v", err)
		}
	})
}

// A half-open connection that is to give way to a newer one may be established by a packet
// of the same batch. It is accepted then, and works.
func TestEstablishedWhenItShouldGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a := transport(t, n, public(1))
		honest := newRaw(t, n, netip.AddrPortFrom(public(2), 6881), a)
		packet := func(h utp.Header, payload string, from netip.AddrPort) netx.Datagram {
			b := append(h.Append(nil), payload...)
			return netx.Datagram{Buf: b, N: len(b), Addr: from}
		}
		syn := func(i int) netx.Datagram {
			return packet(utp.Header{Type: utp.Syn, ConnID: 7, Seq: 1}, "", netip.AddrPortFrom(public(i), 6881))
		}
		r := &receiver{t: a, sock: a.cfg.Sockets[0]}
		r.handle([]netx.Datagram{syn(2)})
		answer := honest.answers(time.Second)
		if len(answer) != 1 {
			t.Fatalf("%d answers", len(answer))
		}
		for i := range maxHalfOpen - 1 {
			r.handle([]netx.Datagram{syn(100 + i)})
		}
		data := func(seq uint16) netx.Datagram {
			h := utp.Header{Type: utp.Data, ConnID: 8, Seq: seq, Ack: answer[0].Seq - 1, Window: 1 << 20}
			return packet(h, "x", netip.AddrPortFrom(public(2), 6881))
		}
		r.handle([]netx.Datagram{syn(99), data(2)})
		r.handle([]netx.Datagram{data(3)})
		c, err := a.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Second))
		if _, err := io.ReadFull(c, make([]byte, 2)); err != nil {
			t.Error(err)
		}
		c.Close()
	})
}
