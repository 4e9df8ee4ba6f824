package dht

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Keeper keeps many mutable items alive (BEP 44): each is put at all of the closest
// nodes every hour, and looked after in between, so that nodes which have become
// closest get it soon. It takes a fifth of the node's rate: where that is too little
// for so many items, they come round later, in order. It ends with its DHT.
type Keeper struct {
	d    *DHT
	poke chan struct{}

	mu    sync.Mutex
	items map[id.ID]*kept
	queue keptQueue
	slots int // rounds that may begin
}

const (
	// putEvery is how often all the closest nodes are told: BEP 44 lets them forget
	// an item after two hours, and has it put again every hour.
	putEvery = time.Hour
	// tendEvery is how often it is looked whether the closest nodes have it.
	tendEvery = 15 * time.Minute
	// retryFirst is the wait after a round in which no node answered; it doubles.
	retryFirst = 15 * time.Second
	// keeperShare is the part of the node's rate that the keeper takes, and roundCost
	// about what a round takes of it: a lookup, puts, and reading back.
	keeperShare = 0.2
	roundCost   = 45
	// keeperRounds are under way at once.
	keeperRounds = 4
	// roundTimeout bounds one.
	roundTimeout = 2 * time.Minute
)

// kept is one item.
type kept struct {
	item  Item
	told  func(TendReport, error)
	due   mono.Time
	put   mono.Time // when all nodes were told last; 0: not yet
	tries int       // in vain
	index int       // in the queue; -1: not there
	calls sync.Mutex
	over  bool // guarded by calls
}

// NewKeeper starts a keeper without items. A node needs no more than one.
func NewKeeper(d *DHT) *Keeper {
	k := &Keeper{d: d, poke: make(chan struct{}, 1), items: make(map[id.ID]*kept), slots: keeperRounds}
	d.spawn(k.run)
	return k
}

// Keep has a signed item kept alive from now on. just says that it was put a moment
// ago; otherwise it is put at once. told hears of every round; it may be nil, and is never
// called after the function that ends the keeping has returned, nor may it call
// that. An item of the same target takes the place of the one before.
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

// Len is the number of items.
func (k *Keeper) Len() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.items)
}

// spacing is the time between the beginnings of two rounds.
func (k *Keeper) spacing() time.Duration {
	return time.Duration(roundCost / (keeperShare * k.d.cfg.Rate) * float64(time.Second))
}

// wait is the time until an item is looked after again: with some chance in it, so
// that items which were begun together do not stay so.
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

// step begins the round that is due, and tells how long there is none.
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

// round looks after one item.
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
