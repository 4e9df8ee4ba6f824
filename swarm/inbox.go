package swarm

import (
	"sync"

	"seedbed/internal/buf"
	"seedbed/swarm/engine"
	"seedbed/swarm/peerconn"
)

// An item is what the loop takes in: an event for the engine, or a function to
// run after it, and what must travel with it. There is one a block, so it is
// small.
type item struct {
	block  engine.BlockEvent // or none, when its kind is 0
	buffer *buf.Buffer       // of BlockArrived: where the payload is, with a reference
	ev     engine.Event      // or nil
	conn   *conn             // of EvConnected and EvClosed
	fn     func()
}

// inboxSize is how many items may wait before connections have to.
const inboxSize = 4096

// An inbox is the one way into the loop: a mutex, two slices that are swapped,
// and a one-slot notification.
type inbox struct {
	mu     sync.Mutex
	room   sync.Cond
	items  []item
	shut   bool
	notify chan struct{}
}

func (b *inbox) init() {
	b.room.L = &b.mu
	b.notify = make(chan struct{}, 1)
}

// post takes items in at once, however many wait: for those who must not block.
// It reports whether the loop will see them.
func (b *inbox) post(items ...item) bool {
	if len(items) == 0 {
		return true
	}
	b.mu.Lock()
	if b.shut {
		b.mu.Unlock()
		return false
	}
	b.items = append(b.items, items...)
	b.mu.Unlock()
	b.wake()
	return true
}

// postBlocks is post of one thing that happened to several blocks.
func (b *inbox) postBlocks(kind engine.BlockEventKind, conn engine.Conn, blocks []engine.Block) {
	b.mu.Lock()
	if !b.shut {
		for _, bl := range blocks {
			b.items = append(b.items, item{block: engine.BlockEvent{Kind: kind, Conn: conn, Block: bl}})
		}
	}
	b.mu.Unlock()
	b.wake()
}

// push takes in what arrived from a peer, when there is room.
func (b *inbox) push(list []peerconn.Arrival) bool {
	b.mu.Lock()
	for len(b.items) >= inboxSize && !b.shut {
		b.room.Wait()
	}
	if b.shut {
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

// swap takes everything out and leaves spare, which must be empty, in its place.
func (b *inbox) swap(spare []item) []item {
	b.mu.Lock()
	items := b.items
	b.items = spare
	if len(items) >= inboxSize {
		b.room.Broadcast()
	}
	b.mu.Unlock()
	return items
}

// close makes later posts fail. What waits is still swapped out.
func (b *inbox) close() {
	b.mu.Lock()
	b.shut = true
	b.room.Broadcast()
	b.mu.Unlock()
}
