package node

import (
	"net/netip"
	"slices"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/swarm"
	"seedbed/swarm/engine"
)

// looking is what one goroutine of a torrent does with the DHT. The announcer of
// the node keeps the torrent announced, and brings peers each time; whoever lacks
// more has lookups of his own, the first of which announces too: its replies are
// all that an announce needs.
type looking struct {
	t      *Torrent
	hash   id.ID
	want   chan struct{} // the swarm lacks candidates; holds one
	turned chan struct{} // whole has changed; holds one
	pace   pace
	leave  func() // ends the announcing; nil: it has not begun
	busy   bool   // a lookup is under way
	over   chan outcome
}

// keep asks the DHT for peers, at the pace that the swarm's need sets, and
// has the torrent announced.
func (l *looking) keep() {
	t := l.t
	if t.whole.Load() && l.leave == nil && t.lookups.Err() == nil {
		l.announce(dht.AnnounceStats{})
	}
	l.run()
	if l.busy {
		<-l.over
		l.busy = false
	}
	if t.lookups.Err() != nil {
		l.stop()
	}
}

// stop ends the announcing.
func (l *looking) stop() {
	if l.leave != nil {
		l.leave()
		l.leave = nil
	}
}

func (l *looking) run() {
	t := l.t
	ready := t.node.dht.Ready()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-t.lookups.Done():
			return
		case <-t.run.Done():
			return
		case <-l.want:
			l.pace.lacking(t.node.now())
		case <-l.turned:
			if l.leave != nil {
				l.announce(dht.AnnounceStats{})
			}
		case <-ready:
			ready = nil
			l.pace.joined(t.node.now())
		case o := <-l.over:
			l.busy = false
			l.pace.done(t.node.now(), o)
			if l.leave == nil {
				l.announce(o.announced)
			}
		case <-timer.C:
			l.ask()
		}
		t.nextAsk.Store(int64(l.pace.next))
		if !l.busy {
			timer.Reset(max(l.pace.next.Sub(t.node.now()), 0))
		}
	}
}

// ask begins a lookup, if it is time for one and the torrent needs it.
func (l *looking) ask() {
	t := l.t
	now := t.node.now()
	switch {
	case l.busy || t.lookups.Err() != nil || now < l.pace.next:
	case t.whole.Load():
		l.pace.next = now.Add(paceAnnounce)
	default:
		l.busy, l.pace.began = true, now
		first := l.leave == nil
		t.wg.Go(func() { l.over <- l.askDHT(first) })
	}
}

// announce has the torrent announced from now on; told is what a lookup that
// announced it has done already.
func (l *looking) announce(told dht.AnnounceStats) {
	t := l.t
	l.leave = t.node.announcer.Add(l.hash, dht.Announcement{
		Port: t.node.net.Port(), Seed: t.whole.Load(),
		Told4: told.Accepted > told.Accepted6, Told6: told.Accepted6 > 0,
		Found: func(from netip.AddrPort, peers []netip.AddrPort) { t.hear(from, peers) },
		Done:  t.accepted,
	})
}

// turn says that the torrent has become whole, or is not any more: who counts
// seeds shall know it (BEP 33).
func (t *Torrent) turn() {
	t.eachLooker(func(l *looking) { nudge(l.turned) })
}

// eachLooker calls f with what asks the DHT for the torrent, of which there is one
// for each infohash.
func (t *Torrent) eachLooker(f func(*looking)) {
	t.node.mu.Lock()
	defer t.node.mu.Unlock()
	for _, l := range t.lookers {
		f(l)
	}
}

// nudge fills a channel that holds one.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// look has the DHT asked by another infohash, until the torrent stops. Node.mu is
// held.
func (t *Torrent) look(hash id.ID) {
	if t.node.dht == nil || t.ctx.Err() != nil {
		return
	}
	l := &looking{t: t, hash: hash, over: make(chan outcome, 1), want: make(chan struct{}, 1), turned: make(chan struct{}, 1)}
	t.lookers = append(t.lookers, l)
	switch {
	case t.live.Load() != nil: // the metadata has told another name
		t.wg.Go(l.keep)
	case t.rest.hashes.Load() != nil && t.lookups.Err() == nil: // parked
		l.announce(dht.AnnounceStats{})
	}
}

