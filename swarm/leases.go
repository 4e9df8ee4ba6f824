package swarm

import (
	"sync"

	"seedbed/internal/buf"
	"seedbed/internal/fifo"
	"seedbed/swarm/engine"
)

// A grant is one lease of a connection: the block that was requested and where
// its payload belongs.
type grant struct {
	block engine.Block
	slot  engine.Slot
	chunk *buf.Chunk
	lease buf.Lease
}

// leaseTable is what was asked of a peer and has not come. The loop puts in and
// takes back, the reader takes out; whoever finds a grant there owns it. It is in
// the order of the requests, and peers answer in that order nearly always.
type leaseTable struct {
	mu    sync.Mutex
	queue fifo.Queue[grant]
	shut  bool
}

// put enters a grant. It fails when the connection is gone.
func (t *leaseTable) put(g grant) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut {
		return false
	}
	t.queue.Push(g)
	return true
}

// has reports whether the block was asked for.
func (t *leaseTable) has(b engine.Block) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.find(b) >= 0
}

func (t *leaseTable) find(b engine.Block) int {
	for i := range t.queue.Len() {
		if t.queue.At(i).block == b {
			return i
		}
	}
	return -1
}

// take takes the grant of a block out.
func (t *leaseTable) take(b engine.Block) (grant, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.find(b)
	if i < 0 {
		return grant{}, false
	}
	return t.queue.RemoveAt(i), true
}

// close releases all leases and lets no more in.
func (t *leaseTable) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.queue.All() {
		g.lease.Release()
	}
	t.queue.Clear()
	t.shut = true
}
