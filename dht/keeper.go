package dht

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Keeper keeps many mutable items alive (BEP 44). Each is put at all of the closest nodes
// every hour. In between the Keeper checks it, so that nodes that have become closest get
// it soon. It uses a fifth of the node's rate. If that is too little for all items, they
// are put later, in order. It ends with its DHT.
type Keeper struct {
	d    *DHT
	poke chan struct{}

	mu    sync.Mutex
	items map[id.ID]*kept
	queue keptQueue
	slots int // free slots for rounds
}

const (
	// putEvery is how often an item is put at all the closest nodes. BEP 44: they may
	// drop an item after two hours, and it should be put again every hour.
	putEvery = time.Hour
	// tendEvery is how often the Keeper checks that the closest nodes have an item.
	tendEvery = 15 * time.Minute
	// retryFirst is the wait after a failed round. It doubles each time.
	retryFirst = 15 * time.Second
	// keeperShare is the share of the node's rate that the Keeper uses. roundCost is about
	// how many queries a round takes: a lookup, puts, and reading back.
	keeperShare = 0.2
	roundCost   = 45
	// keeperRounds is the maximum of rounds at a time.
	keeperRounds = 4
	// roundTimeout bounds one round.
	roundTimeout = 2 * time.Minute
)

// kept is one item.
type kept struct {
	item  Item
	told  func(TendReport, error)
	due   mono.Time
	put   mono.Time // when it was last put at all nodes; 0: not yet
	tries int       // failed rounds in a row
	index int       // in the queue; -1: not there
	calls sync.Mutex
	over  bool // guarded by calls
}

// NewKeeper starts a Keeper without items. A node needs one only.
func NewKeeper(d *DHT) *Keeper {
	k := &Keeper{d: d, poke: make(chan struct{}, 1), items: make(map[id.ID]*kept), slots: keeperRounds}
	d.spawn(k.run)
	return k
}

// Keep keeps a signed item alive from now on. It puts the item at once, unless just says that
// it has been put a moment ago. told gets the result of each round. It may be nil, is never
// called after stop has returned, and must not call stop. An item replaces the one with
// the same target.
func (k *Keeper) Keep(item Item, just bool, told func(TendReport, error)) (stop func()) {
	c := &kept{item: item, told: told, index: -1}
	now := k.d.now()
	c.due = now
	if just {
		c.put, c.due = now, now.Add(k.wait())
	}
	target := item.Target()
	k.mu.Lock()
	if was := k.items[target]; was != nil && was.index >= 0 {
		heap.Remove(&k.queue, was.index)
	}
	k.items[target] = c
	heap.Push(&k.queue, c)
	k.mu.Unlock()
	nudge(k.poke)
	return func() {
		k.mu.Lock()
		if k.items[target] == c {
			delete(k.items, target)
		}
		if c.index >= 0 {
			heap.Remove(&k.queue, c.index)
		}
		k.mu.Unlock()
		c.calls.Lock()
		c.over = true
		c.calls.Unlock()
	}
}

// Len returns the number of items.
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
// that were added together spread out.
func (k *Keeper) wait() time.Duration {
	k.d.mu.Lock()
	defer k.d.mu.Unlock()
	return tendEvery - time.Duration(k.d.random.Int64N(int64(tendEvery/5)))
}

func (k *Keeper) run() {
	d := k.d
	timer := time.NewTimer(0)
	defer timer.Stop()
	var next mono.Time // no round begins before
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-k.poke:
		case <-timer.C:
		}
		timer.Reset(k.step(&next))
	}
}

// step begins the round that is due, and returns the time until the next one.
func (k *Keeper) step(next *mono.Time) time.Duration {
	now := k.d.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queue) == 0 || k.slots == 0 {
		return time.Hour // a poke comes first
	}
	if at := max(k.queue[0].due, *next); at > now {
		return at.Sub(now)
	}
	c := heap.Pop(&k.queue).(*kept)
	k.slots--
	*next = now.Add(k.spacing())
	k.d.spawn(func() { k.round(c) })
	return k.spacing()
}

// round puts or checks one item.
func (k *Keeper) round(c *kept) {
	d := k.d
	ctx, cancel := context.WithTimeout(d.ctx, roundTimeout)
	defer cancel()
	began := d.now()
	all := c.put == 0 || began.Sub(c.put) >= putEvery-tendEvery/2
	r, err := d.Tend(ctx, c.item, all)
	wait := k.wait()
	switch {
	case err != nil || r.Answered == 0 || r.Newer == nil && r.Kept == 0:
		wait = min(retryFirst<<min(c.tries, 10), tendEvery)
		c.tries++
	case r.Newer == nil:
		c.tries = 0
		if all {
			c.put = began
		}
	}
	k.mu.Lock()
	k.slots++
	c.due = d.now().Add(wait)
	if k.items[c.item.Target()] == c {
		heap.Push(&k.queue, c)
	}
	k.mu.Unlock()
	nudge(k.poke)
	c.calls.Lock()
	defer c.calls.Unlock()
	if !c.over && c.told != nil && d.ctx.Err() == nil {
		c.told(r, err)
	}
}

// keptQueue is a heap by due.
type keptQueue []*kept

func (q keptQueue) Len() int           { return len(q) }
func (q keptQueue) Less(i, j int) bool { return q[i].due < q[j].due }
func (q keptQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *keptQueue) Push(x any) {
	c := x.(*kept)
	c.index = len(*q)
	*q = append(*q, c)
}

func (q *keptQueue) Pop() any {
	old := *q
	c := old[len(old)-1]
	c.index = -1
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return c
}
