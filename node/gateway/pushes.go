package gateway

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/node"
)

// Pushed items start at most startBurst lookups of a site at once, and then startRate a second. In between, only
// the newest item of each key is kept. Otherwise a publisher could make the gateway flood the DHT with announces,
// and the disk with new copies.
const (
	startRate  = 0.5
	startBurst = 5
)

// inbox has the items that peers have pushed and that no lookup has seen yet.
type inbox struct {
	arrived chan struct{} // has a buffer of one
	began   time.Time     // of the times of mail.pace

	mu    sync.Mutex
	ready map[*site]struct{} // with items that wait for deliver only
}

// mail is the part of the inbox that belongs to a site. inbox.mu guards it.
type mail struct {
	waiting map[id.ID32]dht.Item // the newest item of each key
	isHeld  bool                 // they wait until startRate permits them
	pace    rate.Bucket
}

func newInbox() inbox {
	return inbox{arrived: make(chan struct{}, 1), began: time.Now(), ready: map[*site]struct{}{}}
}

func (b *inbox) newMail() mail {
	return mail{waiting: map[id.ID32]dht.Item{}, pace: rate.NewBucket(b.now(), startRate, startBurst)}
}

func (b *inbox) now() mono.Time { return mono.From(b.began, time.Now()) }

// put adds an item whose signature is valid. It returns at once.
func (b *inbox) put(s *site, item dht.Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old, ok := s.mail.waiting[item.Key]; !ok || item.Seq > old.Seq {
		s.mail.waiting[item.Key] = item
	}
	b.signal(s)
}

// signal lets deliver take the items of a site, if they may count. mu is held.
func (b *inbox) signal(s *site) {
	if s.mail.isHeld || len(s.mail.waiting) == 0 {
		return
	}
	b.ready[s] = struct{}{}
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// take returns the items that may count now, and removes them. If others may count only later, arrived says when.
func (b *inbox) take() map[*site]map[id.ID32]dht.Item {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	items := map[*site]map[id.ID32]dht.Item{}
	for s := range b.ready {
		m := &s.mail
		if m.pace.Take(now, 1) {
			items[s], m.waiting = m.waiting, map[id.ID32]dht.Item{}
			continue
		}
		m.isHeld = true
		time.AfterFunc(m.pace.Wait(now, 1), func() { b.release(s) })
	}
	clear(b.ready)
	return items
}

// release ends mail.isHeld.
func (b *inbox) release(s *site) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s.mail.isHeld = false
	b.signal(s)
}

// deliver passes items that are pushed to the lookups of their sites, until the library ends.
func (l *Library) deliver() {
	for {
		select {
		case <-l.inbox.arrived:
		case <-l.ctx.Done():
			return
		}
		l.mu.Lock()
		for s, items := range l.inbox.take() {
			if s.isDropped {
				continue
			}
			for key, item := range items {
				if old, ok := s.arrived[key]; !ok || item.Seq > old.Seq {
					s.arrived[key] = item
				}
			}
			if s.interrupt != nil {
				s.interrupt()
			}
			if s.looking == nil && l.ctx.Err() == nil && l.lookups.take(netip.Prefix{}) {
				l.look(s, netip.Prefix{})
			}
		}
		l.mu.Unlock()
	}
}

// subscribe exchanges the items of the keys that publish s with the peers of a version that is about to be
// opened, and of the one that is served. The newest items are sent to those that lack them.
func (l *Library) subscribe(s *site, infohash id.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.isDropped {
		return
	}
	keys := s.judge.Keys()
	for key, sub := range s.subs {
		if !slices.Contains(keys, key) {
			sub.Close()
			delete(s.subs, key)
		}
	}
	torrents := []id.ID{infohash}
	if s.version != nil && s.version.InfoHash != infohash {
		torrents = append(torrents, s.version.InfoHash)
	}
	for _, key := range keys {
		sub := s.subs[key]
		if sub == nil {
			sub = l.items.Subscribe(key, s.link.Salt, func(item dht.Item) { l.inbox.put(s, item) })
			s.subs[key] = sub
		}
		sub.SetTorrents(torrents...)
		if item, ok := s.judge.Item(key); ok {
			sub.Push(node.ItemOf(s.link, item))
		}
	}
}

// unsubscribe ends the subscriptions of a site, whose name now leads to another publication.
func (l *Library) unsubscribe(s *site) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sub := range s.subs {
		sub.Close()
	}
	clear(s.subs)
}
