package swarm

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/swarm/wire"
)

// request sends requests of 16 KiB each, for n blocks from the beginning of a piece.
func request(nc net.Conn, piece, n uint32) {
	var b []byte
	for i := range n {
		b = wire.Append(b, wire.Msg{Type: wire.Request, Index: piece, Begin: i << 14, Length: 1 << 14})
	}
	_, _ = nc.Write(b)
}

// Blocks that are here do not wait for those that the peer requested before and that are elsewhere.
func TestUploadsDoNotWaitForDataThatIsElsewhere(t *testing.T) {
	info, full := makeContent(t, 8<<20, 1<<20)
	synctest.Test(t, func(t *testing.T) {
		f := &farStorage{memStorage: full.copy(), delay: time.Hour, keep: 10, here: []int{7}}
		sent := attackFar(t, f, info, 5*time.Second, func(nc net.Conn) {
			for piece := range uint32(7) {
				request(nc, piece, 64)
			}
			request(nc, 7, 64)
		})
		if sent < info.PieceLength {
			t.Errorf("%d KiB were sent of a piece of %d KiB that is here", sent>>10, info.PieceLength>>10)
		}
	})
}

// Pieces that are elsewhere are fetched at the same time, and not one after another.
func TestPiecesAreFetchedAtTheSameTime(t *testing.T) {
	info, full := makeContent(t, 8<<20, 1<<20)
	synctest.Test(t, func(t *testing.T) {
		f := &farStorage{memStorage: full.copy(), delay: time.Second, keep: 10}
		sent := attackFar(t, f, info, 2*time.Second, func(nc net.Conn) {
			for piece := range uint32(8) {
				request(nc, piece, 64)
			}
		})
		if sent < info.Length {
			t.Errorf("%d KiB of %d were sent after 2 s, and each piece takes 1 s", sent>>10, info.Length>>10)
		}
	})
}

// A block that is requested again while it is being fetched is sent once, and the peer gets others afterwards.
func TestABlockThatIsRequestedTwiceWhileItIsFetched(t *testing.T) {
	info, full := makeContent(t, 8<<20, 1<<20)
	synctest.Test(t, func(t *testing.T) {
		f := &farStorage{memStorage: full.copy(), delay: time.Second, keep: 10}
		sent := attackFar(t, f, info, 10*time.Second, func(nc net.Conn) {
			for range 2000 {
				request(nc, 0, 1)
			}
			time.Sleep(5 * time.Second)
			request(nc, 1, 64)
		})
		if blocks := sent >> 14; blocks != 65 {
			t.Errorf("%d blocks were sent, not 1 and 64", blocks)
		}
	})
}
