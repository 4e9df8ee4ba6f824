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

// A discovery asks the DHT for the peers of one infohash of a torrent that runs. The node's
// announcer keeps the torrent announced, also while it is parked, and each announce also finds
// peers. A torrent that needs more peers starts its own lookups. The first of these also
// announces, because its replies hold the tokens that an announce needs.
//
// One goroutine of the run owns it.
type discovery struct {
	r         *run
	index     int // of the infohash: 0 for Torrent.hash, 1 for Torrent.other
	hash      id.ID
	want      chan struct{} // signals that the swarm has too few candidates; capacity 1
	completed chan struct{} // signals that Torrent.complete has changed; capacity 1
	pace      pace
	running   bool         // a lookup is running
	finished  chan outcome // the outcome of the lookup
}

// discover starts a discovery for each infohash of the torrent that has none.
func (r *run) discover() {
	if r.t.node.dht == nil {
		return
	}
	hashes := r.t.infohashes()
	r.discovering.Lock()
	defer r.discovering.Unlock()
	for i := len(r.discoveries); i < len(hashes); i++ {
		d := &discovery{r: r, index: i, hash: hashes[i], finished: make(chan outcome, 1), want: make(chan struct{}, 1), completed: make(chan struct{}, 1)}
		r.discoveries = append(r.discoveries, d)
		r.wg.Go(d.run)
	}
}

func (r *run) allDiscoveries() []*discovery {
	r.discovering.Lock()
	defer r.discovering.Unlock()
	return r.discoveries[:len(r.discoveries):len(r.discoveries)]
}

// run asks the DHT for peers as often as the swarm needs them, and keeps the torrent
// announced.
func (d *discovery) run() {
	t := d.r.t
	if t.complete.Load() && !d.isAnnounced() && d.r.lookups.Err() == nil {
		t.announce(d.index, d.hash, dht.AnnounceStats{})
	}
	d.loop()
	if d.running {
		<-d.finished
		d.running = false
	}
	if t.private.Load() {
		t.stopAnnouncing(d.index)
	}
}

func (d *discovery) isAnnounced() bool { return d.r.t.withdraw[d.index] != nil }

func (d *discovery) loop() {
	r, t := d.r, d.r.t
	ready, moved := t.node.dht.Ready(), t.node.paths.next()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-r.lookups.Done():
			return
		case <-d.want:
			d.pace.lacking(t.node.now())
		case <-d.completed:
			if d.isAnnounced() {
				t.announce(d.index, d.hash, dht.AnnounceStats{})
			}
		case <-ready:
			ready = nil
			d.pace.joined(t.node.now())
		case <-moved:
			moved = t.node.paths.next()
			d.pace.joined(t.node.now())
		case o := <-d.finished:
			d.running = false
			d.pace.done(t.node.now(), o)
			if !d.isAnnounced() && t.node.net.Port() != 0 { // nobody could connect to port 0
				t.announce(d.index, d.hash, o.announced)
			}
		case <-timer.C:
			d.ask()
		}
		r.nextLookup.Store(int64(d.pace.next))
		if !d.running {
			timer.Reset(max(d.pace.next.Sub(t.node.now()), 0))
		}
	}
}

// ask starts a lookup if one is due and the torrent needs it.
func (d *discovery) ask() {
	r := d.r
	now := r.t.node.now()
	switch {
	case d.running || r.lookups.Err() != nil || now < d.pace.next:
	case r.t.complete.Load() && r.t.node.net.Port() != 0:
		d.pace.next = now.Add(paceAnnounce)
	default:
		d.running, d.pace.began = true, now
		first := !d.isAnnounced() && r.t.isOwned()
		r.wg.Go(func() { d.finished <- d.lookUp(first) })
	}
}

// announce keeps an infohash of the torrent announced from now on. done is the result of a
// lookup that has already announced it. While the torrent runs, its discovery calls
// announce and stopAnnouncing, otherwise the worker does.
func (t *Torrent) announce(index int, hash id.ID, done dht.AnnounceStats) {
	ports := t.node.ports()
	t.withdraw[index] = t.node.announcer.Add(hash, dht.Announcement{
		Ports: ports, Seed: t.isSeed(), Key: t.ownedKey(),
		JustAnnounced4: done.Accepted > done.Accepted6, JustAnnounced6: done.Accepted6 > 0,
		Found: func(from netip.AddrPort, peers []netip.AddrPort) { t.foundPeers(from, peers) },
		Done:  t.accepted,
	})
	if t.node.ports() != ports { // they changed in the meantime
		t.node.announcer.SetPorts(t.node.ports())
	}
}

// stopAnnouncing withdraws the announcement that announce has added, if any.
func (t *Torrent) stopAnnouncing(index int) {
	if stop := t.withdraw[index]; stop != nil {
		stop()
		t.withdraw[index] = nil
	}
}

// isSeed reports whether the torrent is announced as a seed (BEP 33). An Archive that has only the metadata, or
// some of the files, is not: nobody can get the whole content from it.
func (t *Torrent) isSeed() bool {
	return t.complete.Load() && !(t.isArchive() && t.spec().Select != nil)
}

// updateSeedFlag updates whether a running torrent is announced as a seed, because the DHT
// counts seeds (BEP 33).
func (t *Torrent) updateSeedFlag() {
	if r := t.run.Load(); r != nil {
		for _, d := range r.allDiscoveries() {
			nudge(d.completed)
		}
	}
}

