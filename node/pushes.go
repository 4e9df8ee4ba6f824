package node

import (
	"slices"
	"sync"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/rate"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// A torrent can be a version of publications (BEP 46). Their clients, such as node/publish and
// node/follow, subscribe to the items, and say which torrents are versions. A new item is then sent to
// the peers of these torrents, and what the peers send is passed to the clients, once it is
// checked. docs/push.md specifies the messages and their limits.

// The signatures of pushed items that the node checks a second, after a burst. Each takes about 0.1 ms. A
// peer that sends a forged one is banned, so only an attack from many addresses reaches the limit. One
// publication takes at most half of them, or its publisher could hold up the others. Items above the limits are
// dropped, and found by the next lookup.
const (
	itemChecks      = 100
	itemChecksBurst = 400
)

// pushes holds the publications to which torrents of the node belong.
type pushes struct {
	n *Node

	mu     sync.Mutex
	items  map[id.ID]*pushedItem         // by target
	of     map[id.ID][]*ItemSubscription // by the infohashes of their torrents
	checks rate.Bucket
}

// pushedItem is the newest known item of a publication, and who wants to know of newer ones.
type pushedItem struct {
	key    [32]byte
	salt   string
	newest *wire.ItemMsg // nil if none is known; not modified
	checks rate.Bucket
	subs   []*ItemSubscription
}

// ItemSubscription is a client's interest in the items of one key and salt. Its methods are safe for
// concurrent use.
type ItemSubscription struct {
	pushes   *pushes
	target   id.ID
	found    func(dht.Item)
	torrents []id.ID // guarded by pushes.mu
}

func (p *pushes) init(n *Node) {
	p.n, p.items, p.of = n, map[id.ID]*pushedItem{}, map[id.ID][]*ItemSubscription{}
	p.checks = rate.NewBucket(n.now(), itemChecks, itemChecksBurst)
}

// Subscribe returns a subscription to the items of a key and a salt. found is called with each item that a peer or
// another client of the node pushes, if its signature is valid and it is newer than all before. It is
// called with an item of a known number, too, if the value is another one. found must return soon, and may still be
// called while Close runs.
func (i *Items) Subscribe(key [32]byte, salt []byte, found func(dht.Item)) *ItemSubscription {
	p := i.pushes
	s := &ItemSubscription{pushes: p, target: dht.ItemTarget(key, salt), found: found}
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.items[s.target]
	if x == nil {
		x = &pushedItem{key: key, salt: string(salt), checks: rate.NewBucket(p.n.now(), itemChecks/2, itemChecksBurst/2)}
		p.items[s.target] = x
	}
	x.subs = append(x.subs, s)
	return s
}

// SetTorrents sets which torrents are versions of the publication, by an infohash. They need not have been added to
// the node yet. A client calls it before it adds the torrent of a new version, and with the old one
// for as long as that has peers.
func (s *ItemSubscription) SetTorrents(infohashes ...id.ID) {
	p := s.pushes
	p.mu.Lock()
	changed := slices.Concat(s.torrents, infohashes)
	p.setTorrents(s, slices.Clone(infohashes))
	p.mu.Unlock()
	p.refresh(changed)
}

// Push sends an item that is signed by the key to the connected peers of the torrents, unless it is
// older than the newest one. It does not wait until it is sent.
func (s *ItemSubscription) Push(item dht.Item) {
	if item.Target() == s.target {
		s.pushes.accept(s.target, messageOf(&item), s)
	}
}

// Peers returns the number of connected peers of the torrents to which items are pushed.
func (s *ItemSubscription) Peers() int {
	p := s.pushes
	p.mu.Lock()
	torrents := s.torrents
	p.mu.Unlock()
	ids := map[id.ID]struct{}{}
	for _, infohash := range torrents {
		t := p.n.lookup(infohash)
		if t == nil {
			continue
		}
		if r := t.run.Load(); r != nil {
			for _, peer := range r.swarm.ItemPeers() {
				ids[peer] = struct{}{}
			}
		}
	}
	return len(ids)
}

// Close ends the subscription.
func (s *ItemSubscription) Close() {
	p := s.pushes
	p.mu.Lock()
	torrents := s.torrents
	p.setTorrents(s, nil)
	if x := p.items[s.target]; x != nil {
		x.subs = slices.DeleteFunc(x.subs, func(o *ItemSubscription) bool { return o == s })
		if len(x.subs) == 0 {
			delete(p.items, s.target)
		}
	}
	p.mu.Unlock()
	p.refresh(torrents)
}

// setTorrents sets the torrents of a subscription. mu is held.
func (p *pushes) setTorrents(s *ItemSubscription, infohashes []id.ID) {
	for _, h := range s.torrents {
		p.of[h] = slices.DeleteFunc(p.of[h], func(o *ItemSubscription) bool { return o == s })
		if len(p.of[h]) == 0 {
			delete(p.of, h)
		}
	}
	s.torrents = infohashes
	for _, h := range infohashes {
		p.of[h] = append(p.of[h], s)
	}
}

// refresh passes the publications of torrents to their swarms.
func (p *pushes) refresh(infohashes []id.ID) {
	for _, infohash := range infohashes {
		if t := p.n.lookup(infohash); t != nil {
			if r := t.run.Load(); r != nil {
				p.pass(r)
			}
		}
	}
}

// pass passes the publications of a torrent to its swarm.
func (p *pushes) pass(r *run) {
	r.swarm.SetPublications(func() []engine.Publication { return p.publications(r.t.infohashes()) })
}

// isVersion reports whether a torrent with these infohashes is a version of a publication.
func (p *pushes) isVersion(infohashes []id.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(infohashes, func(h id.ID) bool { return p.of[h] != nil })
}

// publications returns the publications of which a torrent with these infohashes is a version, the longest
// known first.
func (p *pushes) publications(infohashes []id.ID) (list []engine.Publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var seen []*pushedItem
	for _, h := range infohashes {
		for _, s := range p.of[h] {
			x := p.items[s.target]
			if !slices.Contains(seen, x) {
				seen = append(seen, x)
				list = append(list, engine.Publication{Key: x.key, Salt: x.salt, Item: x.newest})
			}
		}
	}
	return list
}

// received handles an item that a peer has sent. The loop of the swarm calls it.
func (p *pushes) received(r *run, e *swarm.Event) {
	target := dht.ItemTarget(e.Item.Key, e.Item.Salt)
	if !p.admit(target, e.Item) {
		return
	}
	if item := itemOf(e.Item); !item.IsSigned() {
		r.swarm.RejectItem(e.Conn)
		return
	}
	p.accept(target, e.Item, nil)
}

// admit reports whether the signature of an item is to be checked.
func (p *pushes) admit(target id.ID, m *wire.ItemMsg) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.items[target]
	if x == nil {
		return false
	}
	if x.newest != nil && (m.Seq < x.newest.Seq || m.IsSameVersion(x.newest)) {
		return false // another peer was faster
	}
	if now := p.n.now(); !x.checks.Take(now, 1) || !p.checks.Take(now, 1) {
		p.n.counters.itemsDropped.Add(1)
		return false
	}
	return true
}

