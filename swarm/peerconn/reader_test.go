package peerconn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/buf"
	"seedbed/internal/shaper"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// choppyConn is a RawConn that delivers a stream in parts of random length.
type choppyConn struct {
	net.Conn
	rng   *rand.Rand
	rest  []byte
	again bool
}

func (c *choppyConn) TryRead(b []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	if c.again = !c.again && c.rng.IntN(3) == 0; c.again {
		return 0, nil
	}
	n := min(1+c.rng.IntN(1<<c.rng.IntN(18)), len(b), len(c.rest))
	if n == 0 {
		panic("a read with an empty buffer")
	}
	copy(b, c.rest[:n])
	c.rest = c.rest[n:]
	return n, nil
}

func (c *choppyConn) TryWritev([][]byte) (int, error) { return 0, nil }
func (c *choppyConn) AwaitReadable(ready func())      { ready() }
func (c *choppyConn) AwaitWritable(func())            {}
func (c *choppyConn) Shutdown()                       {}
func (c *choppyConn) Release()                        {}

// readAll runs a reader over a stream, with outstanding requests for blocks, and returns
// what it delivers.
func readAll(stream []byte, seed uint64, maxFrame int, leases []engine.Block) (events []Arrival, mem []byte, r *Resources, err error) {
	pool := buf.NewPool(1 << 20)
	defer pool.Close()
	o := &owner{frame: maxFrame, ended: make(chan struct{})}
	r = NewResources()
	defer r.Close()
	c := New(&choppyConn{rng: rand.New(rand.NewPCG(seed, 2)), rest: stream}, Config{ID: 1, Owner: o, Resources: r, Up: new(shaper.Shaper).NewFlow(), Down: new(shaper.Shaper).NewFlow()})
	buffer := pool.Get(256 << 10)
	defer buffer.Release()
	for i, b := range leases {
		c.Expect(Request{Block: b, Slot: 3, Buffer: buffer, Lease: buffer.Lease(uint32(i)*metainfo.BlockSize, b.Length)})
	}
	c.Start()
	<-o.ended
	for _, a := range o.arrivals {
		if a.Buffer != nil {
			a.Buffer.Release()
		}
	}
	return o.arrivals, buffer.Bytes(), r, o.err
}

