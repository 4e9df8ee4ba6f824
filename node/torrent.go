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
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm"
)

// Torrent is a torrent that a node runs. Its methods may be called from any
// goroutine.
type Torrent struct {
	node  *Node
	spec  Spec
	state *torrentState
	swarm *swarm.Torrent
	known *knownPeers
	share share // as told to the swarm last; guarded by Node.mu

	ctx    context.Context // ends when the torrent is to stop
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// lookups ends when the DHT is not to be asked any more: the torrent stops or
	// proves to be private (BEP 27).
	lookups    context.Context
	endLookups context.CancelFunc

	// hashes are what its swarms go by, and lookers what asks the DHT for each;
	// guarded by Node.mu.
	hashes  []id.ID
	lookers []*looking

	player *player // nil unless Spec.ReadAhead is set

	started chan struct{}                        // closed when Added was told
	seen    *lru.Cache[netip.AddrPort, struct{}] // what the DHT has told us

	named     chan struct{} // closed when the metadata is known
	done      chan struct{} // closed at the first completion
	announced chan struct{} // closed when a DHT node has taken our first announce
	doneOnce  sync.Once
	annOnce   sync.Once

	info    atomic.Pointer[metainfo.Info]
	whole   atomic.Bool  // as far as is known, nothing is lacking
	looking atomic.Bool  // a DHT lookup runs
	nextAsk atomic.Int64 // mono.Time of the next one

	before   tally        // uploaded before this run
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

// startTorrent runs a torrent, which tells nothing before started is closed.
func (n *Node) startTorrent(spec Spec, st *torrentState) *Torrent {
	t := &Torrent{
		node: n, spec: spec, state: st, known: newKnownPeers(),
		started: make(chan struct{}),
		named:   make(chan struct{}), done: make(chan struct{}), announced: make(chan struct{}), ended: make(chan struct{}),
	}
	t.ctx, t.cancel = context.WithCancel(n.ctx)
	t.lookups, t.endLookups = context.WithCancel(t.ctx)
	var err error
	if t.seen, err = lru.New[netip.AddrPort, struct{}](maxSeenPeers); err != nil {
		panic(err) // the size is positive
	}
	if b, err := readFile(st.peersPath()); err == nil {
		t.known.decode(b, time.Now())
	}
	t.whole.Store(spec.Seed)
	t.before = st.loadTally()
	t.saved = t.before
	info := st.loadInfo(&spec)
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
	t.swarm = swarm.New(swarm.Config{
		Shared: n.shared, InfoHash: spec.InfoHash(), InfoHashV2: spec.InfoHashV2(), PeerID: n.peerID, Info: info,
		Open: t.openContent, Dialer: dialer{n}, OnEvent: t.onSwarm,
		ListenPort: n.net.Port(), DHTPort: dhtPort, Version: n.cfg.Version, Hints: true,
		UpRate: n.cfg.TorrentUpRate, DownRate: n.cfg.TorrentDownRate,
		HalfOpen: 2, MaxConns: 8, // until the budget is divided
		Uploads: n.cfg.Uploads, Encryption: n.cfg.Encryption, Seed: rand.Uint64(), Log: n.log,
	})
	if spec.ReadAhead > 0 {
		t.player = newPlayer(t, spec.ReadAhead)
	}
	t.wg.Go(t.manage)
	return t
}

// SetRates bounds what the torrent sends and receives, in bytes a second, within
// what all may; 0 is no limit of its own.
func (t *Torrent) SetRates(up, down int64) { t.swarm.SetRates(max(up, 0), max(down, 0)) }

// InfoHash is what the torrent is known by.
func (t *Torrent) InfoHash() id.ID { return t.spec.InfoHash() }

// Info is the info dictionary, or nil while it is not known.
func (t *Torrent) Info() *metainfo.Info { return t.info.Load() }

// Name is the torrent's name, or what the link calls it while the metadata is
// not known.
func (t *Torrent) Name() string {
	if i := t.Info(); i != nil {
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
	i := t.Info()
	if i == nil && t.spec.Torrent != nil {
		i = t.spec.Torrent.Info
	}
	if i != nil {
		l.Name, l.Length = i.Name, i.Length
		if i.HasV1() {
			l.InfoHash, l.HasInfoHash = i.Hash, true
		}
		l.V2, l.HasV2 = i.HashV2, i.HasV2()
	}
	return l.String()
}

// Done is closed when every wanted piece is verified and under its final name;
// with Spec.MetadataOnly, when the .torrent file is written.
func (t *Torrent) Done() <-chan struct{} { return t.done }

// Named is closed when the metadata is known.
func (t *Torrent) Named() <-chan struct{} { return t.named }

// Announced is closed when a DHT node has taken our first announce.
func (t *Torrent) Announced() <-chan struct{} { return t.announced }

// Snapshot is how the torrent stands.
func (t *Torrent) Snapshot() Snapshot {
	v := t.swarm.Snapshot()
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
	i := t.Info()
	return i != nil && i.Private
}

// fail ends the torrent with an error, which is told once.
func (t *Torrent) fail(err error) {
	t.failOnce.Do(func() {
		t.node.emit(Event{Kind: Failed, Torrent: t, Err: asFault(err)})
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
			err := t.swarm.Stop(context.Background())
			t.wg.Wait()
			if err != nil {
				t.endErr = fmt.Errorf("%s: saving: %w", t.Name(), asFault(err))
			}
			if err := t.state.close(); err != nil {
				t.endErr = errors.Join(t.endErr, err)
			}
			t.node.forget(t)
		}()
	})
}
