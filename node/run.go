package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"seedbed/internal/mono"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/storage"
)

// A run is one run of a torrent's swarm, from start to stop, with everything that belongs
// to it. The torrent's worker starts and stops it.
type run struct {
	t     *Torrent
	spec  Spec // at the start of the run
	swarm *swarm.Torrent
	ready chan struct{} // closed when swarm is set

	ctx    context.Context // ends when the run must stop
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// lookups ends when the DHT must not be queried any more: the run stops or the torrent
	// turns out to be private (BEP 27).
	lookups    context.Context
	endLookups context.CancelFunc
	lookingUp  atomic.Int32 // number of running DHT lookups
	nextLookup atomic.Int64 // mono.Time

	known    *knownPeers
	seen     *lru.Cache[netip.AddrPort, struct{}] // peers that the DHT has returned
	ownTold  atomic.Pointer[[2]netip.Addr]        // the addresses last passed to the swarm
	barred   sync.Map                             // addresses of web seeds that sent wrong data, see webseeds.go
	complete chan struct{}                        // closed when the swarm is complete, by its loop

	share      share     // last passed to the swarm; guarded by Node.mu
	idleSince  time.Time // since when it has no connection; owned by keepBudget
	unparkable atomic.Bool

	final engine.Stats // set by stop
}

// maxSeenPeers limits the remembered peers from the DHT, which are used only to
// recognise new ones.
const maxSeenPeers = 2000

// startRun starts the swarm. info is the info dictionary if it is known.
func (t *Torrent) startRun(spec Spec, info *metainfo.Info) {
	n := t.node
	r := &run{t: t, spec: spec, ready: make(chan struct{}), complete: make(chan struct{}), known: newKnownPeers()}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.lookups, r.endLookups = context.WithCancel(r.ctx)
	if b, err := statefile.Read(t.state.peersPath()); err == nil {
		r.known.decode(b, time.Now())
	}
	var err error
	if r.seen, err = lru.New[netip.AddrPort, struct{}](maxSeenPeers); err != nil {
		panic(err) // the size is positive
	}
	dhtPort := uint16(0)
	if n.dht != nil {
		dhtPort = n.net.Port()
	}
	v2 := spec.InfoHashV2()
	if info != nil {
		v2 = info.HashV2
		t.setInfo(info)
	}
	if t.private.Load() {
		dhtPort = 0
		r.endLookups()
	}
	set := n.settings.Load()
	up, down := t.rates(set)
	r.swarm = swarm.New(swarm.Config{
		Shared: n.shared, InfoHash: t.hash, InfoHashV2: v2, PeerID: n.peerID, Info: info,
		Open: r.openContent, Dialer: dialer{n}, Admit: dialer{n}.Admit, Relaxed: n.isLab(),
		OnEvent:    r.onSwarm,
		ListenPort: n.net.Port(), DHTPort: dhtPort, Version: n.cfg.Version, Hints: true,
		UpRate: up, DownRate: down,
		HalfOpen: 2, MaxConns: 8, // until the budget is divided
		Uploads: set.Uploads, SuperSeed: set.SuperSeed, Encryption: n.cfg.Encryption, Seed: rand.Uint64(), Log: n.log,
	})
	t.run.Store(r)
	if now := n.settings.Load(); now != set { // they have changed meanwhile
		t.applySettings(now)
	}
	if t.player != nil {
		t.player.attach(r.swarm)
	}
	close(r.ready)
	r.wg.Go(r.manage)
	for _, d := range t.allDiscoveries() {
		r.wg.Go(func() { d.keep(r) })
	}
	if from, peers := t.takeFound(); len(peers) > 0 {
		t.foundPeers(from, peers)
	}
}

// stop stops the swarm and waits until everything in the run has ended.
func (r *run) stop() error {
	r.cancel()
	err := r.swarm.Stop(context.Background())
	r.wg.Wait()
	r.final = r.swarm.Snapshot().Stats
	r.t.uploaded.Add(r.final.Uploaded)
	return err
}

