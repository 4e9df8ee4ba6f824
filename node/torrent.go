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

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm"
)

// Torrent is a torrent that a node runs. Its methods may be called from any
// goroutine.
type Torrent struct {
	node  *Node
	spec  Spec // while it is parked, what can be had from the state directory is not there
	state *torrentState
	share share // as told to the swarm last; guarded by Node.mu

	// live is the swarm, or nil while the torrent is parked; see park.go. What
	// belongs to it is known, endRun and wg.
	live   atomic.Pointer[swarm.Torrent]
	runMu  sync.Mutex // held while live changes
	known  *knownPeers
	run    context.Context // ends when the torrent is to stop or is parked
	endRun context.CancelFunc
	wg     sync.WaitGroup
	rest   resting

	ctx    context.Context // ends when the torrent is to stop
	cancel context.CancelFunc

	// lookups ends when the DHT is not to be asked any more: the torrent stops or
	// proves to be private (BEP 27).
	lookups    context.Context
	endLookups context.CancelFunc

	// hashes are what its swarms go by, and lookers what asks the DHT for each;
	// guarded by Node.mu.
	hashes  []id.ID
	lookers []*looking

	player *player // nil unless Spec.ReadAhead is set

	barred sync.Map // addresses of web seeds that sent wrong data, see webseeds.go

	started chan struct{}                                       // closed when Added was told
	seen    atomic.Pointer[lru.Cache[netip.AddrPort, struct{}]] // what the DHT has told us
	ownTold atomic.Pointer[ownTold]                             // the last that the swarm was told

	named     chan struct{} // closed when the metadata is known
	done      chan struct{} // closed at the first completion
	announced chan struct{} // closed when a DHT node has taken our first announce
	doneOnce  sync.Once
	oddities  sync.Once // told of the names
	annOnce   sync.Once

	info    atomic.Pointer[metainfo.Info]
	whole   atomic.Bool  // as far as is known, nothing is lacking
	looking atomic.Bool  // a DHT lookup runs
	nextAsk atomic.Int64 // mono.Time of the next one

	before   atomic.Int64 // bytes uploaded before the swarm was started
	saved    tally        // as it was written last; of manage
	seeding  atomic.Int64 // Unix nanoseconds since when it is shared whole; 0: not yet
	goalOnce sync.Once

	failOnce sync.Once
	stopOnce sync.Once
	ended    chan struct{} // closed when it has stopped and everything is saved
	endErr   error         // what could not be saved; set before ended is closed
}

// maxSeenPeers bounds what a torrent remembers of the DHT's answers, only to
// tell new ones from old.
const maxSeenPeers = 2000

// newTorrent is a torrent that does nothing yet, and tells nothing before started
// is closed.
func (n *Node) newTorrent(spec Spec, st *torrentState) *Torrent {
	t := &Torrent{
		node: n, spec: spec, state: st, started: make(chan struct{}),
		named: make(chan struct{}), done: make(chan struct{}), announced: make(chan struct{}), ended: make(chan struct{}),
	}
	t.ctx, t.cancel = context.WithCancel(n.ctx)
	t.lookups, t.endLookups = context.WithCancel(t.ctx)
	t.rest.hash = spec.InfoHash()
	t.whole.Store(spec.Seed)
	t.saved = st.loadTally()
	t.before.Store(t.saved.Uploaded)
	return t
}

// start runs a torrent. info is the info dictionary if it is known; awake says that
// the torrent was parked: what is told of it was told before. runMu is held.
func (t *Torrent) start(info *metainfo.Info, awake bool) {
	n := t.node
	t.run, t.endRun = context.WithCancel(t.ctx)
	t.known = newKnownPeers()
	if b, err := statefile.Read(t.state.peersPath()); err == nil {
		t.known.decode(b, time.Now())
	}
	seen, err := lru.New[netip.AddrPort, struct{}](maxSeenPeers)
	if err != nil {
		panic(err) // the size is positive
	}
	t.seen.Store(seen)
	dhtPort := uint16(0)
	if n.dht != nil {
		dhtPort = n.net.Port()
	}
	if info != nil {
		t.info.Store(info)
		if info.Private {
			dhtPort = 0
			t.endLookups()
		}
	}
	v2 := t.spec.InfoHashV2()
	if info != nil {
		v2 = info.HashV2
	}
	set := n.settings.Load()
	s := swarm.New(swarm.Config{
		Shared: n.shared, InfoHash: t.rest.hash, InfoHashV2: v2, PeerID: n.peerID, Info: info,
		Open: t.openContent, Dialer: dialer{n}, Admit: dialer{n}.Admit, Relaxed: n.isLab(),
		OnEvent:    func(e swarm.Event) { t.onSwarm(e, awake) },
		ListenPort: n.net.Port(), DHTPort: dhtPort, Version: n.cfg.Version, Hints: true,
		UpRate: set.TorrentUpRate, DownRate: set.TorrentDownRate,
		HalfOpen: 2, MaxConns: 8, // until the budget is divided
		Uploads: set.Uploads, SuperSeed: set.SuperSeed, Encryption: n.cfg.Encryption, Seed: rand.Uint64(), Log: n.log,
	})
	t.live.Store(s)
	if now := n.settings.Load(); now != set { // they changed meanwhile
		t.applySettings(now)
	}
	if t.spec.ReadAhead > 0 {
		t.player = newPlayer(t, t.spec.ReadAhead)
	}
	t.wg.Go(func() { t.manage(s) })
	t.eachLooker(func(l *looking) { t.wg.Go(l.keep) })
}

