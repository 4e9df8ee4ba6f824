package peerconn

import (
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/shaper"
	"seedbed/swarm/engine"
)

// Withdrawn blocks that wait for the upload limit are not sent, and their share of the
// limit goes to others.
func TestWithdrawnBlockIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := new(shaper.Shaper)
		up.SetRate(20 << 10)
		l := dial(t, 1, 0, up, false)
		defer l.end()
		go io.Copy(io.Discard, l.peer)
		blocks := blocksOf(16)
		l.Flush(nil, blocks)
		time.Sleep(2 * time.Second)
		sent := len(l.o.uploads())
		if sent == 0 || sent > 8 {
			t.Fatalf("%d blocks in two seconds", sent)
		}
		if got := l.Withdraw(blocks[12]); !slices.Equal(got, blocks[12:13]) {
			t.Errorf("withdrew %v", got)
		}
		if got := l.Withdraw(blocks[0]); got != nil {
			t.Errorf("withdrew %v, which was sent", got)
		}
		rest := l.Withdraw(engine.Block{})
		if want := slices.Concat(blocks[sent:12], blocks[13:]); !slices.Equal(rest, want) {
			t.Errorf("withdrew %v, want %v", rest, want)
		}
		time.Sleep(time.Minute)
		if n := len(l.o.uploads()); n != sent {
			t.Errorf("%d blocks were sent after all were withdrawn", n-sent)
		}
		l.Flush(nil, blocks[:1])
		synctest.Wait()
		if n := len(l.o.uploads()); n != sent+1 {
			t.Error("a block is waiting although nothing was sent for a minute")
		}
	})
}

// Whenever it is withdrawn, a block is either sent or returned, never both.
func TestEveryBlockIsSentOrWithdrawn(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			l := dial(t, 1, 2<<20, new(shaper.Shaper), seed%2 == 0)
			defer l.end()
			go io.Copy(io.Discard, l.peer)
			blocks := blocksOf(200)
			var withdrawn []engine.Block
			for i := 0; i < len(blocks); {
				n := min(1+rng.IntN(20), len(blocks)-i)
				l.Flush(nil, blocks[i:i+n])
				i += n
				time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
				b := engine.Block{}
				if rng.IntN(2) == 0 {
					b = blocks[rng.IntN(i)]
				}
				withdrawn = append(withdrawn, l.Withdraw(b)...)
			}
			time.Sleep(time.Minute)
			all := append(l.o.uploads(), withdrawn...)
			slices.SortFunc(all, func(a, b engine.Block) int {
				return int(a.Piece*testPiece+a.Begin) - int(b.Piece*testPiece+b.Begin)
			})
			if !slices.Equal(all, blocks) {
				t.Errorf("of %d blocks %d were sent and %d withdrawn", len(blocks), len(all)-len(withdrawn), len(withdrawn))
			}
			if len(withdrawn) == 0 {
				t.Error("none was withdrawn")
			}
		})
	}
}

// All blocks may be withdrawn while the sender waits for a batch.
func TestWithdrawWhileTheSenderWaitsForABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := dial(t, 1, 0, new(shaper.Shaper), false)
		defer l.end()
		go io.Copy(io.Discard, l.peer)
		var taken []*batch
		for range maxBatches {
			taken = append(taken, l.Resources.batches.get())
		}
		blocks := blocksOf(3)
		l.Flush(nil, blocks[:2])
		synctest.Wait()
		if got := l.Withdraw(engine.Block{}); !slices.Equal(got, blocks[:2]) {
			t.Errorf("withdrew %v", got)
		}
		for _, m := range taken {
			l.Resources.batches.put(m)
		}
		synctest.Wait()
		l.Flush(nil, blocks[2:])
		synctest.Wait()
		if got := l.o.uploads(); !slices.Equal(got, blocks[2:]) {
			t.Errorf("sent %v", got)
		}
	})
}
