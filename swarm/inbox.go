package swarm

import (
	"sync"

	"seedbed/internal/buf"
	"seedbed/swarm/engine"
	"seedbed/swarm/peerconn"
)

// item is an input of the loop: an event for the engine, or a function to run after it,
// and what belongs to it. Every block is an item, so it is small.
type item struct {
	block  engine.BlockEvent // none if its kind is 0
	buffer *buf.Buffer       // of BlockArrived: the buffer with the payload, including a reference
	ev     engine.Event      // may be nil
	conn   *conn             // of EvConnected and EvClosed
	fn     func()
}

// inboxSize is how many items may wait before connections must wait too.
const inboxSize = 4096

// inbox is the input queue of the loop: a mutex, two slices that are swapped, and a
// notification channel.
type inbox struct {
	mu      sync.Mutex
	notFull sync.Cond
	items   []item
	closed  bool
	notify  chan struct{}
}

func (b *inbox) init() {
	b.notFull.L = &b.mu
	b.notify = make(chan struct{}, 1)
}

// post adds items without waiting for space, for callers that must not block. It reports
// whether the loop will process them.
func (b *inbox) post(items ...item) bool {
	if len(items) == 0 {
		return true
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.items = append(b.items, items...)
	b.mu.Unlock()
	b.wake()
	return true
}

// postBlocks posts the same event for several blocks.
func (b *inbox) postBlocks(kind engine.BlockEventKind, conn engine.Conn, blocks []engine.Block) {
	b.mu.Lock()
	if !b.closed {
		for _, bl := range blocks {
			b.items = append(b.items, item{block: engine.BlockEvent{Kind: kind, Conn: conn, Block: bl}})
		}
	}
	b.mu.Unlock()
	b.wake()
}

// push adds what arrived from a peer, once there is space.
func (b *inbox) push(list []peerconn.Arrival) bool {
	b.mu.Lock()
	for len(b.items) >= inboxSize && !b.closed {
		b.notFull.Wait()
	}
	if b.closed {
		b.mu.Unlock()
		return false
	}
	for i := range list {
		b.items = append(b.items, item{block: list[i].Block, buffer: list[i].Buffer, ev: list[i].Event})
	}
	b.mu.Unlock()
	b.wake()
	return true
}

func (b *inbox) wake() {
	select {
	case b.notify <- struct{}{}:
	default:
	}
}

// swap returns all items and replaces them by spare, which must be empty.
func (b *inbox) swap(spare []item) []item {
	b.mu.Lock()
	items := b.items
	b.items = spare
	if len(items) >= inboxSize {
		b.notFull.Broadcast()
	}
	b.mu.Unlock()
	return items
}

// close makes later posts fail. Waiting items are still returned by swap.
func (b *inbox) close() {
	b.mu.Lock()
	b.closed = true
	b.notFull.Broadcast()
	b.mu.Unlock()
}
