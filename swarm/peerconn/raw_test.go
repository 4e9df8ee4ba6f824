package peerconn

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"seedbed/internal/shaper"
	"seedbed/internal/simnet"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// rawPairs returns connections of every kind: our end and the peer's.
func rawPairs(t *testing.T) map[string]func() (RawConn, net.Conn) {
	r := NewResources()
	t.Cleanup(r.Close)
	loopback := func() (net.Conn, net.Conn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		a, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return a, b
	}
	return map[string]func() (RawConn, net.Conn){
		"socket": func() (RawConn, net.Conn) { a, b := loopback(); return r.rawConn(a), b },
		"pump":   func() (RawConn, net.Conn) { a, b := loopback(); return newPump(a), b },
		"pipe":   func() (RawConn, net.Conn) { a, b := net.Pipe(); return r.rawConn(a), b },
		"simnet": func() (RawConn, net.Conn) {
			n := simnet.New(1, simnet.Link{})
			a, b := n.Host(netip.MustParseAddr("10.0.0.1")), n.Host(netip.MustParseAddr("10.0.0.2"))
			l, err := b.Listen(1)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			x, err := a.Dial(context.Background(), netip.MustParseAddrPort("10.0.0.2:1"))
			if err != nil {
				t.Fatal(err)
			}
			y, err := l.Accept(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return r.rawConn(x), y
		},
	}
}

// await waits until the callback is called.
func await(register func(func())) {
	done := make(chan struct{}, 1)
	register(func() { done <- struct{}{} })
	<-done
}

func readRaw(raw RawConn, b []byte) (n int, err error) {
	for n == 0 && err == nil {
		if n, err = raw.TryRead(b); n == 0 && err == nil {
			await(raw.AwaitReadable)
		}
	}
	return n, err
}

func TestRawConns(t *testing.T) {
	for name, pair := range rawPairs(t) {
		t.Run(name+" carries bytes both ways", func(t *testing.T) {
			raw, peer := pair()
			defer peer.Close()
			want := make([]byte, 3<<20)
			for i := range want {
				want[i] = contentAt(int64(i))
			}
			echoed := make(chan error, 1)
			go func() {
				_, err := io.CopyBuffer(struct{ io.Writer }{peer}, struct{ io.Reader }{peer}, make([]byte, 50<<10))
				echoed <- err
			}()
			written := make(chan error, 1)
			go func() {
				for rest := want; len(rest) > 0; {
					half := len(rest) / 2
					n, err := raw.TryWritev([][]byte{rest[:half], rest[half:]})
					if err != nil {
						written <- err
						return
					}
					if rest = rest[n:]; n == 0 {
						await(raw.AwaitWritable)
					}
				}
				written <- nil
			}()
			got := make([]byte, 0, len(want))
			b := make([]byte, 70000)
			for len(got) < len(want) {
				n, err := readRaw(raw, b)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, b[:n]...)
			}
			if err := <-written; err != nil || !bytes.Equal(got, want) {
				t.Error("the echo differs", err)
			}
			raw.Shutdown()
			raw.Release()
			<-echoed
		})
		t.Run(name+" says when it can be read", func(t *testing.T) {
			raw, peer := pair()
			ready := make(chan struct{}, 1)
			raw.AwaitReadable(func() { ready <- struct{}{} })
			if n, err := raw.TryRead(make([]byte, 1)); n != 0 || err != nil {
				t.Fatal(n, err)
			}
			go peer.Write([]byte("abc"))
			<-ready
			b := make([]byte, 2)
			for _, want := range []string{"ab", "c"} {
				if n, err := readRaw(raw, b); err != nil || string(b[:n]) != want {
					t.Fatal(n, err)
				}
			}
			go peer.Close()
			if n, err := readRaw(raw, b); n != 0 || err != io.EOF {
				t.Error(n, err)
			}
			raw.Shutdown()
			raw.Release()
		})
		t.Run(name+" reports its end to both callbacks", func(t *testing.T) {
			raw, peer := pair()
			defer peer.Close()
			for n := 1; n > 0; {
				var err error
				if n, err = raw.TryWritev([][]byte{make([]byte, 64<<10)}); err != nil {
					t.Fatal(err)
				}
			}
			ready := make(chan struct{}, 2)
			raw.AwaitReadable(func() { ready <- struct{}{} })
			raw.AwaitWritable(func() { ready <- struct{}{} })
			raw.Shutdown()
			<-ready
			<-ready
			if n, err := readRaw(raw, make([]byte, 1)); n != 0 || err == nil {
				t.Error(n, err)
			}
			if _, err := raw.TryWritev([][]byte{{1}}); err == nil {
				t.Error("a write after the end succeeded")
			}
			raw.Release()
		})
	}
}

// Connections are opened and closed concurrently, and descriptors are reused. Each gets
// its own bytes and its own end.
func TestConnectionsComeAndGo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // every peer sends haves with the number that it receives, until the end
		for {
			peer, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer peer.Close()
				num := make([]byte, wire.PrefixLen+5)
				if _, err := io.ReadFull(peer, num); err != nil {
					return
				}
				for i := range 200 {
					if _, err := peer.Write(num); err != nil {
						return
					}
					if i%50 == int(num[len(num)-1])%50 {
						time.Sleep(time.Millisecond)
					}
				}
				_, _ = io.Copy(io.Discard, peer)
			}()
		}
	}()
	r := NewResources()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 30 {
				num := uint32(g<<16 + i)
				nc, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				o := &owner{frame: wire.MaxFrame, pieceLength: testPiece, ended: make(chan struct{})}
				c := New(nc, Config{ID: 1, Owner: o, Resources: r, Up: new(shaper.Shaper).NewFlow(), Down: new(shaper.Shaper).NewFlow()})
				c.Start()
				c.Flush(control(num), nil)
				for want := 20 * (1 + i%10); ; time.Sleep(time.Microsecond) {
					o.mu.Lock()
					n := len(o.arrivals)
					o.mu.Unlock()
					if n >= want {
						break
					}
				}
				if i%2 == 0 {
					c.Flush(nil, blocksOf(30))
				}
				c.Close(engine.FaultLocal)
				<-o.ended
				for _, a := range o.arrivals {
					if m := a.Event.(*engine.EvMessage).Msg; m.Type != wire.Have || m.Index != num {
						t.Errorf("connection %d got %v %d", num, m.Type, m.Index)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if n := r.ReadBuffers(); n != 0 {
		t.Errorf("%d read buffers are held", n)
	}
	r.Close()
}
