package node

import (
	"errors"
	"fmt"
	"time"

	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
	"seedbed/swarm"
	"seedbed/swarm/storage"
)

// onSwarm hears of what happens in the swarm. It is called by the swarm's loop
// and waits for nothing but the torrent's own start. awake says that the torrent
// was parked: that its metadata is known and that it is whole was told before.
func (t *Torrent) onSwarm(e swarm.Event, awake bool) {
	<-t.started
	if t.player != nil {
		t.player.heard()
	}
	switch e.Kind {
	case swarm.MetadataKnown:
		if !awake {
			t.learn(e.Info)
			if !t.whole.Load() && !t.spec.MetadataOnly {
				t.askMirrors(t.live.Load(), e.Info)
			}
		}
	case swarm.WantPeers:
		t.eachLooker(func(l *looking) { nudge(l.want) })
	case swarm.KnownPeer:
		t.known.add(e.Addr, e.Encrypted, time.Now())
	case swarm.Ban:
		t.known.ban(e.Addr)
		if isMirror(e.Addr.Addr()) {
			t.barred.Store(e.Addr.Addr(), nil)
		}
		t.node.log.Info("a peer sent bad data and is banned", "torrent", t.Name(), "peer", e.Addr)
	case swarm.DHTNode:
		if t.node.dht != nil && !t.private() {
			t.node.dht.AddNode(e.Addr)
		}
	case swarm.External:
		if t.node.dht != nil {
			t.node.dht.YourIP(e.From.Addr(), e.Addr.Addr())
		}
		if s := t.live.Load(); s != nil {
			t.tellOwn(s)
		}
	case swarm.FirstPiece:
		t.emit(Event{Kind: FirstPiece})
	case swarm.Complete:
		if !t.whole.Swap(true) {
			t.node.reshare()
			t.turn()
		}
		if awake {
			return
		}
		t.emit(Event{Kind: Complete})
		t.doneOnce.Do(func() { close(t.done) })
		t.seeding.CompareAndSwap(0, time.Now().UnixNano())
		t.emit(Event{Kind: Seeding, Addr: t.node.Addrs()[0].String(), Magnet: t.Link()})
	case swarm.Paused:
		t.paused(e.Err)
	case swarm.Resumed:
		t.emit(Event{Kind: Recovered})
	case swarm.Broken:
		t.fail(fmt.Errorf("what the link names cannot be opened: %w", e.Err))
	}
}

// learn takes note of the info dictionary, from peers or from the start.
func (t *Torrent) learn(info *metainfo.Info) {
	t.info.Store(info)
	t.rest.name.Store(&info.Name)
	if info.Private {
		t.endLookups()
	}
	if t.player != nil {
		t.player.begin(info)
	}
	t.node.rename(t, hashesOf(info))
	t.node.reshare()
	if !t.spec.MetadataOnly { // then it is told when the file is written
		t.emit(Event{Kind: Metadata, Info: info})
	}
	close(t.named)
}

// paused tells what holds the torrent up. A file of somebody else that has a
// name which ours must have at the end does not go away by itself.
func (t *Torrent) paused(err error) {
	var se *storage.Error
	if errors.As(err, &se) && se.Kind == storage.Exists && se.Op == "rename" {
		t.fail(err)
		return
	}
	t.emit(Event{Kind: Warning, Err: asFault(err)})
}

// manage feeds the swarm with candidates, and saves those that proved to be
// peers, until the torrent stops.
func (t *Torrent) manage(s *swarm.Torrent) {
	t.tellOwn(s)
	s.AddCandidates(t.known.candidates())
	t.wg.Go(func() { t.addHints(s) })
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.savePeers()
			t.saveTally()
		case <-t.run.Done():
			<-s.Done()
			t.savePeers()
			t.saveTally()
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
	if err := statefile.Write(t.state.peersPath(), b); err != nil {
		t.node.log.Warn("known peers could not be saved", "torrent", t.Name(), "err", err)
	}
}
