package swarm

import (
	"sync"

	"seedbed/internal/buf"
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
	queue []grant
	head  int
	shut  bool
}

// put enters a grant. It fails when the connection is gone.
func (t *leaseTable) put(g grant) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut {
		return false
	}
	if t.head > 64 && t.head > len(t.queue)/2 {
		n := copy(t.queue, t.queue[t.head:])
		clear(t.queue[n:])
		t.queue, t.head = t.queue[:n], 0
	}
	t.queue = append(t.queue, g)
	return true
}

// has reports whether the block was asked for.
func (t *leaseTable) has(b engine.Block) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.find(b) >= 0
}

func (t *leaseTable) find(b engine.Block) int {
	for i := t.head; i < len(t.queue); i++ {
		if t.queue[i].block == b {
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
	g := t.queue[i]
	copy(t.queue[t.head+1:i+1], t.queue[t.head:i])
	t.queue[t.head] = grant{}
	if t.head++; t.head == len(t.queue) {
		t.queue, t.head = t.queue[:0], 0
	}
	return g, true
}

// close releases all leases and lets no more in.
func (t *leaseTable) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, g := range t.queue[t.head:] {
		g.lease.Release()
	}
	t.queue, t.head, t.shut = nil, 0, true
}
