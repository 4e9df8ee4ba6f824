package swarm

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/swarm/engine"
	"seedbed/swarm/storage"
)

// Blocks that were evicted before they were read are fetched again. The connection uses its list for other blocks meanwhile.
func TestEvictedBlocksAreFetchedAgain(t *testing.T) {
	info, full := makeContent(t, 8<<20, 1<<20)
	synctest.Test(t, func(t *testing.T) {
		f := &farStorage{memStorage: full.copy(), delay: time.Hour, waiting: map[int][]farWaiter{}}
		x := &Torrent{info: info, cfg: Config{Shared: new(Shared)}}
		x.inbox.init()
		x.remote = remote{t: x, storage: f}
		c := &conn{t: x, id: 1, addr: netip.MustParseAddrPort("10.0.0.1:6881")}
		x.conns = map[engine.Conn]*conn{c.id: c}
		list := []engine.Block{{Piece: 3, Length: 1 << 14}}
		c.Unread(list, storage.ErrNotLocal)
		list[0].Piece = 4
		for _, it := range x.inbox.swap(nil) {
			it.fn()
		}
		if len(f.waiting[3]) != 1 || len(f.waiting[4]) != 0 {
			t.Errorf("%d wait for the piece, and %d for another one", len(f.waiting[3]), len(f.waiting[4]))
		}
	})
}