// SetRates bounds what the torrent sends and receives, in bytes a second, within
// what all may; 0 is no limit of its own.
func (t *Torrent) SetRates(up, down int64) {
	if s := t.wake(); s != nil { // one with rates of its own is not parked any more
		t.rest.never.Store(true)
		s.SetRates(max(up, 0), max(down, 0))
	}
}

// InfoHash is what the torrent is known by.
func (t *Torrent) InfoHash() id.ID { return t.rest.hash }

// Info is the info dictionary, or nil while it is not known. Of a parked torrent it
// is read from the state directory.
func (t *Torrent) Info() *metainfo.Info {
	if i := t.info.Load(); i != nil || t.live.Load() != nil {
		return i
	}
	hashes := t.rest.hashes.Load()
	if hashes == nil {
		return nil
	}
	if saved := t.state.loadTorrent(*hashes); saved != nil {
		return saved.Info
	}
	return nil
}

// Name is the torrent's name, or what the link calls it while the metadata is
// not known.
func (t *Torrent) Name() string {
	if name := t.rest.name.Load(); name != nil {
		return *name
	}
	if i := t.info.Load(); i != nil {
		return i.Name
	}
	return t.spec.Name()
}

// Link is the magnet link that opens the torrent.
func (t *Torrent) Link() string {
	var l magnet.Link
	if t.spec.Link != nil {
		l = *t.spec.Link
	}
	if i := t.Info(); i != nil {
		describe(&l, i)
	}
	return l.String()
}

// LinkOf is the bare magnet link of a torrent.
func LinkOf(i *metainfo.Info) string {
	var l magnet.Link
	describe(&l, i)
	return l.String()
}

// describe puts into a link what the metadata tells.
func describe(l *magnet.Link, i *metainfo.Info) {
	l.Name, l.Length = i.Name, i.Payload()
	if i.HasV1() {
		l.InfoHash, l.HasInfoHash = i.Hash, true
	}
	l.V2, l.HasV2 = i.HashV2, i.HasV2()
}

// Done is closed when every wanted piece is verified and under its final name;
// with Spec.MetadataOnly, when the .torrent file is written.
func (t *Torrent) Done() <-chan struct{} { return t.done }

// Named is closed when the metadata is known.
func (t *Torrent) Named() <-chan struct{} { return t.named }

// Ended is closed when the torrent has stopped and everything that could be saved is
// saved.
func (t *Torrent) Ended() <-chan struct{} { return t.ended }

// Announced is closed when a DHT node has taken our first announce.
func (t *Torrent) Announced() <-chan struct{} { return t.announced }

// Snapshot is how the torrent stands.
func (t *Torrent) Snapshot() Snapshot {
	live := t.live.Load()
	if live == nil {
		return t.rest.snapshot()
	}
	v := live.Snapshot()
	s := Snapshot{Stats: v.Stats, Paused: asFault(v.Err), Checked: v.Checked, ToCheck: v.ToCheck}
	switch v.State {
	case swarm.Checking:
		s.State = Checking
	case swarm.Downloading, swarm.Stalled:
		s.State = Downloading
	case swarm.Seeding:
		s.State = SeedingState
	case swarm.Stopped:
		s.State = Stopped
	}
	s.Why = why(&s, t.dhtView(&s))
	return s
}

// dhtView is how the torrent stands with the DHT, which matters while it has no
// peers.
func (t *Torrent) dhtView(s *Snapshot) dhtView {
	if s.Connected > 0 {
		return dhtView{}
	}
	d := dhtView{off: t.node.dht == nil, private: t.private(), hosts: len(t.node.cfg.Bootstrap),
		running:  t.looking.Load(),
		untilAsk: max(time.Duration(t.nextAsk.Load()-int64(t.node.now())), 0)}
	if t.node.dht != nil {
		s := t.node.dht.Stats()
		d.nodes, d.asked = s.Nodes4+s.Nodes6, s.Asked
	}
	return d
}

// private says that neither DHT nor PEX may be used (BEP 27).
func (t *Torrent) private() bool {
	i := t.info.Load()
	return i != nil && i.Private
}

// fail ends the torrent with an error, which is told once.
func (t *Torrent) fail(err error) {
	t.failOnce.Do(func() {
		t.emit(Event{Kind: Failed, Err: asFault(err)})
		t.stop()
	})
}

// stop begins the end of the torrent, which saves what it has and lets go of
// its folder in the state directory. It waits for nothing: ended is closed when
// that is done.
func (t *Torrent) stop() {
	t.stopOnce.Do(func() {
		t.cancel()
		go func() {
			defer close(t.ended)
			defer t.node.steps.Add(1)
			var err error
			t.runMu.Lock()
			if s := t.live.Load(); s != nil {
				err = s.Stop(context.Background())
			}
			t.wg.Wait()
			t.runMu.Unlock()
			t.eachLooker((*looking).stop)
			if err != nil {
				t.endErr = fmt.Errorf("%s: %w", t.Name(), savingFault(err))
			}
			if err := t.state.close(); err != nil {
				t.endErr = errors.Join(t.endErr, err)
			}
			t.node.forget(t)
		}()
	})
}
