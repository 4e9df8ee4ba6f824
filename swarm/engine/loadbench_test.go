package engine

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// BenchmarkIdleSeedTurn measures a turn of a seed with 500 peers that request nothing,
// unchoked as far as there are slots.
func BenchmarkIdleSeedTurn(b *testing.B) {
	for _, limit := range []int64{0, 50 << 20} {
		b.Run(fmt.Sprintf("limit=%dM", limit>>20), func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			r := newRig(b, Config{MaxConns: 500, UpLimit: limit}, 0, 0)
			r.step(&EvInfo{Info: testInfo(b, 10_000, 64<<10, 64<<10, false), Have: full(10_000)})
			for range 500 {
				r.msg(r.connect(true), wire.Msg{Type: wire.Interested})
			}
			r.wait(2 * time.Second)
			b.ReportAllocs()
			began := cpuTime()
			for b.Loop() {
				r.now += mono.Time(time.Microsecond)
				r.msg(1, wire.Msg{Type: wire.KeepAlive})
				r.e.Drain()
			}
			b.ReportMetric(float64(cpuTime()-began)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkUploadBlock measures the path of a block out of a seed: the shell reports a
// few sent blocks and their peers' next requests, and the engine returns what to send
// next.
func BenchmarkUploadBlock(b *testing.B) {
	type load struct {
		peers, depth int
		limit        int64
		copied       bool // other peers have the pieces too
		scattered    bool // each request is for a different piece
	}
	for _, l := range []load{
		{1, 250, 0, false, false}, {1, 250, 0, true, false}, {1, 250, 50 << 20, false, false}, {1, 250, 50 << 20, true, false},
		{50, 250, 0, false, false}, {50, 250, 0, true, false}, {50, 250, 50 << 20, false, false}, {50, 250, 50 << 20, true, false},
		{200, 1024, 0, false, true}, {200, 1024, 50 << 20, false, true}, {200, 1024, 50 << 20, true, true}, {200, 1024, 200 << 10, false, true},
	} {
		b.Run(fmt.Sprintf("peers=%d/depth=%d/limit=%dK/copied=%v/scattered=%v", l.peers, l.depth, l.limit>>10, l.copied, l.scattered), func(b *testing.B) {
			runtime.LockOSThread() // for cpuTime
			defer runtime.UnlockOSThread()
			const pieces, per = 20_000, 16
			r := newRig(b, Config{MaxConns: 500, Uploads: 250, UpLimit: l.limit}, 0, 0)
			r.step(&EvInfo{Info: testInfo(b, pieces, per*blockSize, per*blockSize, false), Have: full(pieces)})
			if l.copied {
				for i := range 2 {
					has := full(pieces)
					for p := i; p < pieces; p += 2 {
						has.Remove(p)
					}
					r.msg(r.connect(true), wire.Msg{Type: wire.Bitfield, Payload: has.AppendTo(nil)})
				}
			}
			asked := make([]int, l.peers+3)
			ask := func(c Conn) {
				i := asked[c]
				asked[c]++
				x := Block{Piece: uint32((int(c)*97 + i/per) % pieces), Begin: uint32(i % per * blockSize), Length: blockSize}
				if l.scattered {
					x = Block{Piece: uint32((int(c)*97 + i) % pieces), Length: blockSize}
				}
				r.msg(c, wire.Msg{Type: wire.Request, Index: x.Piece, Begin: x.Begin, Length: x.Length})
			}
			var conns []Conn
			for range l.peers {
				conns = append(conns, r.leecher(true))
			}
			var queue []Command
			head := 0
			sent := func(cmds []Command) {
				for _, x := range cmds {
					if x.Kind == CmdUpload {
						queue = append(queue, x)
					}
				}
			}
			sent(r.wait(12 * time.Second))
			for _, c := range conns {
				for range l.depth {
					ask(c)
				}
			}
			sent(r.e.Drain())
			blocks := 0
			one := func() {
				for range min(16, len(queue)-head) {
					x := queue[head]
					head++
					if l.limit > 0 {
						r.now += mono.Time(float64(blockSize) / float64(l.limit) * float64(time.Second))
					} else {
						r.now += 16_000
					}
					r.block(BlockEvent{Kind: BlockUploaded, Conn: x.Conn, Block: x.Block})
					ask(x.Conn)
					blocks++
				}
				if head == len(queue) || head > 4096 {
					queue = append(queue[:0], queue[head:]...)
					head = 0
				}
				if r.now >= r.e.Deadline() {
					r.e.Tick(r.now)
				}
				sent(r.e.Drain())
			}
			reportPerBlock(b, 2000, &blocks, one)
		})
	}
}

// BenchmarkBlockOfManySeeds measures the path of a block from one of 40 seeds, like
// [BenchmarkBlock]. Each seed answers in turn, some of them several times as often, so
// that some have reached their request limit while others wait.
func BenchmarkBlockOfManySeeds(b *testing.B) {
	for _, budget := range []int{64, 8} {
		b.Run(fmt.Sprintf("budget=%d", budget), func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			const pieces, peers = 20_000, 40
			r := newRig(b, Config{Budget: budget, MaxConns: 100}, pieces, 256<<10)
			queues := make([][]Command, peers+1)
			for range peers {
				c := r.connect(true)
				r.msg(c, wire.Msg{Type: wire.Extended, Payload: []byte("d4:reqqi500ee")}, wire.Msg{Type: wire.HaveAll}, wire.Msg{Type: wire.Unchoke})
			}
			turn, blocks := 0, 0
			var out []Command
			one := func() {
				out = append(out[:0], r.e.Drain()...)
				for _, x := range out {
					switch x.Kind {
					case CmdRequest:
						queues[x.Conn] = append(queues[x.Conn], x)
					case CmdStore:
						r.step(&EvStored{Slot: x.Slot, Block: x.Block})
						r.step(&EvVerified{Piece: x.Block.Piece, OK: true})
						r.e.content.have.Remove(int(x.Block.Piece))
						r.e.req.need.Add(int(x.Block.Piece))
						r.e.req.nNeed++
						r.e.req.pick.put(x.Block.Piece)
						for _, p := range r.e.peers {
							p.down.want++
						}
					}
				}
				for range 16 {
					turn++
					c := 1 + turn%peers
					if c%4 != 0 && turn/peers%8 != 0 { // one peer in four is eight times as fast
						continue
					}
					r.now += 16_000
					if len(queues[c]) == 0 {
						continue
					}
					x := queues[c][0]
					queues[c] = queues[c][1:]
					if r.e.req.find(&r.e.conns[x.Conn].down, x.Block) == nil {
						continue // it was canceled
					}
					r.block(BlockEvent{Kind: BlockArrived, Conn: x.Conn, Block: x.Block, Slot: x.Slot})
					blocks++
				}
				if r.now >= r.e.Deadline() {
					r.e.Tick(r.now)
				}
			}
			reportPerBlock(b, 20_000, &blocks, one)
		})
	}
}

// reportPerBlock reports the CPU time per block. one counts the blocks that it moves, and
// is called before times before the measurement.
func reportPerBlock(b *testing.B, before int, blocks *int, one func()) {
	for range before {
		one()
	}
	if *blocks == 0 {
		b.Fatal("no block was moved")
	}
	*blocks = 0
	b.ReportAllocs()
	began := cpuTime()
	for b.Loop() {
		one()
	}
	b.ReportMetric(float64(cpuTime()-began)/float64(*blocks), "cpu-ns/block")
}
