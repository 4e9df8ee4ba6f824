package node

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/swarm/engine"
)

// A discovery asks the DHT for the peers of one infohash of a torrent. The node's announcer
// keeps the torrent announced, and each announce also finds peers. A torrent that needs more
// peers starts its own lookups. The first of these also announces, because its replies hold
// the tokens that an announce needs.
//
// While the torrent runs, one goroutine of the run owns the discovery, otherwise the worker.
type discovery struct {
	t         *Torrent
	hash      id.ID
	want      chan struct{} // the swarm has too few candidates; holds one
	completed chan struct{} // Torrent.whole has changed; holds one
	pace      pace
	leave     func() // stops announcing; nil: not started
	busy      bool   // a lookup is running
	over      chan outcome
}

// newDiscovery returns a discovery for one more infohash, or nil without a DHT.
func (t *Torrent) newDiscovery(hash id.ID) *discovery {
	if t.node.dht == nil {
		return nil
	}
	return &discovery{t: t, hash: hash, over: make(chan outcome, 1), want: make(chan struct{}, 1), completed: make(chan struct{}, 1)}
}

// keep asks the DHT for peers as often as the swarm needs them, and keeps the torrent
// announced.
func (d *discovery) keep(r *run) {
	if d.t.whole.Load() && d.leave == nil && r.lookups.Err() == nil {
		d.announce(dht.AnnounceStats{})
	}
	d.loop(r)
	if d.busy {
		<-d.over
		d.busy = false
	}
	if d.t.private.Load() {
		d.stop()
	}
}

// stop stops announcing.
func (d *discovery) stop() {
	if d.leave != nil {
		d.leave()
		d.leave = nil
	}
}

func (d *discovery) loop(r *run) {
	t := d.t
	ready := t.node.dht.Ready()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.lookups.Done():
			return
		case <-d.want:
			d.pace.lacking(t.node.now())
		case <-d.completed:
			if d.leave != nil {
				d.announce(dht.AnnounceStats{})
			}
		case <-ready:
			ready = nil
			d.pace.joined(t.node.now())
		case o := <-d.over:
			d.busy = false
			d.pace.done(t.node.now(), o)
			if d.leave == nil {
				d.announce(o.announced)
			}
		case <-timer.C:
			d.ask(r)
		}
		r.nextLookup.Store(int64(d.pace.next))
		if !d.busy {
			timer.Reset(max(d.pace.next.Sub(t.node.now()), 0))
		}
	}
}

// ask starts a lookup if one is due and the torrent needs it.
func (d *discovery) ask(r *run) {
	now := d.t.node.now()
	switch {
	case d.busy || r.lookups.Err() != nil || now < d.pace.next:
	case d.t.whole.Load():
		d.pace.next = now.Add(paceAnnounce)
	default:
		d.busy, d.pace.began = true, now
		first := d.leave == nil
		r.wg.Go(func() { d.over <- d.lookUp(r, first) })
	}
}

// announce keeps the torrent announced from now on. told is the result of a lookup that
// has already announced it.
func (d *discovery) announce(told dht.AnnounceStats) {
	t := d.t
	d.leave = t.node.announcer.Add(d.hash, dht.Announcement{
		Port: t.node.net.Port(), Seed: t.whole.Load(),
		Told4: told.Accepted > told.Accepted6, Told6: told.Accepted6 > 0,
		Found: func(from netip.AddrPort, peers []netip.AddrPort) { t.foundPeers(from, peers) },
		Done:  t.accepted,
	})
}

// tellSeeds updates whether the torrent is announced as a seed: the DHT counts seeds (BEP 33).
func (t *Torrent) tellSeeds() {
	for _, d := range t.allDiscoveries() {
		nudge(d.completed)
	}
}

// announceParked keeps a parked torrent announced.
func (t *Torrent) announceParked() {
	if t.private.Load() {
		return
	}
	for _, d := range t.allDiscoveries() {
		if d.leave == nil {
			d.announce(dht.AnnounceStats{})
		}
	}
}

