package gateway

import (
	"net/netip"
	"slices"
	"sync"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/node"
)

// inbox knows the sites for which peers have pushed items that no lookup has seen yet.
type inbox struct {
	arrived chan struct{} // has a buffer of one

	mu    sync.Mutex
	ready map[*site]struct{} // whose queue has something to take
}

func newInbox() inbox { return inbox{arrived: make(chan struct{}, 1), ready: map[*site]struct{}{}} }

// signal lets deliver take the items of a site.
func (b *inbox) signal(s *site) {
	b.mu.Lock()
	b.ready[s] = struct{}{}
	b.mu.Unlock()
	select {
	case b.arrived <- struct{}{}:
	default:
	}
}

// take returns the sites that have items.
func (b *inbox) take() map[*site]struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	ready := b.ready
	b.ready = map[*site]struct{}{}
	return ready
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
		for s := range l.inbox.take() {
			items := s.queue.Take()
			if items == nil || s.isDropped {
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
			sub = l.items.Subscribe(key, s.link.Salt, func(item dht.Item) { s.queue.Put(item) })
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