// The reader's result does not depend on how a stream is cut, and equals that of parsing
// frame by frame.
func TestReaderAgreesWithFrameByFrame(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for seed := range uint64(200) {
		var stream, want []byte
		var leases []engine.Block
		var payload [][]byte
		line := func(format string, a ...any) { want = fmt.Appendf(want, format+"\n", a...) }
		for range rng.IntN(40) {
			var m wire.Msg
			switch rng.IntN(6) {
			case 0:
				m = wire.Msg{Type: wire.KeepAlive}
			case 1:
				m = wire.Msg{Type: wire.Request, Index: rng.Uint32(), Begin: 5, Length: 7}
			case 2:
				m = wire.Msg{Type: wire.Extended, Ext: 1, Payload: make([]byte, rng.IntN(200<<10))}
			case 3, 4:
				m = wire.Msg{Type: wire.Piece, Index: rng.Uint32(), Begin: 0, Payload: make([]byte, 1+rng.IntN(metainfo.BlockSize))}
				for i := range m.Payload {
					m.Payload[i] = byte(rng.Uint32())
				}
				b := engine.Block{Piece: m.Index, Length: uint32(len(m.Payload))}
				if len(leases) < 16 && rng.IntN(4) > 0 {
					leases, payload = append(leases, b), append(payload, m.Payload)
					line("block %v", b)
				} else {
					line("unwanted %v", b)
				}
			case 5:
				m = wire.Msg{Type: wire.Piece, Index: 1 << 31, Begin: 3, Payload: make([]byte, wire.MaxBlock)}
				line("unwanted %v", engine.Block{Piece: m.Index, Begin: 3, Length: wire.MaxBlock})
			}
			if m.Type != wire.Piece {
				line("%d %d %d", m.Type, m.Index, len(m.Payload))
			}
			stream = wire.Append(stream, m)
		}
		events, mem, r, err := readAll(stream, seed, wire.MaxFrame, leases)
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		var got []byte
		for _, it := range events {
			switch b := it.Block.Block; it.Block.Kind {
			case engine.BlockArrived:
				got = fmt.Appendf(got, "block %v\n", b)
			case engine.BlockUnwanted:
				got = fmt.Appendf(got, "unwanted %v\n", b)
			case engine.BlockRequested:
				got = fmt.Appendf(got, "%d %d %d\n", wire.Request, b.Piece, 0)
			default:
				m := it.Event.(*engine.EvMessage).Msg
				got = fmt.Appendf(got, "%d %d %d\n", m.Type, m.Index, len(m.Payload))
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d:\n%s\nand not\n%s", seed, got, want)
		}
		for i, p := range payload {
			if !bytes.Equal(mem[i*metainfo.BlockSize:][:len(p)], p) {
				t.Fatalf("seed %d: block %d is not in its buffer", seed, i)
			}
		}
		if n, long := r.readBuffers.out.Load(), r.readBuffers.long.Load(); n != 0 || long != 0 {
			t.Fatalf("%d read buffers and %d bytes of long ones were not released", n, long)
		}
	}
}

func TestReaderRejectsInvalidFrames(t *testing.T) {
	for name, stream := range map[string][]byte{
		"a frame longer than the maximum":     {0x7f, 0xff, 0xff, 0xff},
		"a frame longer than currently valid": {0, 2, 0, 1},
		"a truncated piece message":           {0, 0, 0, 3, 7, 1, 2},
		"a block of no bytes":                 wire.AppendPieceHeader(nil, 1, 2, 0),
		"a block longer than the maximum":     wire.AppendPieceHeader(nil, 1, 2, wire.MaxBlock+1),
		"a have of three bytes":               {0, 0, 0, 4, 4, 1, 2, 3},
	} {
		_, _, _, err := readAll(stream, 1, 128<<10, nil)
		var we *wire.Error
		if !errors.As(err, &we) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Memory for a long frame grows with the received bytes, not with the announced length.
func TestAnnouncedLengthAllocatesNothing(t *testing.T) {
	r := NewResources()
	rd := &reader{c: &Conn{Config: Config{Resources: r, Owner: &owner{frame: wire.MaxFrame}, Down: new(shaper.Shaper).NewFlow()}}}
	copy(rd.freeSpace(), []byte{0, 0x0f, 0xff, 0xff, 5})
	rd.w = 5
	need, err := rd.parse()
	if err != nil || need != 0x0fffff+4 {
		t.Fatal(need, err)
	}
	if err := rd.makeSpace(need); err != nil || len(rd.b) != readBuffer {
		t.Fatalf("a buffer of %d bytes for 5", len(rd.b))
	}
	for rd.w = len(rd.b); rd.w < need; rd.w = len(rd.b) {
		was := len(rd.b)
		if err := rd.makeSpace(need); err != nil || len(rd.b) > 2*was || len(rd.b) <= was {
			t.Fatalf("from %d to %d bytes, %v", was, len(rd.b), err)
		}
	}
	// The total memory for such frames is limited.
	n, room := 0, int(maxLong-r.readBuffers.long.Load())>>20
	for r.readBuffers.reserve(1 << 20) {
		n++
	}
	if n != room {
		t.Errorf("space for %d more", n)
	}
	rd.w = len(rd.b)
	if rd.makeSpace(2*len(rd.b)) == nil {
		t.Error("the buffer grew beyond the limit")
	}
	rd.drop()
	if out, long := r.readBuffers.out.Load(), r.readBuffers.long.Load(); out != 0 || long != int64(n)<<20 {
		t.Errorf("%d buffers and %d bytes were not released", out, long-int64(n)<<20)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(wire.Append(wire.Append(nil, wire.Msg{Type: wire.Have, Index: 3}), wire.Msg{Type: wire.Piece, Payload: []byte("x")}), uint64(1))
	f.Add([]byte{0, 0, 0, 9, 7, 0, 0, 0, 0, 0, 0, 0, 0}, uint64(2))
	f.Add([]byte{0, 0, 0, 0, 7, 0, 0, 0, 1}, uint64(3)) // a keep-alive before what looks like a piece
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		leases := []engine.Block{{Length: 1}, {Piece: 1, Length: 16 << 10}}
		a, _, _, errA := readAll(slices.Clone(stream), seed, 128<<10, leases)
		b, _, _, errB := readAll(slices.Clone(stream), seed+1, 128<<10, leases)
		if len(a) != len(b) || fmt.Sprint(errA) != fmt.Sprint(errB) {
			t.Fatalf("%d arrivals (%v) or %d (%v), depending on the cuts", len(a), errA, len(b), errB)
		}
	})
}

// A connection that waits because of the download limit holds neither a goroutine nor a
// buffer, respects the limit, and ends when it is closed.
func TestWaitingForTheDownloadLimitHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns []*testConn
		var limit shaper.Shaper
		flow := limit.NewFlow()
		block := wire.Append(nil, wire.Msg{Type: wire.Piece, Index: 1, Payload: make([]byte, 16<<10)})
		before := runtime.NumGoroutine()
		for i := range byte(20) {
			l := dial(t, i, 0, new(shaper.Shaper), false)
			defer l.end()
			conns = append(conns, l)
		}
		synctest.Wait()
		for _, l := range conns {
			l.Down = flow
		}
		limit.SetRate(20 << 10)
		for _, l := range conns {
			if _, err := l.peer.Write(bytes.Repeat(block, 10)); err != nil {
				t.Fatal(err)
			}
		}
		arrived := func() (n int) {
			for _, l := range conns {
				l.o.mu.Lock()
				n += len(l.o.arrivals)
				l.o.mu.Unlock()
			}
			return n
		}
		time.Sleep(10 * time.Second)
		start := arrived()
		for range 50 {
			time.Sleep(time.Second)
			synctest.Wait()
			// The runtime also counts goroutines that have just ended, and those of other
			// tests.
			if n := runtime.NumGoroutine() - before; n > len(conns)/10 {
				t.Fatalf("%d goroutines while 20 connections wait", n)
			}
			for _, l := range conns {
				if l.Resources.ReadBuffers() != 0 {
					t.Fatal("a read buffer is held while a connection waits")
				}
			}
		}
		if n := (arrived() - start) * len(block); n < 45*20<<10 || n > 55*20<<10 {
			t.Errorf("%d bytes in 50 s at %d a second", n, 20<<10)
		}
		end := time.Now()
		for _, l := range conns {
			l.Close(engine.FaultLocal)
			<-l.o.ended
		}
		if d := time.Since(end); d != 0 {
			t.Errorf("they ended %v after they were closed", d)
		}
	})
}
