package follow

import (
	"context"
	"slices"
	"sync"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/node"
)

// pushes is what a follower exchanges with peers: the items of the keys that publish, of which there can be
// several (delegation.go). Items that come in while the goroutine of the follower is busy wait in the queue.
type pushes struct {
	arrived chan struct{} // has a buffer of one
	queue   *node.ItemQueue

	mu     sync.Mutex
	subs   map[id.ID32]*node.ItemSubscription // by key; only the goroutine of the follower changes it
	pushed map[id.ID32]bool                   // whether a peer has pushed the item in the queue; else the dht.Keeper found it

	// Of the goroutine of the follower:
	last dht.Item // that a peer has pushed and that counts
}

func newPushes() pushes {
	arrived := make(chan struct{}, 1)
	queue := node.NewItemQueue(func() {
		select {
		case arrived <- struct{}{}:
		default:
		}
	})
	return pushes{arrived: arrived, queue: queue, subs: map[id.ID32]*node.ItemSubscription{}, pushed: map[id.ID32]bool{}}
}

// put adds an item whose signature is valid, unless a newer one of its key waits.
func (p *pushes) put(item dht.Item, isPushed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queue.Put(item) {
		p.pushed[item.Key] = isPushed
	}
}

// take returns the items that may count now, and which of them peers have pushed, and removes them.
func (p *pushes) take() (items map[id.ID32]dht.Item, pushed map[id.ID32]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if items = p.queue.Take(); items != nil {
		pushed, p.pushed = p.pushed, map[id.ID32]bool{}
	}
	return items, pushed
}

// takeArrivals lets the items that have come in count. It reports whether there are any that may count now.
func (f *Follower) takeArrivals() bool {
	items, pushed := f.pushes.take()
	for _, key := range f.judge.Keys() { // the master first
		item, ok := items[key]
		if !ok {
			continue
		}
		if pushed[key] {
			f.pushes.last = item
		}
		f.consider(item)
	}
	return items != nil
}

// wasPushed reports whether a peer has pushed an item.
func (f *Follower) wasPushed(item *dht.Item) bool {
	return item.Key == f.pushes.last.Key && item.Seq == f.pushes.last.Seq
}

// arrive handles an item that a peer has pushed. A poll, which can take a minute, ends for it.
func (f *Follower) arrive(item dht.Item) {
	f.pushes.put(item, true)
	if cancel := f.cancelPoll.Load(); cancel != nil && f.pushes.queue.IsReady() {
		(*cancel)()
	}
}

// cancelOnMove cancels a poll when the network changes: over a path that is gone it would only wait.
func (f *Follower) cancelOnMove(poll context.Context, cancel context.CancelFunc) {
	moved := f.node.NextMove()
	go func() {
		select {
		case <-moved:
			cancel()
		case <-poll.Done():
		}
	}()
}

// subscribe makes the subscriptions those to the items of the keys that publish.
func (f *Follower) subscribe() {
	p, keys := &f.pushes, f.judge.Keys()
	var fresh []id.ID32
	p.mu.Lock()
	for key, s := range p.subs {
		if !slices.Contains(keys, key) {
			s.Close()
			delete(p.subs, key)
		}
	}
	for _, key := range keys {
		if p.subs[key] == nil {
			p.subs[key] = f.items.Subscribe(key, f.cfg.Link.Salt, f.arrive)
			fresh = append(fresh, key)
		}
	}
	p.mu.Unlock()
	if len(fresh) == 0 {
		return
	}
	f.setTorrents()
	for _, key := range fresh {
		if i, ok := f.judge.Item(key); ok {
			f.push(node.ItemOf(f.cfg.Link, i))
		}
	}
}

// unsubscribe ends all subscriptions.
func (f *Follower) unsubscribe() {
	p := &f.pushes
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.subs {
		s.Close()
	}
	clear(p.subs)
}

// push sends an item that counts to the peers that lack it.
func (f *Follower) push(item dht.Item) {
	if s := f.pushes.subs[item.Key]; s != nil {
		s.Push(item)
	}
}

// setTorrents tells the node which torrents are versions of the publication, so that new items are exchanged
// with their peers: the current one, the one that is being downloaded, and those in also.
func (f *Follower) setTorrents(also ...id.ID) {
	list := also
	if infohash, err := id.ParseHex(f.folder.file.shown().InfoHash); err == nil {
		list = append(list, infohash)
	}
	if f.fetching != nil {
		list = append(list, f.fetching.ih)
	}
	for _, s := range f.pushes.subs {
		s.SetTorrents(list...)
	}
}

// Connected returns the number of connected peers to which new versions are pushed: other followers, and the
// publisher.
func (f *Follower) Connected() int {
	f.pushes.mu.Lock()
	list := make([]*node.ItemSubscription, 0, len(f.pushes.subs))
	for _, s := range f.pushes.subs {
		list = append(list, s)
	}
	f.pushes.mu.Unlock()
	most := 0
	for _, s := range list { // all have the same torrents
		most = max(most, s.Peers())
	}
	return most
}
