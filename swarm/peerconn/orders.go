package peerconn

import (
	"sync"

	"seedbed/internal/buf"
	"seedbed/internal/fifo"
	"seedbed/swarm/engine"
)

// An Order is a block that was requested of a peer, and where its payload belongs.
type Order struct {
	Block  engine.Block
	Slot   engine.Slot
	Buffer *buf.Buffer
	Lease  buf.Lease // on the block in Buffer; the order owns it
}

// orders is what was requested of a peer and has not arrived. The torrent's loop
// adds and cancels, the reader takes; whoever finds an order there owns its
// lease. They are in the order of the requests, and peers nearly always answer in
// that order.
type orders struct {
	mu    sync.Mutex
	queue fifo.Queue[Order]
	shut  bool
}

// put adds an order. It fails when the connection has ended.
func (t *orders) put(o Order) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shut {
		return false
	}
	t.queue.Push(o)
	return true
}

// has reports whether the block is on order.
func (t *orders) has(b engine.Block) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.find(b) >= 0
}

func (t *orders) find(b engine.Block) int {
	for i := range t.queue.Len() {
		if t.queue.At(i).Block == b {
			return i
		}
	}
	return -1
}

// take removes the order of a block.
func (t *orders) take(b engine.Block) (Order, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.find(b)
	if i < 0 {
		return Order{}, false
	}
	return t.queue.RemoveAt(i), true
}

// close releases all leases and accepts no more orders.
func (t *orders) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.queue.All() {
		o.Lease.Release()
	}
	t.queue.Clear()
	t.shut = true
}
