package node

import (
	"cmp"
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
	"seedbed/internal/netx"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/s3store"
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
	lastLookup atomic.Pointer[LookupResult]
	outcomes   outcomes

	known     *knownPeers
	seen      *lru.Cache[netip.AddrPort, struct{}] // peers that the DHT has returned
	passedOwn atomic.Pointer[[2]netip.Addr]        // the addresses last passed to the swarm
	barred    sync.Map                             // addresses of web seeds that sent bad data, see webseeds.go
	opened    chan struct{}                        // closed by the swarm's loop when the files are open
	complete  chan struct{}                        // closed by the swarm's loop when all wanted data is there

	discovering sync.Mutex
	discoveries []*discovery // one for each infohash; none without a DHT; guarded by discovering

	maxPeers   atomic.Int32 // Spec.MaxPeers
	share      share        // last passed to the swarm; guarded by Node.mu
	idleSince  time.Time    // when it last became idle; zero if it is not; owned by keepBudget
	unparkable atomic.Bool
	storage    atomic.Pointer[storage.Storage] // nil until it is open, and for Spec.Objects
	objects    atomic.Pointer[s3store.Storage] // of a torrent with Spec.Objects

	blocked int64 // counted in Counters.Blocked; see setBlocked

	lastUploaded int64 // bytes, at the last look; owned by keepBudget

	final     engine.Stats // set by stop
	isCounted bool         // the counts of the torrent include this run; guarded by control.mu
}

// maxSeenPeers limits the peers from the DHT that are remembered. They are used only to
// recognise new ones.
const maxSeenPeers = 2000

// startRun starts the swarm. info is the info dictionary if it is known.
func (t *Torrent) startRun(spec Spec, info *metainfo.Info) {
	n := t.node
	r := &run{t: t, spec: spec, ready: make(chan struct{}), opened: make(chan struct{}), complete: make(chan struct{}), known: newKnownPeers()}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.lookups, r.endLookups = context.WithCancel(r.ctx)
	if b, err := statefile.Read(t.state.peersPath()); err == nil {
		r.known.decode(b, time.Now())
	}
	var err error
	if r.seen, err = lru.New[netip.AddrPort, struct{}](maxSeenPeers); err != nil {
		panic(err) // the size is positive
	}
	hasDHT := n.dht != nil
	v2 := spec.InfoHashV2()
	if info != nil {
		v2 = info.HashV2
		t.setInfo(info)
	}
	if t.private.Load() {
		hasDHT = false
		r.endLookups()
	}
	set, ports := n.settings.Load(), n.ports()
	up, down := t.rates(set)
	r.swarm = swarm.New(swarm.Config{
		Shared: n.shared, InfoHash: t.hash, InfoHashV2: v2, PeerID: n.peerID, Info: info,
		Open: r.openContent, Dialer: dialer{n}, Admit: r.admit, HungUp: dialer{n}.HungUp, Punch: n.puncher(), Relaxed: n.isPrivateNetwork(),
		OnEvent: r.onSwarm,
		Ports:   ports, HasDHT: hasDHT, Version: n.cfg.Version, Hints: true, DialBack: n.evidence.mayAsk(),
		UpRate: up, DownRate: down,
		HalfOpen: 2, MaxConns: min(8, cmp.Or(spec.MaxPeers, 8)), // until reshare divides the budget
		Uploads: set.Uploads, SuperSeed: set.SuperSeed, Encryption: n.cfg.Encryption, Seed: rand.Uint64(), Log: n.log,
		Trace: r.outcomes.trace(),
	})
	t.setRun(r)
	r.maxPeers.Store(int32(t.spec().MaxPeers)) // it may have changed in the meantime
	if now := n.settings.Load(); now != set {  // they changed in the meantime
		t.applySettings(now)
	}
	if now := n.ports(); now != ports {
		r.swarm.SetPorts(now)
	}
	if p := t.player.Load(); p != nil {
		p.attach(r)
	}
	close(r.ready)
	if n.pushes.isVersion(t.infohashes()) {
		n.pushes.pass(r)
	}
	r.wg.Go(r.manage)
	r.discover()
	if found := t.takeFound(); found != nil {
		r.swarm.AddCandidates(found) // a private torrent uses only those that PassPeers has left
	}
}

// stop stops the swarm and waits until everything in the run has ended.
func (r *run) stop() error {
	r.cancel()
	err := r.swarm.Stop(context.Background())
	r.wg.Wait()
	r.t.node.evidence.dropHelpers(r)
	r.setBlocked(0)
	r.final = r.swarm.Snapshot().Stats
	r.t.countRun(r)
	return err
}

