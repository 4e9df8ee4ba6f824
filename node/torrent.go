package node

import (
	"context"
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

	ctx    context.Context // ends when the torrent is to stop
	cancel context.CancelFunc
	wg     sync.WaitGroup

	started chan struct{}                        // closed when swarm is set
	want    chan struct{}                        // the swarm lacks candidates; holds one
	seen    *lru.Cache[netip.AddrPort, struct{}] // what the DHT has told us

	done      chan struct{} // closed at the first completion
	announced chan struct{} // closed when a DHT node has taken our first announce
	doneOnce  sync.Once
	annOnce   sync.Once

	info    atomic.Pointer[metainfo.Info]
	looking atomic.Bool  // a DHT lookup runs
	nextAsk atomic.Int64 // mono.Time of the next one

	mu    sync.Mutex
	share share
	fault error // ended the torrent
}

// maxSeenPeers bounds what a torrent remembers of the DHT's answers, only to
// tell new ones from old.
const maxSeenPeers = 2000

// share is a torrent's part of what is bounded for the whole node.
type share struct {
	memory          int64 // bytes of piece buffers
	halfOpen, conns int
}

func (n *Node) startTorrent(spec Spec, st *torrentState) (*Torrent, error) {
	ctx, cancel := context.WithCancel(n.ctx)
	t := &Torrent{
		node: n, spec: spec, state: st, known: newKnownPeers(), ctx: ctx, cancel: cancel,
		started: make(chan struct{}), want: make(chan struct{}, 1),
		done: make(chan struct{}), announced: make(chan struct{}),
	}
	var err error
	if t.seen, err = lru.New[netip.AddrPort, struct{}](maxSeenPeers); err != nil {
		panic(err) // the size is positive
	}
	if b, err := readFile(st.peersPath()); err == nil {
		t.known.decode(b, time.Now())
	}
	dhtPort := uint16(0)
	if n.dht != nil {
		dhtPort = n.host.Port()
	}
	t.swarm = swarm.New(swarm.Config{
		Shared: n.shared, InfoHash: spec.InfoHash(), PeerID: n.peerID, Info: st.loadInfo(&spec),
		Open: t.openContent, Dialer: n.host, OnEvent: t.onSwarm,
		ListenPort: n.host.Port(), DHTPort: dhtPort, Version: n.cfg.Version, Hints: true,
		Budget: 2, HalfOpen: 4, MaxConns: 8, // until shareBudget has counted the torrents
		Uploads: n.cfg.Uploads, Seed: rand.Uint64(), Log: n.log,
	})
	n.emit(Event{Kind: Added, Torrent: t})
	close(t.started)
	t.wg.Go(t.manage)
	return t, nil
}

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
	l := magnet.Link{InfoHash: t.InfoHash(), HasInfoHash: true}
	if t.spec.Link != nil {
		l = *t.spec.Link
	}
	i := t.Info()
	if i == nil && t.spec.Torrent != nil {
		i = t.spec.Torrent.Info
	}
	if i != nil {
		l.Name, l.Length = i.Name, i.Length
	}
	return l.String()
}

// Done is closed when every wanted piece is verified and under its final name;
// with Spec.MetadataOnly, when the .torrent file is written.
func (t *Torrent) Done() <-chan struct{} { return t.done }

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
	d := dhtView{off: t.node.dht == nil, private: t.private(), hosts: len(t.node.cfg.Bootstrap),
		running:  t.looking.Load(),
		untilAsk: max(time.Duration(t.nextAsk.Load()-int64(t.node.now())), 0)}
	if t.node.dht != nil {
		s := t.node.dht.Stats()
		d.nodes, d.asked = s.Nodes4+s.Nodes6, s.Asked
	}
	s.Why = why(&s, d)
	return s
}

// private says that neither DHT nor PEX may be used (BEP 27).
func (t *Torrent) private() bool {
	i := t.Info()
	return i != nil && i.Private
}

func (t *Torrent) setShare(s share) {
	t.mu.Lock()
	t.share = s
	t.mu.Unlock()
	t.applyShare()
}

// applyShare tells the swarm its limits, in chunks of the torrent's own size.
func (t *Torrent) applyShare() {
	t.mu.Lock()
	s := t.share
	t.mu.Unlock()
	chunk := int64(chunkSize)
	if i := t.Info(); i != nil {
		chunk = min(chunk, i.PieceLength)
	}
	t.swarm.SetLimits(int(max(s.memory/chunk, 2)), s.halfOpen, s.conns)
}

// fail ends the torrent with an error.
func (t *Torrent) fail(err error) {
	err = asFault(err)
	t.mu.Lock()
	first := t.fault == nil
	if first {
		t.fault = err
	}
	t.mu.Unlock()
	if first {
		t.cancel()
		t.node.emit(Event{Kind: Failed, Torrent: t, Err: err})
	}
}

// stop ends the torrent, saving what it has.
func (t *Torrent) stop(ctx context.Context) error {
	t.cancel()
	err := t.swarm.Stop(ctx)
	t.wg.Wait()
	if b := t.known.encode(); len(b) > 0 {
		if werr := writeFile(t.state.peersPath(), b); werr != nil {
			t.node.log.Warn("known peers could not be saved", "torrent", t.Name(), "err", werr)
		}
	}
	if cerr := t.state.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%s: saving: %w", t.Name(), asFault(err))
	}
	return nil
}
