package peerconn

import (
	"sync"

	"seedbed/internal/buf"
	"seedbed/internal/fifo"
	"seedbed/swarm/engine"
)

// Request is an outstanding request: a block that was requested from a peer, and where
// its payload belongs.
type Request struct {
	Block  engine.Block
	Slot   engine.Slot
	Buffer *buf.Buffer
	Lease  buf.Lease // for the block's range of Buffer; owned by the request
}

// requests holds the outstanding requests of a connection, in the order in which they were
// sent. Peers nearly always answer in that order. The torrent's loop adds and cancels
// requests, and the reader takes them. The goroutine that removes a request owns its lease.
type requests struct {
	mu     sync.Mutex
	queue  fifo.Queue[Request]
	closed bool
}

// put adds a request. It returns false if the connection has ended.
func (t *requests) put(o Request) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.queue.Push(o)
	return true
}

// has reports whether a request for the block is outstanding.
func (t *requests) has(b engine.Block) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.find(b) >= 0
}

func (t *requests) find(b engine.Block) int {
	for i := range t.queue.Len() {
		if t.queue.At(i).Block == b {
			return i
		}
	}
	return -1
}

// take removes the request for a block.
func (t *requests) take(b engine.Block) (Request, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.find(b)
	if i < 0 {
		return Request{}, false
	}
	return t.queue.RemoveAt(i), true
}

// close releases all leases and rejects further requests.
func (t *requests) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.queue.All() {
		o.Lease.Release()
	}
	t.queue.Clear()
	t.closed = true
}
