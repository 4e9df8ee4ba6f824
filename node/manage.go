package node

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/storage"
)

// onSwarm hears of what happens in the swarm. It is called by the swarm's loop
// and waits for nothing but the torrent's own start.
func (t *Torrent) onSwarm(e swarm.Event) {
	<-t.started
	switch e.Kind {
	case swarm.MetadataKnown:
		t.learn(e.Info)
	case swarm.WantPeers:
		select {
		case t.want <- struct{}{}:
		default:
		}
	case swarm.KnownPeer:
		t.known.add(e.Addr, time.Now())
	case swarm.Ban:
		t.known.ban(e.Addr)
		t.node.log.Info("a peer sent bad data and is banned", "torrent", t.Name(), "peer", e.Addr)
	case swarm.DHTNode:
		if t.node.dht != nil && !t.private() {
			t.node.dht.AddNode(e.Addr)
		}
	case swarm.External:
		if t.node.dht != nil {
			t.node.dht.YourIP(e.From.Addr(), e.Addr.Addr())
		}
	case swarm.FirstPiece:
		t.node.emit(Event{Kind: FirstPiece, Torrent: t})
	case swarm.Complete:
		if !t.whole.Swap(true) {
			t.node.reshare()
		}
		t.node.emit(Event{Kind: Complete, Torrent: t})
		t.doneOnce.Do(func() { close(t.done) })
		t.node.emit(Event{Kind: Seeding, Torrent: t, Addr: t.node.Addrs()[0].String()})
	case swarm.Paused:
		t.paused(e.Err)
	case swarm.Resumed:
		t.node.emit(Event{Kind: Recovered, Torrent: t})
	case swarm.Broken:
		t.fail(fmt.Errorf("what the link names cannot be opened: %w", e.Err))
	}
}

// learn takes note of the info dictionary, from peers or from the start.
func (t *Torrent) learn(info *metainfo.Info) {
	t.info.Store(info)
	if info.Private {
		t.endLookups()
	}
	t.node.reshare()
	t.node.emit(Event{Kind: Metadata, Torrent: t})
}

// paused tells what holds the torrent up. A file of somebody else that has a
// name which ours must have at the end does not go away by itself.
func (t *Torrent) paused(err error) {
	var se *storage.Error
	if errors.As(err, &se) && se.Kind == storage.Exists && se.Op == "rename" {
		t.fail(err)
		return
	}
	t.node.emit(Event{Kind: Warning, Torrent: t, Err: asFault(err)})
}

// manage feeds the swarm with candidates, and saves those that proved to be
// peers, until the torrent stops.
func (t *Torrent) manage() {
	var last []engine.Candidate
	for _, a := range t.known.addrs() {
		last = append(last, engine.Candidate{Addr: a, Source: engine.FromLastRun})
	}
	t.swarm.AddCandidates(last)
	t.wg.Go(t.addHints)
	if t.node.dht != nil {
		t.wg.Go(t.keepLooking)
	}
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.savePeers()
		case <-t.ctx.Done():
			<-t.swarm.Done()
			t.savePeers()
			return
		}
	}
}

// savePeers writes the known peers down if they have changed.
func (t *Torrent) savePeers() {
	b, changed := t.known.encode()
	if !changed {
		return
	}
	if err := writeFile(t.state.peersPath(), b, false); err != nil {
		t.node.log.Warn("known peers could not be saved", "torrent", t.Name(), "err", err)
	}
}

// keepLooking asks the DHT for peers, and announces us to it, at the pace that
// the swarm's need sets.
func (t *Torrent) keepLooking() {
	var p pace
	results := make(chan outcome, 1)
	ready := t.node.dht.Ready()
	busy := false
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-t.lookups.Done():
			if busy {
				<-results
			}
			return
		case <-t.want:
			p.lacking(t.node.now())
		case <-ready:
			ready = nil
			p.joined(t.node.now())
		case o := <-results:
			busy = false
			p.done(t.node.now(), o)
		case <-timer.C:
			if busy || t.lookups.Err() != nil || t.node.now() < p.next {
				break
			}
			busy = true
			p.began = t.node.now()
			t.wg.Go(func() { results <- t.askDHT() })
		}
		t.nextAsk.Store(int64(p.next))
		if !busy {
			timer.Reset(max(p.next.Sub(t.node.now()), 0))
		}
	}
}

// askDHT runs one lookup that also announces us. Peers go to the swarm as they
// are found.
func (t *Torrent) askDHT() (o outcome) {
	if t.whole.Load() {
		select {
		case t.node.budget.calm <- struct{}{}:
			defer func() { <-t.node.budget.calm }()
		case <-t.lookups.Done():
			return o
		}
	}
	t.looking.Store(true)
	defer t.looking.Store(false)
	stats, err := t.node.dht.Announce(t.lookups, t.InfoHash(), t.node.net.Port(), func(found []netip.AddrPort) {
		if t.lookups.Err() != nil {
			return
		}
		cs := make([]engine.Candidate, len(found))
		for i, a := range found {
			cs[i] = engine.Candidate{Addr: a, Source: engine.FromDHT}
			if known, _ := t.seen.ContainsOrAdd(a, struct{}{}); !known {
				o.fresh++
			}
		}
		t.swarm.AddCandidates(cs)
	})
	if stats.Accepted > 0 {
		t.annOnce.Do(func() { close(t.announced) })
	}
	if err != nil && t.lookups.Err() == nil {
		t.node.log.Debug("a DHT lookup failed", "torrent", t.Name(), "err", err)
	}
	t.node.log.Debug("DHT lookup done", "torrent", t.Name(), "peers", stats.Peers, "asked", stats.Asked, "announced to", stats.Accepted)
	o.found = stats.Peers
	o.settled = t.whole.Load() && stats.Accepted > 0
	return o
}
