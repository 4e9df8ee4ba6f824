// Package node is the composition root: it owns the sockets, the DHT, the
// memory budget and the state directory, introduces the swarm to the DHT, and
// runs torrents from a link or .torrent file to verified files and on.
//
// A Node is opened with Open, given torrents with Add, and closed with Close,
// which saves everything. What happens is told through Config.OnEvent, how
// things stand through Torrent.Snapshot. Errors that a person can do something
// about are a *Fault, whose Hint says what.
//
// The way of the data: Add locks the torrent in the state directory and starts
// its swarm; the torrent's manager (manage.go) asks the DHT for peers at the
// pace that pace.go sets and hands what it finds to the swarm as candidates;
// the swarm asks back for storage once the metadata is known (content.go).
// Incoming connections are told apart by infohash (accept.go).
package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	"seedbed/swarm"
	"seedbed/swarm/storage"
)

// chunkSize is the unit of piece buffers: a piece up to this size is hashed
// and written from memory as a whole.
const chunkSize = 1 << 20

// Node is a running node. Its methods may be called from any goroutine.
type Node struct {
	cfg     Config
	log     *slog.Logger
	epoch   time.Time
	peerID  id.ID
	state   *stateDir
	host    *netx.Host
	dht     *dht.DHT // nil when it is off
	handles *storage.Handles
	shared  *swarm.Shared // hash workers and piece buffers

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	wg     sync.WaitGroup

	emitMu sync.Mutex // makes events come one at a time

	mu       sync.Mutex
	torrents map[id.ID]*Torrent
	closed   bool
}

// ErrDuplicate is a torrent that this node has already.
var ErrDuplicate = errors.New("this torrent was added before")

var errClosed = errors.New("the node is closed")

// Open starts a node.
func Open(cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	st, err := openState(cfg.State)
	if err != nil {
		return nil, err
	}
	listen := netx.Config{DefaultPort: DefaultPort, Logger: cfg.Log}
	if cfg.Listen != "" {
		listen.Listen = []string{cfg.Listen}
	}
	host, err := netx.Open(listen)
	if err != nil {
		_ = st.close()
		return nil, networkFault(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &Node{
		cfg: cfg, log: cfg.Log, epoch: time.Now(), peerID: newPeerID(), state: st, host: host,
		handles: storage.NewHandles(0), shared: swarm.NewShared(swarm.SharedConfig{Memory: cfg.Memory, ChunkSize: chunkSize}),
		ctx: ctx, cancel: cancel, torrents: map[id.ID]*Torrent{},
	}
	if !cfg.NoDHT {
		if n.dht, err = n.openDHT(); err != nil {
			n.shared.Close()
			return nil, errors.Join(err, host.Close(), st.close())
		}
	}
	for _, a := range host.Addrs() {
		n.emit(Event{Kind: Listening, Addr: a.String()})
	}
	n.wg.Go(n.accept)
	if n.dht != nil {
		n.wg.Go(n.keepSaved)
	}
	return n, nil
}

// newPeerID follows BEP 20: client letters and version, then random.
func newPeerID() id.ID {
	var p id.ID
	_, _ = rand.Read(p[:]) // never fails
	copy(p[:], "-SB0100-")
	return p
}

// Addrs are the addresses that the node listens on, TCP and UDP alike.
func (n *Node) Addrs() []netip.AddrPort { return n.host.Addrs() }

// DHTNodes is the number of good nodes in the DHT's routing tables.
func (n *Node) DHTNodes() int {
	if n.dht == nil {
		return 0
	}
	s := n.dht.Stats()
	return s.Nodes4 + s.Nodes6
}

// Add takes on a torrent and starts it. ErrLocked says that another process
// runs it, ErrDuplicate that this one does.
func (n *Node) Add(spec Spec) (*Torrent, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errClosed
	}
	ih := spec.InfoHash()
	if n.torrents[ih] != nil {
		return nil, ErrDuplicate
	}
	st, err := n.state.openTorrent(ih)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Name(), err)
	}
	t, err := n.startTorrent(spec, st)
	if err != nil {
		return nil, errors.Join(err, st.close())
	}
	n.torrents[ih] = t
	n.shareBudget()
	return t, nil
}

// lookup finds a torrent by its infohash.
func (n *Node) lookup(ih id.ID) *Torrent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.torrents[ih]
}

// shareBudget divides what is bounded for the whole node among its torrents.
// The caller holds mu.
func (n *Node) shareBudget() {
	k := len(n.torrents)
	for _, t := range n.torrents {
		t.setShare(share{
			memory:   max(n.cfg.Memory/int64(k), 2*chunkSize),
			halfOpen: max(n.cfg.HalfOpen/k, 4),
			conns:    max(n.cfg.MaxConns/k, 8),
		})
	}
}

// Close stops every torrent, saves what is worth saving and frees the port. It
// gives up waiting when ctx ends; what was not saved is hashed again next time.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	ts := make([]*Torrent, 0, len(n.torrents))
	for _, t := range n.torrents {
		ts = append(ts, t)
	}
	n.mu.Unlock()
	n.cancel()

	errs := make([]error, len(ts))
	var wg sync.WaitGroup
	for i, t := range ts {
		wg.Go(func() { errs[i] = t.stop(ctx) })
	}
	wg.Wait()
	if n.dht != nil {
		errs = append(errs, n.saveDHT(), n.dht.Close())
	}
	errs = append(errs, n.host.Close())
	n.wg.Wait()
	n.shared.Close()
	n.handles.Close()
	return errors.Join(append(errs, n.state.close())...)
}

func (n *Node) emit(e Event) {
	n.emitMu.Lock()
	defer n.emitMu.Unlock()
	e.Time = time.Now()
	n.cfg.OnEvent(e)
}

func (n *Node) now() mono.Time { return mono.From(n.epoch, time.Now()) }
