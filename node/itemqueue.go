package node

import (
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// Items can be taken from an ItemQueue ItemBurst times at once, and then ItemRate times a second.
const (
	ItemRate  = 0.5
	ItemBurst = 5
)

// An ItemQueue has the items that a client of ItemSubscriptions was told of and has not taken yet: the newest one of each
// key. The client takes them at the rate ItemRate. Otherwise a publisher could make it flood the DHT with the
// lookups and announces of ever new torrents. Its methods are safe for concurrent use.
type ItemQueue struct {
	ready func()
	began time.Time

	mu     sync.Mutex
	items  map[id.ID32]dht.Item
	isHeld bool // they wait until ItemRate permits to take them
	pace   rate.Bucket
}

// NewItemQueue returns an empty queue. ready is called, on any goroutine, when there is something to take; it must return at once.
func NewItemQueue(ready func()) *ItemQueue {
	return &ItemQueue{ready: ready, began: time.Now(), items: map[id.ID32]dht.Item{}, pace: rate.NewBucket(0, ItemRate, ItemBurst)}
}

// Put adds an item, unless that of its key has its number or a higher one. It reports whether it was added.
func (q *ItemQueue) Put(item dht.Item) bool {
	q.mu.Lock()
	old, ok := q.items[item.Key]
	isNewer := !ok || item.Seq > old.Seq
	if isNewer {
		q.items[item.Key] = item
	}
	q.mu.Unlock()
	q.signal()
	return isNewer
}

// IsReady reports whether there is something to take.
func (q *ItemQueue) IsReady() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) > 0 && !q.isHeld
}

func (q *ItemQueue) signal() {
	if q.IsReady() {
		q.ready()
	}
}

// Take returns the items by their keys, and removes them. It returns nil if there are none, or if they may be taken only later; ready is
// called then.
func (q *ItemQueue) Take() map[id.ID32]dht.Item {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 || q.isHeld {
		return nil
	}
	now := mono.From(q.began, time.Now())
	if q.pace.Take(now, 1) {
		items := q.items
		q.items = map[id.ID32]dht.Item{}
		return items
	}
	q.isHeld = true
	time.AfterFunc(q.pace.Wait(now, 1), q.release)
	return nil
}

// release ends isHeld.
func (q *ItemQueue) release() {
	q.mu.Lock()
	q.isHeld = false
	q.mu.Unlock()
	q.signal()
}
