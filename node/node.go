// Package node ties everything together: it owns the sockets, the DHT, the
// memory budget and the state directory, connects the swarm to the DHT, and
// runs torrents from a link or .torrent file to verified files and seeding.
//
// Open starts a Node, Add gives it a torrent, and Close saves everything and stops
// it. Subscribe reports events, Changes returns which torrents had events, and
// Torrent.Snapshot returns the state of a torrent. An error that the user can fix
// is a *Fault, whose Hint says what to do.
//
// How data flows: Add reserves the infohash (registry.go), locks the torrent in the
// state directory and starts its swarm (run.go). Discoveries (discovery.go) ask the DHT for
// peers at the pace that pace.go sets, and pass them to the swarm as candidates, as do the
// hints of the user and the link (hints.go) and the peers of the local network
// (localpeers.go). The swarm opens the storage once the metadata
// is known (content.go). Incoming connections are matched to torrents by infohash
// (accept.go). Resources that are limited for the whole node are divided in budget.go.
//
// Package lifecycle decides what a torrent does next, and the torrent's worker (worker.go)
// does it. Only the worker starts and stops the swarm and waits for the disk, without a lock
// held.
//
// Torrents that are added with Spec.Persistent form the session (session.go): each has a
// record in the state directory, and Restore adds all of them again. Operations on a torrent
// are in operations.go, and the steps that perform them in steps.go.
//
// Publishing and following are separate packages, node/publish and node/follow. They and
// other clients use what clients.go exports.
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/lsd"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	"seedbed/swarm"
	"seedbed/swarm/storage"
	"seedbed/swarm/webseed"
)

// Node is a running node. Its methods may be called from any goroutine.
type Node struct {
	cfg       Config
	log       *slog.Logger
	epoch     time.Time
	peerID    id.ID
	state     *stateDir
	net       netx.Network
	reach     *reach
	mapper    portMapper // nil if there is nothing to map
	mapped    mappedPorts
	dht       *dht.DHT       // nil if disabled
	announcer *dht.Announcer // of all torrents; nil if dht is
	keeper    *dht.Keeper    // of all items; nil if dht is
	lsd       *lsd.Service   // nil if we listen on loopback only
	lsdWakes  wakeLimit
	handles   *storage.Handles
	shared    *swarm.Shared // hash workers and piece buffers
	mirrors   *http.Client  // client for web seeds
	budget    budget
	counters  counters
	records   recordSyncer
	specs     specPool // of parked and paused torrents
	mounts    mounts
	folders   downloadFolders // of torrents that run or lack their data
	lastRead  lastRead        // of a torrent that does not run

	fleet      fleet
	transports transports
	evidence   evidence
	dialBacks  dialBacks
	pushes     pushes
	paths      paths

	settings   atomic.Pointer[Settings] // in force; cfg holds those of the start
	settingsMu sync.Mutex               // held while they change

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	wg     sync.WaitGroup

	events hub

	mu         sync.Mutex
	torrents   map[id.ID]*Torrent
	keys       map[[20]byte]id.ID // infohashes by their hash in encrypted handshakes
	order      roster
	actives    actives
	population atomic.Int32 // number of torrents in order that are not those of Archives
	closers    map[*closer]struct{}
	closing    bool
	lastPlace  int64 // in the queue of the session

	uptimeBefore time.Duration // of earlier runs

	steps    atomic.Int64  // saving steps; see Saved
	closed   chan struct{} // everything has ended
	closeErr error         // set before closed is closed
}

