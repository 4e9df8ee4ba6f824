package follow

import (
	"context"
	"slices"
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/node"
)

// Pushed items start at most startBurst downloads at once, and then startRate a second. In between, only the newest item
// of each key is kept. Otherwise a publisher could make its followers flood the DHT with lookups and announces.
const (
	startRate  = 0.5
	startBurst = 5
)

// pushes is what a follower exchanges with peers: the items of the keys that publish, of which there can be
// several (delegation.go). Items that come in while the goroutine of the follower is busy wait here.
type pushes struct {
	arrived chan struct{} // has a buffer of one

	mu      sync.Mutex
	subs    map[id.ID32]*node.ItemSubscription // by key; only the goroutine of the follower changes it
	waiting map[id.ID32]arrival                // the newest item of each key
	isHeld  bool                               // they wait until startRate permits them
	began   time.Time                          // of the times of pace
	pace    rate.Bucket
	timer   *time.Timer // ends isHeld; nil before it is needed

	// Of the goroutine of the follower:
	last dht.Item // that a peer has pushed and that counts
}

// arrival is an item whose signature is valid.
type arrival struct {
	dht.Item
	isPushed bool // by a peer; otherwise the dht.Keeper found it
}

func newPushes() pushes {
	return pushes{arrived: make(chan struct{}, 1), subs: map[id.ID32]*node.ItemSubscription{}, waiting: map[id.ID32]arrival{},
		began: time.Now(), pace: rate.NewBucket(0, startRate, startBurst)}
}

// put adds an item, unless a newer one of its key waits.
func (p *pushes) put(item dht.Item, isPushed bool) {
	p.mu.Lock()
	if old, ok := p.waiting[item.Key]; !ok || item.Seq > old.Seq {
		p.waiting[item.Key] = arrival{item, isPushed}
	}
	p.mu.Unlock()
	p.signal()
}

func (p *pushes) signal() {
	select {
	case p.arrived <- struct{}{}:
	default:
	}
}

// mayTake reports whether items wait that may count now. If they may count only later, arrived says when.
func (p *pushes) mayTake() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 || p.isHeld {
		return false
	}
	now := mono.From(p.began, time.Now())
	if p.pace.Take(now, 1) {
		return true
	}
	p.isHeld = true
	if wait := p.pace.Wait(now, 1); p.timer == nil {
		p.timer = time.AfterFunc(wait, p.release)
	} else {
		p.timer.Reset(wait)
	}
	return false
}

// release ends isHeld.
func (p *pushes) release() {
	p.mu.Lock()
	p.isHeld = false
	p.mu.Unlock()
	p.signal()
}

// take returns the items that wait, and removes them.
func (p *pushes) take() map[id.ID32]arrival {
	p.mu.Lock()
	defer p.mu.Unlock()
	items := p.waiting
	p.waiting = map[id.ID32]arrival{}
	return items
}

// isReady reports whether an item waits for the goroutine of the follower only.
func (p *pushes) isReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting) > 0 && !p.isHeld
}

// takeArrivals lets the items that have come in count.
func (f *Follower) takeArrivals() {
	items := f.pushes.take()
	for _, key := range f.judge.Keys() { // the master first
		a, ok := items[key]
		if !ok {
			continue
		}
		if a.isPushed {
			f.pushes.last = a.Item
		}
		f.consider(a.Item)
	}
}

// wasPushed reports whether a peer has pushed an item.
func (f *Follower) wasPushed(item *dht.Item) bool {
	return item.Key == f.pushes.last.Key && item.Seq == f.pushes.last.Seq
}

// arrive handles an item that a peer has pushed. A poll, which can take a minute, ends for it.
func (f *Follower) arrive(item dht.Item) {
	f.pushes.put(item, true)
	if cancel := f.cancelPoll.Load(); cancel != nil && f.pushes.isReady() {
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
	if p.timer != nil {
		p.timer.Stop()
	}
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
