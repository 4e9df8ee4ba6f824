package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// BenchmarkBlock measures the path of a block through the engine: request, arrival,
// storage, verification. One seed answers at once, in batches of 64 blocks.
func BenchmarkBlock(b *testing.B) {
	for _, pieceLen := range []int64{16 << 10, 256 << 10, 1 << 20, 4 << 20} {
		b.Run(fmt.Sprintf("piece=%dK", pieceLen>>10), func(b *testing.B) {
			r := newRig(b, Config{Budget: 64}, 100_000, pieceLen)
			c := r.connect(true)
			r.msg(c, wire.Msg{Type: wire.Extended, Payload: []byte("d4:reqqi500ee")})
			r.msg(c, wire.Msg{Type: wire.HaveAll})
			r.msg(c, wire.Msg{Type: wire.Unchoke})
			r.e.conns[c].down.depth = 500
			queue := make([]Command, 0, 4096)
			head, blocks, batches := 0, 0, 0
			var out []Command
			done := make([]uint32, 100_000)
			chunks := uint32((pieceLen + 1<<20 - 1) >> 20)
			one := func() {
				out = append(out[:0], r.e.Drain()...)
				for i := range out {
					if x := &out[i]; x.Kind == CmdRequest {
						queue = append(queue, *x)
					}
				}
				for i := range out {
					if x := &out[i]; x.Kind == CmdStore {
						slot, block := x.Slot, x.Block
						r.now += 10
						r.step(&EvStored{Slot: slot, Block: block})
						if done[block.Piece]++; done[block.Piece] == chunks {
							done[block.Piece] = 0
							r.step(&EvVerified{Piece: block.Piece, OK: true})
							// Back to the picker, so that the torrent never ends.
							r.e.content.have.Remove(int(block.Piece))
							r.e.req.need.Add(int(block.Piece))
							r.e.req.nNeed++
							r.e.req.pick.put(block.Piece)
							r.e.conns[c].down.want++
						}
					}
				}
				n := min(64, len(queue)-head)
				for range n {
					x := &queue[head]
					head++
					r.now += 16_000
					r.block(BlockEvent{Kind: BlockArrived, Conn: c, Block: x.Block, Slot: x.Slot})
					blocks++
				}
				if head == len(queue) || head > 2048 {
					queue = append(queue[:0], queue[head:]...)
					head = 0
				}
				if r.now >= r.e.Deadline() {
					r.e.Tick(r.now)
				}
				batches++
			}
			for range 2000 {
				one()
			}
			blocks, batches = 0, 0
			b.ReportAllocs()
			for b.Loop() {
				one()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(blocks), "ns/block")
			b.ReportMetric(float64(blocks)/float64(batches), "blocks/op")
		})
	}
}

// BenchmarkTenThousandHaves measures haves of 50 peers in a torrent of 100,000 pieces;
// 10,000 per operation.
func BenchmarkTenThousandHaves(b *testing.B) {
	const pieces, peers = 100_000, 50
	r := newRig(b, Config{}, pieces, 256<<10)
	for range peers {
		c := r.connect(true)
		r.msg(c, wire.Msg{Type: wire.HaveNone})
	}
	r.e.Drain()
	rng := rand.New(rand.NewPCG(1, 2))
	order := rng.Perm(pieces * peers)
	at := 0
	// The first pass allocates the buffers.
	one := func() {
		for range 10_000 {
			k := order[at%len(order)]
			c, i := Conn(1+k%peers), uint32(k/peers)
			if at/len(order)%2 == 0 {
				r.msg(c, wire.Msg{Type: wire.Have, Index: i})
			} else {
				r.e.onDontHave(r.e.conns[c], i)
			}
			at++
		}
		r.e.Drain()
	}
	one()
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
}

// BenchmarkPick picks the rarest of 100,000 pieces for peers that have a part of them,
// and returns it.
func BenchmarkPick(b *testing.B) {
	const pieces = 100_000
	for _, share := range []float64{1, 0.5, 0.01, 0.0001} {
		b.Run(fmt.Sprintf("has=%g", share), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			k := newPicker(pieces, rng)
			for i := range uint32(pieces) {
				for range rng.IntN(40) {
					k.inc(i)
				}
				k.put(i)
			}
			has, n := bitset.New(pieces), 0
			for i := range pieces {
				if rng.Float64() < share {
					has.Add(i)
					n++
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				p, ok := k.rarest(has)
				if !ok {
					b.Fatal("nothing to pick")
				}
				k.take(p)
				k.put(p)
			}
		})
	}
}

// BenchmarkIdleTurn measures a turn without work, with 200 peers.
func BenchmarkIdleTurn(b *testing.B) {
	r := newRig(b, Config{MaxConns: 200}, 10_000, 256<<10)
	for range 200 {
		c := r.connect(true)
		r.msg(c, wire.Msg{Type: wire.HaveNone})
	}
	r.e.Drain()
	b.ReportAllocs()
	for b.Loop() {
		r.now += mono.Time(time.Microsecond)
		r.msg(1, wire.Msg{Type: wire.KeepAlive})
		r.e.Drain()
	}
}
