package dht

import (
	"bytes"
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Keeper republishes many mutable items (BEP 44), so that the DHT keeps them. Each item is
// put at all of the closest nodes every hour. In between, the Keeper checks that the
// closest nodes have it, and puts it at new ones. It uses a fifth of the node's rate. If
// that is too little for all items, they are put later, in order. The Keeper ends when its
// DHT closes.
type Keeper struct {
	d      *DHT
	wakeup chan struct{}

	mu sync.Mutex
	// items has the items of each target in ascending order of their numbers, those with the same
	// number in the order of the calls of Keep. The last one is republished.
	items map[id.ID][]*keptItem
	queue itemQueue
	slots int // number of rounds that may start

	retried mono.Time // the last call of Retry
}

const (
	// republishEvery is the interval at which an item is put at all the closest nodes. BEP
	// 44: they may drop an item after two hours, and it should be put again every hour.
	republishEvery = time.Hour
	// checkEvery is the interval at which the Keeper checks that the closest nodes have an
	// item.
	checkEvery = 15 * time.Minute
	// firstRetry is the wait after a failed round. It doubles each time.
	firstRetry = 15 * time.Second
	// keeperShare is the share of the node's rate that the Keeper uses. roundCost is the
	// approximate number of queries of a round: a lookup, the puts, and reading back.
	keeperShare = 0.2
	roundCost   = 45
	// keeperRounds is the maximum number of rounds at a time.
	keeperRounds = 4
	// roundTimeout is the timeout of one round.
	roundTimeout = 2 * time.Minute
)

// keptItem is an item that the Keeper republishes.
type keptItem struct {
	item      Item
	report    func(RepublishReport, error)
	due       mono.Time
	put       mono.Time // when it was last put at all of the closest nodes; 0: never
	tries     int       // failed rounds in a row
	index     int       // in the queue; -1: not in the queue
	isRunning bool      // a round is running
	calls     sync.Mutex
	over      bool // guarded by calls
}

// NewKeeper starts a Keeper without items. A node needs only one.
func NewKeeper(d *DHT) *Keeper {
	k := &Keeper{d: d, wakeup: make(chan struct{}, 1), items: make(map[id.ID][]*keptItem), slots: keeperRounds}
	d.spawn(k.run)
	return k
}

// Keep republishes a signed item until stop is called. The first put starts at once, unless
// justPut says that the item has just been put. report is called with the result of each
// round. It may be nil, is not called after stop has returned, and must not call stop.
//
// Of several items with the same target, the one with the highest number is republished, and the
// reports go to all that have this number. When it is stopped, the next one takes its place.
func (k *Keeper) Keep(item Item, justPut bool, report func(RepublishReport, error)) (stop func()) {
	c := &keptItem{item: item, report: report, index: -1}
	now := k.d.now()
	c.due = now
	if justPut {
		c.put, c.due = now, now.Add(k.wait())
	}
	target := item.Target()
	k.mu.Lock()
	list := k.items[target]
	at := len(list)
	for at > 0 && list[at-1].item.Seq > item.Seq {
		at--
	}
	if at == len(list) && at > 0 {
		k.unqueue(list[at-1])
	}
	k.items[target] = slices.Insert(list, at, c)
	k.requeue(target)
	k.mu.Unlock()
	nudge(k.wakeup)
	return func() {
		k.mu.Lock()
		if list := slices.DeleteFunc(k.items[target], func(x *keptItem) bool { return x == c }); len(list) > 0 {
			k.items[target] = list
			k.requeue(target)
		} else {
			delete(k.items, target)
		}
		k.unqueue(c)
		k.mu.Unlock()
		nudge(k.wakeup)
		c.calls.Lock()
		c.over = true
		c.calls.Unlock()
	}
}

// requeue puts the item of a target that is republished into the queue, unless it is there or its round
// runs. mu is held.
func (k *Keeper) requeue(target id.ID) {
	if list := k.items[target]; len(list) > 0 {
		if c := list[len(list)-1]; c.index < 0 && !c.isRunning {
			heap.Push(&k.queue, c)
		}
	}
}

// unqueue removes an item from the queue. mu is held.
func (k *Keeper) unqueue(c *keptItem) {
	if c.index >= 0 {
		heap.Remove(&k.queue, c.index)
	}
}

// Len returns the number of targets whose items are republished.
func (k *Keeper) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.items)
}

// spacing returns the time from the start of one round to the start of the next.
func (k *Keeper) spacing() time.Duration {
	return time.Duration(roundCost / (keeperShare * k.d.cfg.Rate) * float64(time.Second))
}

// wait returns the time until the next round of an item. It is partly random, so that items
// that were added together are not put together.
func (k *Keeper) wait() time.Duration {
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	return checkEvery - time.Duration(k.d.random.Int64N(int64(checkEvery/5)))
}

func (k *Keeper) run() {
	d := k.d
	timer := time.NewTimer(0)
	defer timer.Stop()
	var next mono.Time // the earliest time for the next round
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-k.wakeup:
		case <-timer.C:
		}
		timer.Reset(k.step(&next))
	}
}

// step begins a round if one is due, and returns the time until the next one.
func (k *Keeper) step(next *mono.Time) time.Duration {
	now := k.d.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queue) == 0 || k.slots == 0 {
		return time.Hour // wakeup ends the wait
	}
	if at := max(k.queue[0].due, *next); at > now {
		return at.Sub(now)
	}
	c := heap.Pop(&k.queue).(*keptItem)
	c.isRunning = true
	k.slots--
	*next = now.Add(k.spacing())
	k.d.spawn(func() { k.round(c) })
	return k.spacing()
}

// round puts or checks one item.
func (k *Keeper) round(c *keptItem) {
	d := k.d
	ctx, cancel := context.WithTimeout(d.ctx, roundTimeout)
	defer cancel()
	began := d.now()
	all := c.put == 0 || began.Sub(c.put) >= republishEvery-checkEvery/2
	r, err := d.Republish(ctx, c.item, all)
	wait := k.wait()
	switch {
	case err != nil || r.Answered == 0 || r.Newer == nil && r.Stored == 0:
		wait = min(firstRetry<<min(c.tries, 10), checkEvery)
		c.tries++
	case r.Newer == nil:
		c.tries = 0
		if all {
			c.put = began
		}
	}
	k.mu.Lock()
	k.slots++
	if c.tries > 0 && began < k.retried {
		wait, c.tries = firstRetry, 0
	}
	c.due, c.isRunning = d.now().Add(wait), false
	target := c.item.Target()
	k.requeue(target)
	var same []*keptItem
	for _, x := range k.items[target] {
		if x.item.Seq == c.item.Seq && bytes.Equal(x.item.Value, c.item.Value) {
			same = append(same, x)
		}
	}
	k.mu.Unlock()
	nudge(k.wakeup)
	for _, x := range same {
		if d.ctx.Err() != nil {
			return
		}
		x.notify(r, err)
	}
}

// notify calls report, unless the item is no longer kept.
func (c *keptItem) notify(r RepublishReport, err error) {
	c.calls.Lock()
	defer c.calls.Unlock()
	if !c.over && c.report != nil {
		c.report(r, err)
	}
}

// itemQueue is a heap of items; the first one is due next.
type itemQueue []*keptItem

func (q itemQueue) Len() int           { return len(q) }
func (q itemQueue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q itemQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *itemQueue) Push(x any) {
	c := x.(*keptItem)
	c.index = len(*q)
	*q = append(*q, c)
}

func (q *itemQueue) Pop() any {
	old := *q
	c := old[len(old)-1]
	c.index = -1
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return c
}