// Open starts a node.
func Open(cfg Config) (*Node, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	st, err := openState(cfg.State)
	if err != nil {
		return nil, err
	}
	var reach reach
	network := cfg.Network
	if network == nil {
		if network, err = listen(&cfg, &reach); err != nil {
			return nil, errors.Join(err, st.close())
		}
	}
	n := &Node{
		reach: &reach,
		cfg:   cfg, log: cfg.Log, epoch: time.Now(), peerID: NewPeerID(), state: st, net: network,
		handles:  storage.NewHandles(0),
		shared:   swarm.NewShared(swarm.SharedConfig{Memory: cfg.Memory, ChunkSize: chunkSize, UpRate: cfg.UpRate, DownRate: cfg.DownRate}),
		closers:  map[*closer]struct{}{},
		torrents: map[id.ID]*Torrent{}, keys: map[[20]byte]id.ID{}, closed: make(chan struct{}),
	}
	n.events.log.start(n.epoch)
	n.records.init(n)
	n.mounts.find = cfg.mountOf
	n.uptimeBefore = st.loadUptime()
	n.settings.Store(&cfg.Settings)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.mirrors = webseed.NewClient(n.paths.mirrors.dialer(cfg.Outbound.DialHost), cfg.LocalWebSeeds, func(ip netip.Addr) bool { return !n.isBlocked(ip) })
	webseed.Count(n.mirrors, n.mirrorMeter)
	n.budget.init(&n.cfg)
	n.evidence.init(n)
	n.dialBacks.init(n)
	n.pushes.init(n)
	if !cfg.NoDHT {
		if n.dht, err = n.openDHT(); err != nil {
			n.cancel()
			n.shared.Close()
			return nil, errors.Join(err, network.Close(), st.close())
		}
	}
	reach.attach(n)
	if n.dht != nil {
		n.announcer, n.keeper = dht.NewAnnouncer(n.dht), dht.NewKeeper(n.dht)
		n.wg.Go(func() { n.keep("the DHT nodes", n.saveDHT) })
	}
	n.openTransports()
	n.startMapper() // it uses the announcer, and can move the transports to another port
	n.startLSD()
	n.accept()
	n.wg.Go(n.evidence.follow)
	n.watchNetwork()
	n.wg.Go(n.keepBudget)
	n.wg.Go(func() { n.keep("the uptime", n.saveUptime) })
	return n, nil
}

// NewPeerID returns a random peer id with our client code and version (BEP 20).
func NewPeerID() id.ID {
	var p id.ID
	_, _ = rand.Read(p[:]) // never fails
	copy(p[:], "-SB0100-")
	return p
}

// Addrs returns the addresses that the node listens on, for both TCP and UDP.
func (n *Node) Addrs() []netip.AddrPort { return n.net.Addrs() }

// DHTNodes returns the number of good nodes in the DHT's routing tables.
func (n *Node) DHTNodes() int {
	if n.dht == nil {
		return 0
	}
	s := n.dht.Stats()
	return s.Nodes4 + s.Nodes6
}

// Announcing returns the state of the torrents' announces in the DHT.
func (n *Node) Announcing() dht.AnnouncerStats {
	if n.announcer == nil {
		return dht.AnnouncerStats{}
	}
	return n.announcer.Stats()
}

// Close stops every torrent, saves its state and frees the port. When ctx ends, Close
// returns and the work continues in the background. What is not saved when the process
// ends is hashed again in the next run.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	first := !n.closing
	n.closing = true
	n.mu.Unlock()
	if first {
		n.cancel()
		go n.end()
	}
	select {
	case <-n.closed:
		return n.closeErr
	case <-ctx.Done():
		return fmt.Errorf("not everything was saved in time; what is missing is hashed again next time: %w", ctx.Err())
	}
}

// Saved counts saving steps: files synced or renamed, torrents ended. While it grows, a slow
// Close makes progress.
func (n *Node) Saved() int64 { return n.steps.Load() }

// end does the work of Close. It closes the network first, so that a disk that hangs
// blocks neither the port nor the saving of DHT nodes.
func (n *Node) end() {
	defer close(n.closed)
	defer n.events.close()
	clientsEnded := n.endClients()
	if n.lsd != nil {
		n.lsd.Close()
	}
	var unmapped sync.WaitGroup
	if n.mapper != nil {
		unmapped.Go(n.mapper.Close) // a router may be slow
	}
	n.mu.Lock()
	ts := n.order.list()
	n.mu.Unlock()
	for _, t := range ts {
		t.stop()
	}
	var errs []error
	if n.dht != nil {
		errs = append(errs, n.saveDHT(), n.dht.Close())
	}
	errs = append(errs, n.transports.utp.Close(), n.net.Close())
	clientsEnded()
	for _, t := range ts {
		<-t.Ended()
		errs = append(errs, t.unsaved())
	}
	n.records.close()
	unmapped.Wait()
	n.wg.Wait()
	errs = append(errs, n.saveUptime())
	n.mirrors.CloseIdleConnections()
	n.shared.Close()
	n.handles.Close()
	n.closeErr = errors.Join(append(errs, n.state.close())...)
}

func (n *Node) now() mono.Time { return mono.From(n.epoch, time.Now()) }