// onSwarm handles an event of the swarm. The swarm's loop calls it, so it does not block
// except for the start of the run.
func (r *run) onSwarm(e swarm.Event) {
	<-r.ready
	t := r.t
	t.wakeReaders()
	switch e.Kind {
	case swarm.MetadataKnown:
		t.learn(e.Info)
		t.observe(lifecycle.Checking)
		if !t.complete.Load() && !r.spec.MetadataOnly {
			r.useMirrors(e.Info)
		}
	case swarm.Opened:
		closeOnce(r.opened)
		if v := r.observe(); !v.Verified {
			t.setComplete(false)
		}
	case swarm.WantPeers:
		t.FindPeers()
	case swarm.KnownPeer:
		if !netx.IsNamed(e.Addr.Addr()) { // only this network knows the name
			r.known.add(e.Addr, e.Encrypted, time.Now())
		}
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
		t.node.evidence.SeenAs(e.From.Addr(), e.Addr)
		r.passOwnAddrs()
	case swarm.CanDialBack:
		t.node.evidence.addHelper(r, e.Conn, e.From)
	case swarm.DialBack:
		t.node.evidence.onDialBack(r, &e)
	case swarm.Item:
		t.node.pushes.received(r, &e)
	case swarm.FirstPiece:
		t.emit(Event{Kind: FirstPiece})
	case swarm.Complete:
		t.observe(lifecycle.Seeding)
		closeOnce(r.complete)
		t.completed()
	case swarm.Paused:
		r.setBlocked(1)
		r.paused(e.Err)
	case swarm.Resumed:
		r.setBlocked(0)
		t.emit(Event{Kind: Recovered})
	case swarm.Broken:
		t.fail(fmt.Errorf("cannot open the torrent of the link: %w", e.Err))
	}
}

// setBlocked notes whether an error blocks the torrent: 1 if so, else 0. The swarm's loop calls it, and stop after
// that has ended.
func (r *run) setBlocked(blocked int64) {
	r.t.node.counters.blocked.Add(blocked - r.blocked)
	r.blocked = blocked
}

// closeOnce closes a channel unless it is closed. Only one goroutine may call it for a
// channel.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// paused reports the error that stops the swarm from writing. The torrent fails if the
// final name of a file is taken by another program's file, because that is permanent. A torrent
// of the session whose data is gone becomes Missing.
func (r *run) paused(err error) {
	if r.t.milestones.has(isOutdated) {
		return
	}
	if r.t.inSession() && r.lostData() {
		r.t.fail(r.t.missingFault())
		return
	}
	var se *storage.Error
	if errors.As(err, &se) && se.Kind == storage.Exists && se.Op == "rename" {
		r.t.fail(err)
		return
	}
	if se != nil && se.Kind == storage.Changed && r.spec.Objects && !r.spec.Upload {
		err = &Fault{Kind: FaultVanished, Err: err, hint: "put the right object there; what is wrong is not offered to peers meanwhile"}
	}
	r.t.emit(Event{Kind: Warning, Err: asFault(err)})
}

// lostData reports whether the data was there when the run began, and is not any more.
func (r *run) lostData() bool {
	s := r.storage.Load()
	return s != nil && s.IsGone()
}

// manage passes the known peers to the swarm and saves the peers and counters, until the
// run stops.
func (r *run) manage() {
	r.passOwnAddrs()
	r.passOwners()
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
		r.t.node.log.Warn("cannot save the known peers", "torrent", r.t.Name(), "err", err)
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

// observe notes the phase of the torrent and returns the state of the swarm that it is from.
func (r *run) observe() swarm.Snapshot {
	for {
		v := r.swarm.Snapshot()
		if !r.t.observe(phaseOf(&v)) {
			return v
		}
		// Look again: the swarm may have reported a later phase before this one was noted.
	}
}

// snapshot returns the state of the torrent while it runs.
func (r *run) snapshot() Snapshot {
	v := r.observe()
	s := Snapshot{Stats: v.Stats, Paused: asFault(v.Err), Checked: v.Checked, ToCheck: v.ToCheck, State: phaseOf(&v)}
	if sum := r.t.summary.Load(); sum != nil && s.Pieces == 0 { // its files are being opened
		sum.fill(&s.Stats)
	}
	r.t.control.mu.Lock()
	s.State = r.t.control.shown(s.State)
	r.t.control.mu.Unlock()
	s.Reason = reason(&s, r.lookup)
	return s
}

// lookup returns the state of the DHT lookups of the torrent.
func (r *run) lookup() Lookup {
	if r.t.private.Load() {
		return Lookup{Kind: LookupPrivate}
	}
	return r.t.node.lookupState(r.lookingUp.Load() > 0, mono.Time(r.nextLookup.Load()))
}

// lookupState returns what the DHT does for a torrent, of which a lookup runs, or the next one
// starts at next.
func (n *Node) lookupState(isRunning bool, next mono.Time) Lookup {
	if n.dht == nil {
		return Lookup{Kind: LookupOff}
	}
	switch err := n.reach.problem(); {
	case errors.Is(err, netx.ErrNoInterface):
		return Lookup{Kind: LookupNoInterface}
	case errors.Is(err, netx.ErrNoRelay):
		return Lookup{Kind: LookupNoRelay}
	case errors.Is(err, netx.ErrNoProxy):
		return Lookup{Kind: LookupNoProxy}
	}
	stats, hosts := n.dht.Stats(), len(n.cfg.Bootstrap)
	switch {
	case stats.Nodes4+stats.Nodes6 == 0 && hosts == 0:
		return Lookup{Kind: LookupNoNodes}
	case stats.Nodes4+stats.Nodes6 == 0:
		return n.joining()
	case isRunning:
		return Lookup{Kind: LookupRunning, Asked: stats.Asked}
	}
	return Lookup{Kind: LookupWaiting, Next: max(next.Sub(n.now()), 0)}
}

// passOwnAddrs passes our own addresses to the swarm, so that it does not dial them. The DHT and
// other peers return them too.
func (r *run) passOwnAddrs() {
	now := r.t.node.own()
	if last := r.passedOwn.Swap(&now); last != nil && *last == now {
		return
	}
	for _, ip := range now {
		if ip.IsValid() {
			r.swarm.SetExternal(ip)
		}
	}
}