// announceParked keeps a parked torrent announced.
func (t *Torrent) announceParked() {
	t.node.wakeLSD()
	if t.node.dht == nil || t.private.Load() {
		return
	}
	for i, hash := range t.infohashes() {
		if t.withdraw[i] == nil {
			t.announce(i, hash, dht.AnnounceStats{})
		}
	}
}

// nudge sends on a channel of capacity 1 without blocking.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// foundPeers passes peers that a DHT node returned to the swarm. It returns the number of new
// ones.
func (t *Torrent) foundPeers(from netip.AddrPort, peers []netip.AddrPort) (fresh int) {
	if r := t.run.Load(); r != nil {
		r.passOwnAddrs()
	}
	if peers = t.excludeRedundant(peers); len(peers) == 0 {
		return 0
	}
	return t.addCandidates(candidatesFrom(from, peers))
}

// addCandidates passes peers that the DHT or local discovery has found to the swarm. A parked
// torrent wakes for them, because they may be unable to connect to us. It returns how many are
// new in this run.
func (t *Torrent) addCandidates(found []engine.Candidate) (fresh int) {
	if t.private.Load() || t.isStopping() {
		return 0
	}
	r := t.run.Load()
	if r == nil {
		t.wakeFor(found)
		return 0
	}
	for _, c := range found {
		if known, _ := r.seen.ContainsOrAdd(c.Addr, struct{}{}); !known {
			fresh++
		}
	}
	r.swarm.AddCandidates(found)
	return fresh
}

// candidatesFrom returns the candidates for peers that a DHT node returned.
func candidatesFrom(from netip.AddrPort, peers []netip.AddrPort) []engine.Candidate {
	by := from.Addr()
	if !by.IsValid() { // announced to this node: all such peers count as one source
		by = netip.IPv4Unspecified()
	}
	cs := make([]engine.Candidate, len(peers))
	for i, a := range peers {
		cs[i] = engine.Candidate{Addr: a, Source: engine.FromDHT, From: by}
	}
	return cs
}

// own returns our IPv4 and IPv6 address: the address that most DHT nodes and peers report,
// or else
// what a router says, or else the one that we listen on. An unknown address is the zero Addr.
func (n *Node) own() (own [2]netip.Addr) {
	for _, a := range n.net.Addrs() {
		if ip := a.Addr().Unmap(); !ip.IsUnspecified() {
			own[family(ip)] = ip
		}
	}
	for f, ip := range n.mappedAddrs() {
		if ip.IsValid() {
			own[f] = ip
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

// isOwn reports whether an address is ours, as far as that is known.
func (n *Node) isOwn(ip netip.Addr) bool {
	own := n.own()
	return slices.Contains(own[:], ip)
}

func family(ip netip.Addr) int { return familyIndex(ip.Is6()) }

// familyIndex is the index of a family in arrays by family: IPv4 first.
func familyIndex(v6 bool) int {
	if v6 {
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
	var own []netip.Addr
	if n.dht != nil {
		s := n.dht.Stats()
		own = append(own, s.V4.External, s.V6.External)
	}
	isAll := false
	for _, a := range n.net.Addrs() {
		own = append(own, a.Addr())
		isAll = isAll || a.Addr().IsUnspecified()
	}
	mapped := n.mappedAddrs()
	own = append(own, mapped[:]...)
	port, ports := n.net.Port(), n.ports()
	if isAll && n.cfg.Network == nil && slices.ContainsFunc(peers, func(a netip.AddrPort) bool { return a.Port() == port }) {
		own = append(own, interfaceAddrs()...)
	}
	return slices.DeleteFunc(slices.Clone(peers), func(a netip.AddrPort) bool {
		return (a.Port() == port || a.Port() == ports.Of(a.Addr().Is6())) && slices.Contains(own, a.Addr())
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
func (d *discovery) lookUp(announce bool) (o outcome) {
	r, t := d.r, d.r.t
	r.lookingUp.Add(1)
	defer r.lookingUp.Add(-1)
	found := func(from netip.AddrPort, peers []netip.AddrPort) {
		// Once we are announced, the DHT returns our own address, which does not count.
		others := t.excludeRedundant(peers)
		o.found += len(others)
		o.fresh += t.foundPeers(from, others)
	}
	var err error
	if announce {
		o.announced, err = t.node.dht.Announce(r.lookups, d.hash, t.node.ports(), t.isSeed(), found)
		t.accepted(o.announced.Accepted)
	} else {
		o.announced.LookupStats, err = t.node.dht.Lookup(r.lookups, d.hash, found)
	}
	if err != nil && r.lookups.Err() == nil {
		t.node.log.Debug("a DHT lookup failed", "torrent", t.Name(), "err", err)
	}
	a := &o.announced
	r.lastLookup.Store(&LookupResult{Ended: time.Now(), Took: a.Took, Asked: a.Asked, Answered: a.Answered, Peers: o.found, New: o.fresh, Accepted: a.Accepted})
	t.node.log.Debug("DHT lookup done", "torrent", t.Name(), "peers", o.found, "asked", o.announced.Asked, "announced to", o.announced.Accepted)
	return o
}

// FindPeers asks the DHT for more peers of a torrent that runs, as soon as its pace allows.
func (t *Torrent) FindPeers() {
	if r := t.run.Load(); r != nil {
		for _, d := range r.allDiscoveries() {
			nudge(d.want)
		}
	}
}