// hear takes peers that a DHT node named. It returns how many are new.
func (t *Torrent) hear(from netip.AddrPort, peers []netip.AddrPort) (fresh int) {
	if t.lookups.Err() != nil {
		return 0
	}
	s, seen := t.live.Load(), t.seen.Load()
	if s == nil || seen == nil {
		if peers = t.node.others(peers); len(peers) > 0 { // they may not be able to reach us
			go t.wakeFor(from, peers)
		}
		return 0
	}
	by := from.Addr()
	if !by.IsValid() { // announced to ourselves: one source like others
		by = netip.IPv4Unspecified()
	}
	t.tellOwn(s)
	cs := make([]engine.Candidate, len(peers))
	for i, a := range peers {
		cs[i] = engine.Candidate{Addr: a, Source: engine.FromDHT, From: by}
		if known, _ := seen.ContainsOrAdd(a, struct{}{}); !known {
			fresh++
		}
	}
	s.AddCandidates(cs)
	return fresh
}

// own are our addresses of IPv4 and IPv6: as the DHT's nodes and peers see us, by vote, or
// else the one that we listen on. An address that is not known is the zero Addr.
func (n *Node) own() (own [2]netip.Addr) {
	for _, a := range n.net.Addrs() {
		if ip := a.Addr().Unmap(); !ip.IsUnspecified() {
			own[family(ip)] = ip
		}
	}
	if n.dht != nil {
		for f, v6 := range []bool{false, true} {
			if ip := n.dht.External(v6); ip.IsValid() {
				own[f] = ip
			}
		}
	}
	return own
}

func family(ip netip.Addr) int {
	if ip.Is6() {
		return 1
	}
	return 0
}

// ownTold is what a swarm was told of our addresses.
type ownTold struct {
	s     *swarm.Torrent
	addrs [2]netip.Addr
}

// tellOwn tells s our own addresses, which the DHT and other peers name too, so that it
// does not dial them.
func (t *Torrent) tellOwn(s *swarm.Torrent) {
	now := ownTold{s, t.node.own()}
	if last := t.ownTold.Swap(&now); last != nil && *last == now {
		return
	}
	for _, ip := range now.addrs {
		if ip.IsValid() {
			s.SetExternal(ip)
		}
	}
}

// others are those peers that are not ourselves, as far as is known: the DHT tells
// of everybody who announced.
func (n *Node) others(peers []netip.AddrPort) []netip.AddrPort {
	if len(peers) == 0 {
		return nil
	}
	s := n.dht.Stats()
	own := []netip.Addr{s.V4.External, s.V6.External}
	for _, a := range n.net.Addrs() {
		own = append(own, a.Addr())
	}
	port := n.net.Port()
	return slices.DeleteFunc(slices.Clone(peers), func(a netip.AddrPort) bool {
		return a.Port() == port && slices.Contains(own, a.Addr())
	})
}

// wakeFor wakes a parked torrent for peers that the DHT has told of.
func (t *Torrent) wakeFor(from netip.AddrPort, peers []netip.AddrPort) {
	if s := t.wake(); s != nil {
		t.hear(from, peers)
	}
}

// accepted takes note of an announce that so many nodes took.
func (t *Torrent) accepted(nodes int) {
	if nodes > 0 {
		t.annOnce.Do(func() { close(t.announced) })
	}
}

// askDHT runs one lookup, and with announce tells the nodes that it ends at that
// we are a peer. Peers go to the swarm as they are found.
func (l *looking) askDHT(announce bool) (o outcome) {
	t := l.t
	t.looking.Store(true)
	defer t.looking.Store(false)
	found := func(from netip.AddrPort, peers []netip.AddrPort) { o.fresh += t.hear(from, peers) }
	var err error
	if announce {
		o.announced, err = t.node.dht.Announce(t.lookups, l.hash, t.node.net.Port(), t.whole.Load(), found)
		t.accepted(o.announced.Accepted)
	} else {
		o.announced.LookupStats, err = t.node.dht.Lookup(t.lookups, l.hash, found)
	}
	if err != nil && t.lookups.Err() == nil {
		t.node.log.Debug("a DHT lookup failed", "torrent", t.Name(), "err", err)
	}
	o.found = o.announced.Peers
	t.node.log.Debug("DHT lookup done", "torrent", t.Name(), "peers", o.found, "asked", o.announced.Asked, "announced to", o.announced.Accepted)
	return o
}
