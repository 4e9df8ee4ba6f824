package swarm

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// startReal runs a torrent on a loopback socket. It calls complete when it is complete.
func startReal(t *testing.T, num byte, info *metainfo.Info, st *memStorage, complete func()) (*Torrent, netip.AddrPort) {
	t.Helper()
	sh := NewShared(SharedConfig{Memory: 4 << 20, ChunkSize: 256 << 10})
	tt := New(Config{
		Shared: sh, InfoHash: info.Hash, PeerID: id.ID{num}, Info: info, Dialer: &netDialer{},
		Budget: 16, HalfOpen: 4, MaxConns: 50, Seed: uint64(num),
		Open: func(context.Context, *metainfo.Info, func(int64, int64)) (Content, error) {
			return Content{Storage: st, Have: st.verified.Clone()}, nil
		},
		OnEvent: func(ev Event) {
			if ev.Kind == Complete && complete != nil {
				complete()
			}
		},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			if h, err := ReadHello(nc, NoEncryption, nil); err == nil {
				tt.Incoming(h)
			}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		if err := tt.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if out, _ := sh.pool.Held(); out != 0 {
			t.Errorf("%d buffers were not released", out)
		}
		sh.Close()
		if out := sh.conns.ReadBuffers(); out != 0 {
			t.Errorf("%d read buffers were not released", out)
		}
	})
	return tt, l.Addr().(*net.TCPAddr).AddrPort()
}

// Like the test over the simulated network, but on the code paths that only real sockets
// use.
func TestThreeTorrentsOverRealSockets(t *testing.T) {
	info, full := makeContent(t, 24<<20+777, 1<<20)
	_, seed := startReal(t, 1, info, full, nil)
	done := make(chan struct{}, 2)
	var stores [2]*memStorage
	var before []engine.Candidate
	before = append(before, engine.Candidate{Addr: seed, Source: engine.FromHint})
	for i := range stores {
		stores[i] = newMem(info)
		tt, addr := startReal(t, byte(2+i), info, stores[i], func() { done <- struct{}{} })
		tt.AddCandidates(before)
		before = append(before, engine.Candidate{Addr: addr, Source: engine.FromHint})
	}
	for range stores {
		select {
		case <-done:
		case <-time.After(3 * time.Minute):
			t.Fatal("not complete")
		}
	}
	for _, s := range stores {
		if !bytes.Equal(s.data, full.data) {
			t.Error("the download differs from the original")
		}
	}
}

