package engine

import (
	"testing"
	"time"

	"seedbed/internal/mono"
)

// A piece that failed verification must be fetched from a single peer. It is not left to
// a very slow peer while a fast one waits, even if the fast one contributed to the bad
// copy.
func TestSuspectPieceIsNotLeftToASlowPeer(t *testing.T) {
	const pieces, perTick = 64, 4 // blocks in 10 ms: 6.4 MB/s
	took := func(others int, pause time.Duration) time.Duration {
		r := newRig(t, Config{Budget: 24, ChunkSize: 256 << 10}, pieces, 256<<10)
		fast := r.seed(true)
		liar, plodder := make(map[Conn]bool), make(map[Conn]bool)
		for range others {
			liar[r.seed(true)], plodder[r.seed(true)] = true, true
		}
		type request struct {
			Block
			slot Slot
		}
		asked := make(map[Conn][]request)
		last := make(map[Conn]mono.Time) // when a slow peer last sent a block
		bad := make(map[Block]bool)      // blocks that a liar sent
		var conns []Conn
		for c := Conn(1); c <= r.n; c++ {
			conns = append(conns, c)
		}
		began := r.now
		for !r.e.content.complete {
			if r.now.Sub(began) > 10*time.Minute {
				return r.now.Sub(began)
			}
			cmds := r.drain()
			for _, x := range cmds {
				switch x.Kind {
				case CmdRequest:
					asked[x.Conn] = append(asked[x.Conn], request{x.Block, x.Slot})
				case CmdCancel:
					for i, q := range asked[x.Conn] {
						if q.Block == x.Block {
							asked[x.Conn] = append(asked[x.Conn][:i:i], asked[x.Conn][i+1:]...)
							break
						}
					}
				case CmdClose:
					if x.Conn == fast && x.Fault == FaultBanned {
						t.Error("the fast peer is banned")
					}
					delete(asked, x.Conn)
					r.step(&EvClosed{Conn: x.Conn})
				case CmdStore:
					r.step(&EvStored{Slot: x.Slot, Block: x.Block})
					sums, ok := make([]uint64, x.Block.Length/blockSize), true
					for i := range sums {
						b := Block{Piece: x.Block.Piece, Begin: uint32(i) * blockSize, Length: blockSize}
						if bad[b] {
							sums[i], ok = 66, false
						}
					}
					r.step(&EvVerified{Piece: x.Block.Piece, OK: ok, Sums: sums})
				}
			}
			for _, c := range conns {
				n := perTick
				if plodder[c] {
					n = 0
					if r.now.Sub(last[c]) > pause {
						n, last[c] = 1, r.now
					}
				}
				if liar[c] {
					n = 1
				}
				for ; n > 0 && len(asked[c]) > 0; n-- {
					q := asked[c][0]
					asked[c] = asked[c][1:]
					bad[q.Block] = liar[c]
					r.block(BlockEvent{Kind: BlockArrived, Conn: c, Block: q.Block, Slot: q.slot})
				}
			}
			r.now = r.now.Add(10 * time.Millisecond)
			r.e.Tick(r.now)
		}
		return r.now.Sub(began)
	}
	alone := took(0, 0)
	for _, others := range []int{1, 10, 60} {
		for _, pause := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 1500 * time.Millisecond, 5 * time.Second} {
			if crowd := took(others, pause); crowd > alone*3/2+5*time.Second {
				t.Errorf("%v with %d liars and as many peers that send a block every %v; %v without", crowd, others, pause, alone)
			}
		}
	}
}