// onSwarm handles an event of the swarm. The swarm's loop calls it, so it does not block
// except for the start of the run.
func (r *run) onSwarm(e swarm.Event) {
	<-r.ready
	t := r.t
	if t.player != nil {
		t.player.changed()
	}
	switch e.Kind {
	case swarm.MetadataKnown:
		t.learn(e.Info)
		t.observe(lifecycle.Checking)
		if !t.whole.Load() && !r.spec.MetadataOnly {
			r.askMirrors(e.Info)
		}
	case swarm.Opened:
		v := r.swarm.Snapshot()
		t.observe(phaseOf(&v))
		if !v.Complete {
			t.setWhole(false)
		}
	case swarm.WantPeers:
		for _, d := range t.allDiscoveries() {
			nudge(d.want)
		}
	case swarm.KnownPeer:
		r.known.add(e.Addr, e.Encrypted, time.Now())
	case swarm.Ban:
		r.known.ban(e.Addr)
		if isMirror(e.Addr.Addr()) {
			r.barred.Store(e.Addr.Addr(), nil)
		}
		t.node.log.Info("a peer sent bad data and is banned", "torrent", t.Name(), "peer", e.Addr)
	case swarm.DHTNode:
		if t.node.dht != nil && !t.private.Load() {
			t.node.dht.AddNode(e.Addr)
		}
	case swarm.External:
		if t.node.dht != nil {
			t.node.dht.YourIP(e.From.Addr(), e.Addr.Addr())
		}
		r.tellOwn()
	case swarm.FirstPiece:
		t.emit(Event{Kind: FirstPiece})
	case swarm.Complete:
		t.observe(lifecycle.Seeding)
		closeOnce(r.complete)
		t.completed()
	case swarm.Paused:
		r.paused(e.Err)
	case swarm.Resumed:
		t.emit(Event{Kind: Recovered})
	case swarm.Broken:
		t.fail(fmt.Errorf("what the link names cannot be opened: %w", e.Err))
	}
}

// paused reports the error that blocks the torrent. Another program's file under the final
// name of one of ours does not go away by itself.
func (r *run) paused(err error) {
	var se *storage.Error
	if errors.As(err, &se) && se.Kind == storage.Exists && se.Op == "rename" {
		r.t.fail(err)
		return
	}
	r.t.emit(Event{Kind: Warning, Err: asFault(err)})
}

// manage passes candidates to the swarm and saves those that proved to be peers, until
// the run stops.
func (r *run) manage() {
	r.tellOwn()
	r.swarm.AddCandidates(r.known.candidates())
	r.wg.Go(r.addHints)
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.savePeers()
			r.saveTally()
		case <-r.ctx.Done():
			<-r.swarm.Done()
			r.savePeers()
			r.saveTally()
			return
		}
	}
}

// savePeers saves the known peers if they have changed.
func (r *run) savePeers() {
	b, changed := r.known.encode()
	if !changed {
		return
	}
	if err := statefile.Write(r.t.state.peersPath(), b); err != nil {
		r.t.node.log.Warn("known peers could not be saved", "torrent", r.t.Name(), "err", err)
	}
}

// phaseOf returns the phase of a torrent whose swarm is in the state v.
func phaseOf(v *swarm.Snapshot) lifecycle.Phase {
	switch {
	case !v.Metadata && v.State != swarm.Checking:
		return lifecycle.Metadata
	case v.State == swarm.Checking:
		return lifecycle.Checking
	case v.Complete:
		return lifecycle.Seeding
	}
	return lifecycle.Downloading
}

// snapshot returns the state of the torrent while it runs.
func (r *run) snapshot() Snapshot {
	v := r.swarm.Snapshot()
	s := Snapshot{Stats: v.Stats, Paused: asFault(v.Err), Checked: v.Checked, ToCheck: v.ToCheck, State: phaseOf(&v)}
	r.t.observe(s.State)
	s.Reason = reason(&s, r.lookup)
	return s
}

// lookup returns what the DHT does for the torrent.
func (r *run) lookup() Lookup {
	n := r.t.node
	switch {
	case r.t.private.Load():
		return Lookup{Kind: LookupPrivate}
	case n.dht == nil:
		return Lookup{Kind: LookupOff}
	}
	stats, hosts := n.dht.Stats(), len(n.cfg.Bootstrap)
	switch {
	case stats.Nodes4+stats.Nodes6 == 0 && hosts == 0:
		return Lookup{Kind: LookupNoNodes}
	case stats.Nodes4+stats.Nodes6 == 0:
		return n.joining()
	case r.lookingUp.Load() > 0:
		return Lookup{Kind: LookupRunning, Asked: stats.Asked}
	}
	return Lookup{Kind: LookupWaiting, Next: max(mono.Time(r.nextLookup.Load()).Sub(n.now()), 0)}
}

// tellOwn passes our own addresses to the swarm, so that it does not dial them. The DHT and
// other peers return them too.
func (r *run) tellOwn() {
	now := r.t.node.own()
	if last := r.ownTold.Swap(&now); last != nil && *last == now {
		return
	}
	for _, ip := range now {
		if ip.IsValid() {
			r.swarm.SetExternal(ip)
		}
	}
}