// A peer that reads in small amounts gets every block complete and in order, however the
// socket fragments the writes.
func TestSlowReaderGetsEveryByte(t *testing.T) {
	info, full := makeContent(t, 8<<20, 256<<10)
	tt, addr := startReal(t, 1, info, full, nil)
	nc, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.(*net.TCPConn).SetReadBuffer(256 << 10)
	out := wire.AppendHandshake(nil, wire.Reserved{}, info.Hash, id.ID{7})
	out = wire.Append(out, wire.Msg{Type: wire.Interested})
	nc.Write(out)
	if _, err := io.ReadFull(nc, make([]byte, wire.HandshakeLen)); err != nil {
		t.Fatal(err)
	}
	var asked []wire.Msg
	for off := int64(0); off < info.Length; off += metainfo.BlockSize {
		asked = append(asked, wire.Msg{Type: wire.Request, Index: uint32(off / info.PieceLength), Begin: uint32(off % info.PieceLength), Length: metainfo.BlockSize})
	}
	slices.Reverse(asked[100:300])
	_ = nc.SetReadDeadline(time.Now().Add(time.Minute))
	for got := 0; got < len(asked); {
		var p [wire.PrefixLen]byte
		if _, err := io.ReadFull(nc, p[:]); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, binary.BigEndian.Uint32(p[:]))
		for n := 0; n < len(b); {
			k, err := nc.Read(b[n:min(n+5000, len(b))])
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
		m, err := wire.Parse(b)
		switch {
		case err != nil:
			t.Fatal(err)
		case m.Type == wire.Unchoke:
			out = out[:0]
			for _, q := range asked {
				out = wire.Append(out, q)
			}
			nc.Write(out)
		case m.Type == wire.Piece:
			q := asked[got]
			off := int64(q.Index)*info.PieceLength + int64(q.Begin)
			if m.Index != q.Index || m.Begin != q.Begin || !bytes.Equal(m.Payload, full.data[off:off+int64(q.Length)]) {
				t.Fatalf("block %d is not the requested one", got)
			}
			if got++; got%64 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	}
	for tt.Snapshot().Uploaded != info.Length {
		time.Sleep(time.Millisecond)
	}
}

// An idle connection over a real socket holds no buffer and, where there is a poller, no
// goroutine.
func TestIdleConnectionsHoldNoBuffers(t *testing.T) {
	info, full := makeContent(t, 1<<20, 256<<10)
	sh := NewShared(SharedConfig{Workers: 1})
	defer sh.Close()
	tt := New(Config{
		Shared: sh, InfoHash: info.Hash, PeerID: id.ID{1}, Info: info, Dialer: &netDialer{},
		Budget: 4, HalfOpen: 4, MaxConns: 50,
		Open: func(context.Context, *metainfo.Info, func(int64, int64)) (Content, error) {
			return Content{Storage: full, Have: full.verified}, nil
		},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const n = 20
	goroutines := runtime.NumGoroutine()
	most := n / 2 // less than one each: the poller's and the torrent's own
	if runtime.GOOS != "linux" {
		most = 2 * n
	}
	for i := range n {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Write(wire.AppendHandshake(nil, wire.Reserved{}, info.Hash, id.ID{2, byte(i)}))
		h, err := ReadHello(in, NoEncryption, nil)
		if err != nil {
			t.Fatal(err)
		}
		tt.Incoming(h)
		c.Write(wire.Append(nil, wire.Msg{Type: wire.Interested}))
		// The answer shows that the handshake is over: one address may have at most
		// maxHandshakesPerHost in progress.
		if _, err := io.ReadFull(c, make([]byte, wire.HandshakeLen)); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Millisecond) {
		s, out := tt.Snapshot(), sh.conns.ReadBuffers()
		more := runtime.NumGoroutine() - goroutines
		if s.Connected == n && out == 0 && more <= most {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections hold %d buffers and %d goroutines", s.Connected, out, more)
		}
	}
	if err := tt.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// Thirty mute and trickling peers connect before the only good seed.
func TestMutePeersOverRealSockets(t *testing.T) {
	info, full := makeContent(t, 16<<20, 256<<10)
	_, seed := startReal(t, 1, info, full, nil)
	done := make(chan struct{})
	st := newMem(info)
	leech, addr := startReal(t, 2, info, st, func() { close(done) })
	var useless sync.WaitGroup
	defer useless.Wait()
	for k := range 30 {
		nc, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		useless.Go(func() { []attack{mute, trickle, flap}[k%3](nc, info.Hash, k) })
		// One address may have at most maxHandshakesPerHost handshakes in progress.
		for deadline := time.Now().Add(2 * time.Minute); leech.Snapshot().Connected < k-maxHandshakesPerHost/2; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("after %d dials %+v", k+1, leech.Snapshot())
			}
		}
	}
	for deadline := time.Now().Add(2 * time.Minute); leech.Snapshot().Connected < 30; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("of 30 useless peers, connected: %+v", leech.Snapshot())
		}
	}
	leech.AddCandidates([]engine.Candidate{{Addr: seed, Source: engine.FromHint}})
	select {
	case <-done:
	case <-time.After(3 * time.Minute):
		t.Fatalf("not complete: %+v", leech.Snapshot())
	}
	if !bytes.Equal(st.data, full.data) {
		t.Error("the download differs from the original")
	}
}