// allDiscoveries returns the discoveries of the torrent, one for each infohash.
func (t *Torrent) allDiscoveries() []*discovery {
	t.node.mu.Lock()
	defer t.node.mu.Unlock()
	return t.discoveries[:len(t.discoveries):len(t.discoveries)]
}

// nudge fills a channel of capacity one without blocking.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// foundPeers passes the swarm peers that a DHT node returned. A parked torrent wakes for
// them, because they may be unable to connect to us. It returns how many are new.
func (t *Torrent) foundPeers(from netip.AddrPort, peers []netip.AddrPort) (fresh int) {
	if t.private.Load() || t.isStopping() {
		return 0
	}
	r := t.run.Load()
	if r != nil {
		r.tellOwn()
	}
	if peers = t.node.excludeSelf(peers); len(peers) == 0 {
		return 0
	}
	if r == nil {
		t.wakeFor(from, peers)
		return 0
	}
	by := from.Addr()
	if !by.IsValid() { // announced to this node: all such peers count as one source
		by = netip.IPv4Unspecified()
	}
	cs := make([]engine.Candidate, len(peers))
	for i, a := range peers {
		cs[i] = engine.Candidate{Addr: a, Source: engine.FromDHT, From: by}
		if known, _ := r.seen.ContainsOrAdd(a, struct{}{}); !known {
			fresh++
		}
	}
	r.swarm.AddCandidates(cs)
	return fresh
}

// own returns our IPv4 and IPv6 address: the one that most DHT nodes and peers report,
// otherwise the one that we listen on. An unknown address is the zero Addr.
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

// excludeSelf returns the peers without our own addresses, as far as they are known: the DHT
// also returns our own announce. If we listen on all addresses, those of the machine's
// interfaces are excluded too.
func (n *Node) excludeSelf(peers []netip.AddrPort) []netip.AddrPort {
	if len(peers) == 0 {
		return nil
	}
	s := n.dht.Stats()
	own := []netip.Addr{s.V4.External, s.V6.External}
	isAll := false
	for _, a := range n.net.Addrs() {
		own = append(own, a.Addr())
		isAll = isAll || a.Addr().IsUnspecified()
	}
	port := n.net.Port()
	if isAll && n.cfg.Network == nil && slices.ContainsFunc(peers, func(a netip.AddrPort) bool { return a.Port() == port }) {
		own = append(own, interfaceAddrs()...)
	}
	return slices.DeleteFunc(slices.Clone(peers), func(a netip.AddrPort) bool {
		return a.Port() == port && slices.Contains(own, a.Addr())
	})
}

// interfaceAddrs returns the addresses of this machine.
func interfaceAddrs() (list []netip.Addr) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p.Addr().Unmap())
		}
	}
	return list
}

// lookUp runs one lookup. With announce, it also announces us to the closest nodes.
// Peers go to the swarm as they are found.
func (d *discovery) lookUp(r *run, announce bool) (o outcome) {
	t := d.t
	r.lookingUp.Add(1)
	defer r.lookingUp.Add(-1)
	found := func(from netip.AddrPort, peers []netip.AddrPort) {
		// Once we are announced, the DHT returns our own address, which does not count.
		others := t.node.excludeSelf(peers)
		o.found += len(others)
		o.fresh += t.foundPeers(from, others)
	}
	var err error
	if announce {
		o.announced, err = t.node.dht.Announce(r.lookups, d.hash, t.node.net.Port(), t.whole.Load(), found)
		t.accepted(o.announced.Accepted)
	} else {
		o.announced.LookupStats, err = t.node.dht.Lookup(r.lookups, d.hash, found)
	}
	if err != nil && r.lookups.Err() == nil {
		t.node.log.Debug("a DHT lookup failed", "torrent", t.Name(), "err", err)
	}
	t.node.log.Debug("DHT lookup done", "torrent", t.Name(), "peers", o.found, "asked", o.announced.Asked, "announced to", o.announced.Accepted)
	return o
}