// accept passes on an item with a valid signature: to the peers if it is newer than all before, and to the clients
// but from. An item of a known number with another value goes to the clients only.
func (p *pushes) accept(target id.ID, m *wire.ItemMsg, from *ItemSubscription) {
	p.mu.Lock()
	x := p.items[target]
	if x == nil || x.newest != nil && (m.Seq < x.newest.Seq || m.IsSameVersion(x.newest)) {
		p.mu.Unlock()
		return
	}
	isNewer := x.newest == nil || m.Seq > x.newest.Seq
	if isNewer {
		x.newest = m
	}
	var torrents []id.ID
	for _, s := range x.subs {
		torrents = append(torrents, s.torrents...)
	}
	subs := slices.Clone(x.subs)
	p.mu.Unlock()
	if isNewer {
		p.refresh(torrents)
	}
	for _, s := range subs {
		if s != from {
			s.found(itemOf(m))
		}
	}
}

func messageOf(i *dht.Item) *wire.ItemMsg {
	m := wire.ItemMsg{Key: i.Key, Salt: i.Salt, Seq: i.Seq, Sig: i.Sig, Value: i.Value}
	return m.Clone()
}

func itemOf(m *wire.ItemMsg) dht.Item {
	return dht.Item{Mutable: true, Key: m.Key, Salt: m.Salt, Seq: m.Seq, Sig: m.Sig, Value: m.Value}
}
