// Package node is the composition root: it owns the sockets, the DHT, the
// memory budget and the state directory, introduces the swarm to the DHT, and
// runs torrents from a link or .torrent file to verified files and on.
//
// A Node is opened with Open, given torrents with Add, and closed with Close,
// which saves everything. Subscribe reports what happens, Changes which torrents
// it happened to, and Torrent.Snapshot how a torrent stands. Errors that a person can do something
// about are a *Fault, whose Hint says what.
//
// The way of the data: Add reserves the infohash (registry.go), locks the torrent in the
// state directory and starts its swarm (run.go); discoveries (discovery.go) ask the DHT for
// peers at the pace that pace.go sets and hand what they find to the swarm as candidates,
// beside what the user and the link name (hints.go); the swarm asks back for storage once
// the metadata is known (content.go). Incoming connections are told apart by infohash
// (accept.go). What is bounded for the whole node is divided in budget.go.
//
// What a torrent does next is decided in package lifecycle, and done by the torrent's worker
// (control.go): it alone starts and stops the swarm and waits for the disk, with no lock
// held.
//
// Torrents that are added with Spec.Persistent are the session (session.go): each is on record
// in the state directory, and Restore adds all of them again. Operations on a torrent are in
// operations.go, and the steps that they lead to in steps.go.
//
// Publishing and following what changes under one link are packages of their own,
// node/publish and node/follow. They and other clients use what clients.go exports.
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
	dht       *dht.DHT       // nil when it is off
	announcer *dht.Announcer // of all torrents; nil with dht
	keeper    *dht.Keeper    // of all items; nil with dht
	handles   *storage.Handles
	shared    *swarm.Shared // hash workers and piece buffers
	mirrors   *http.Client  // that asks web seeds
	budget    budget

	settings   atomic.Pointer[Settings] // in force; the Settings of cfg are those of the start
	settingsMu sync.Mutex               // held while they change

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	wg     sync.WaitGroup

	events hub

	mu         sync.Mutex
	torrents   map[id.ID]*Torrent
	keys       map[[20]byte]id.ID // infohashes, as an encrypted handshake names them
	order      []*Torrent         // as they were added
	population atomic.Int32       // of order
	closers    map[*closer]struct{}
	closing    bool
	lastPlace  int64 // in the queue of the session

	steps    atomic.Int64  // of saving; see Saved
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
	network := cfg.Network
	if network == nil {
		if network, err = listen(&cfg); err != nil {
			return nil, errors.Join(err, st.close())
		}
	}
	n := &Node{
		cfg: cfg, log: cfg.Log, epoch: time.Now(), peerID: NewPeerID(), state: st, net: network,
		handles:  storage.NewHandles(0),
		shared:   swarm.NewShared(swarm.SharedConfig{Memory: cfg.Memory, ChunkSize: chunkSize, UpRate: cfg.UpRate, DownRate: cfg.DownRate}),
		closers:  map[*closer]struct{}{},
		torrents: map[id.ID]*Torrent{}, keys: map[[20]byte]id.ID{}, closed: make(chan struct{}),
	}
	n.events.log.start(n.epoch)
	n.settings.Store(&cfg.Settings)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.mirrors = webseed.NewClient(cfg.LocalWebSeeds, func(ip netip.Addr) bool { return !n.isBlocked(ip) })
	n.budget.init(&n.cfg)
	if !cfg.NoDHT {
		if n.dht, err = n.openDHT(); err != nil {
			n.cancel()
			n.shared.Close()
			return nil, errors.Join(err, network.Close(), st.close())
		}
	}
	for _, a := range network.Addrs() {
		n.Emit(Event{Kind: Listening, Addr: a.String()})
	}
	if n.dht != nil {
		n.announcer, n.keeper = dht.NewAnnouncer(n.dht), dht.NewKeeper(n.dht)
		n.wg.Go(n.keepDHT)
	}
	for _, s := range network.UDP() {
		n.refuseSYNs(s)
	}
	n.wg.Go(n.accept)
	n.wg.Go(n.keepBudget)
	return n, nil
}

// listen takes the port.
func listen(cfg *Config) (netx.Network, error) {
	c := netx.Config{DefaultPort: DefaultPort, Logger: cfg.Log}
	if cfg.Listen != "" {
		c.Listen = []string{cfg.Listen}
	}
	host, err := netx.Open(c)
	if err != nil {
		return nil, NetworkFault(err)
	}
	return host, nil
}

// NewPeerID returns a random peer id with our client letters and version (BEP 20).
func NewPeerID() id.ID {
	var p id.ID
	_, _ = rand.Read(p[:]) // never fails
	copy(p[:], "-SB0100-")
	return p
}

// Addrs are the addresses that the node listens on, TCP and UDP alike.
func (n *Node) Addrs() []netip.AddrPort { return n.net.Addrs() }

// DHTNodes is the number of good nodes in the DHT's routing tables.
func (n *Node) DHTNodes() int {
	if n.dht == nil {
		return 0
	}
	s := n.dht.Stats()
	return s.Nodes4 + s.Nodes6
}

// Announcing is how the torrents stand with their announces in the DHT.
func (n *Node) Announcing() dht.AnnouncerStats {
	if n.announcer == nil {
		return dht.AnnouncerStats{}
	}
	return n.announcer.Stats()
}

// Close stops every torrent, saves what is worth saving and frees the port. It
// gives up waiting when ctx ends, and the rest follows by itself; what is not
// saved by the end of the process is hashed again next time.
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

// Saved counts what is done to save what torrents have: files that are synced or renamed,
// torrents that have ended. While it grows, a Close that takes its time makes progress.
func (n *Node) Saved() int64 { return n.steps.Load() }

// end does the work of Close. The network goes first: a disk that hangs keeps
// neither the port nor what the DHT has learned.
func (n *Node) end() {
	defer close(n.closed)
	defer n.events.close()
	clientsEnded := n.endClients()
	n.mu.Lock()
	ts := n.order
	n.mu.Unlock()
	for _, t := range ts {
		t.stop()
	}
	var errs []error
	if n.dht != nil {
		errs = append(errs, n.saveDHT(), n.dht.Close())
	}
	errs = append(errs, n.net.Close())
	clientsEnded()
	for _, t := range ts {
		<-t.Ended()
		errs = append(errs, t.unsaved())
	}
	n.wg.Wait()
	n.mirrors.CloseIdleConnections()
	n.shared.Close()
	n.handles.Close()
	n.closeErr = errors.Join(append(errs, n.state.close())...)
}

func (n *Node) now() mono.Time { return mono.From(n.epoch, time.Now()) }
