// Package node is the composition root: it owns the sockets, the DHT, the
// memory budget and the state directory, introduces the swarm to the DHT, and
// runs torrents from a link or .torrent file to verified files and on.
//
// A Node is opened with Open, given torrents with Add, and closed with Close,
// which saves everything. Subscribe reports what happens, Changes which torrents
// it happened to, and Torrent.Snapshot how a torrent stands. Errors that a person can do something
// about are a *Fault, whose Hint says what.
//
// The way of the data: Add locks the torrent in the state directory and starts
// its swarm; the torrent's manager (manage.go) asks the DHT for peers at the
// pace that pace.go sets and hands what it finds to the swarm as candidates,
// beside what the user and the link name (hints.go); the swarm asks back for
// storage once the metadata is known (content.go). Incoming connections are
// told apart by infohash (accept.go). What is bounded for the whole node is
// divided in budget.go.
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
	"os"
	"slices"
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

	steps    atomic.Int64  // of saving; see Saved
	closed   chan struct{} // everything has ended
	closeErr error         // set before closed is closed
}

// ErrDuplicate is a torrent that this node has already.
var ErrDuplicate = errors.New("this torrent was added before")

// Open starts a node.
func Open(cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
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
		cfg: cfg, log: cfg.Log, epoch: time.Now(), peerID: newPeerID(), state: st, net: network,
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
		return nil, networkFault(err)
	}
	return host, nil
}

// newPeerID follows BEP 20: client letters and version, then random.
func newPeerID() id.ID {
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

// Add takes on a torrent and starts it. ErrLocked says that another process
// runs it, ErrDuplicate that this one does.
func (n *Node) Add(spec Spec) (*Torrent, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	t, err := n.add(spec)
	if err != nil {
		return nil, err
	}
	t.emit(Event{Kind: Added, Magnet: t.Link()})
	for _, w := range spec.warnings() {
		t.emit(Event{Kind: Warning, Err: &Fault{Err: w}})
	}
	close(t.started)
	if t.live.Load() == nil {
		t.tellParked()
	}
	return t, nil
}

func (n *Node) add(spec Spec) (*Torrent, error) {
	hashes := spec.hashes()
	for _, h := range hashes {
		if n.lookup(h) != nil {
			return nil, ErrDuplicate
		}
	}
	st, err := n.state.openTorrent(spec.InfoHash())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Name(), err)
	}
	if n.parkable(&spec) && n.proven(&spec, st) {
		return n.enter(n.parked(spec, st), hashes)
	}
	t, err := n.enter(n.newTorrent(spec, st), hashes)
	if err != nil {
		return nil, err
	}
	t.runMu.Lock()
	t.start(st.loadInfo(&t.spec), false)
	t.runMu.Unlock()
	n.reshare()
	return t, nil
}

// enter puts a torrent on the node's list.
func (n *Node) enter(t *Torrent, hashes []id.ID) (*Torrent, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := n.closing
	for _, h := range hashes {
		taken = taken || n.torrents[h] != nil
	}
	if taken {
		t.cancel()
		err := ErrDuplicate
		if n.closing {
			err = ErrClosed
		}
		return nil, errors.Join(err, t.state.close())
	}
	n.call(t, hashes)
	n.order = append(n.order, t)
	n.population.Store(int32(len(n.order)))
	return t, nil
}

// call has a torrent found by these infohashes, and looked for. mu is held.
func (n *Node) call(t *Torrent, hashes []id.ID) {
	for _, h := range hashes {
		if n.torrents[h] == nil {
			n.torrents[h] = t
			n.keys[swarm.KeyHash(h)] = h
			t.hashes = append(t.hashes, h)
			t.look(h)
		}
	}
}

// rename adds the infohashes that only the info dictionary tells.
func (n *Node) rename(t *Torrent, hashes []id.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closing {
		n.call(t, hashes)
	}
}

// Torrents are all that the node runs, in the order that they were added.
func (n *Node) Torrents() []*Torrent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.order)
}

// ErrUnknown is returned for an infohash that no torrent of this node has.
var ErrUnknown = errors.New("this node has no such torrent")

// Remove stops the torrent that has this infohash and deletes what the state directory
// holds of it. It returns when that is done or ctx ends; then the rest follows by itself.
func (n *Node) Remove(ctx context.Context, ih id.ID) error {
	t := n.lookup(ih)
	if t == nil {
		return ErrUnknown
	}
	t.stop()
	select {
	case <-t.ended:
		n.handles.Forget(t.state.path)
		return errors.Join(t.endErr, os.RemoveAll(t.state.path))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lookup finds a torrent by its infohash.
func (n *Node) lookup(ih id.ID) *Torrent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.torrents[ih]
}

// ofKeyHash finds the infohash that an encrypted handshake names.
func (n *Node) ofKeyHash(keyHash [20]byte) (id.ID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ih, ok := n.keys[keyHash]
	return ih, ok
}

// forget lets go of a torrent that has ended, unless the node ends with it.
func (n *Node) forget(t *Torrent) {
	if n.unlist(t) {
		t.emit(Event{Kind: Removed})
	}
}

// unlist takes a torrent off the node's list. It returns false if the node ends.
func (n *Node) unlist(t *Torrent) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return false
	}
	for _, h := range t.hashes {
		delete(n.torrents, h)
		delete(n.keys, swarm.KeyHash(h))
	}
	for i, o := range n.order {
		if o == t {
			n.order = append(n.order[:i:i], n.order[i+1:]...)
			break
		}
	}
	n.population.Store(int32(len(n.order)))
	n.share()
	return true
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
		<-t.ended
		errs = append(errs, t.endErr)
	}
	n.wg.Wait()
	n.mirrors.CloseIdleConnections()
	n.shared.Close()
	n.handles.Close()
	n.closeErr = errors.Join(append(errs, n.state.close())...)
}

func (n *Node) now() mono.Time { return mono.From(n.epoch, time.Now()) }
