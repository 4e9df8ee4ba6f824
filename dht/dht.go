// Package dht is a node of the DHT (BEP 5, 32, 42, 43): the shell around the
// pure rooms dht/table, dht/lookup, dht/respond and dht/krpc.
//
// It handles the KRPC datagrams of the sockets that it is given, one for each
// address family; each family is a DHT of its own (BEP 32) with its own
// id and table. Every datagram is scanned once. Queries are answered in
// place from our tables. A response is taken only if we asked that address
// under that unguessable transaction id. All queries of ours, those of lookups,
// announces, items and upkeep, take one way (transactions.go). Their arguments and
// what items and counts return are of the types of anacrolix/dht (krpc, bep44).
//
// Nothing here trusts or waits for a single node: bootstrap hosts are resolved
// and asked all at once, and a lookup that begins before anybody has answered
// asks the bootstrap addresses themselves.
//
// Close ends every goroutine, running lookups included, and closes the
// connections. All methods may be called from any goroutine.
package dht

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"seedbed/dht/store"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	tokens "seedbed/internal/rate"
)

// Config of a DHT node. Only Conns is required.
type Config struct {
	// Conns are the sockets, at most one for each family, whose KRPC datagrams the
	// node handles. Close closes them.
	Conns []*netx.Socket
	// Bootstrap are the hosts ("name:port") to ask when nobody is known.
	Bootstrap []string
	// Resolve finds the addresses of a bootstrap host; nil: the system's resolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Nodes were saved by an earlier run.
	Nodes []SavedNode
	// ID4 and ID6 are our ids of an earlier run; zero: new ones.
	ID4, ID6 id.ID
	// ReadOnly keeps us out of other nodes' tables and answers no queries (BEP 43).
	ReadOnly bool
	// Private lifts the rules that keep forged neighbourhoods and martian
	// addresses out. It is implied where the local address is private or
	// loopback, and where all bootstrap hosts are given as such addresses.
	Private bool
	// EnforceID answers a node whose id does not fit its address with an error
	// (BEP 42) instead of merely preferring others.
	EnforceID bool
	// Store is how much we keep for others; zero fields mean libtorrent's caps.
	Store store.Config
	// Rate is how many queries we send a second at most, over both families;
	// 0: 250.
	Rate float64
	// Flows is how many addresses we ask within rate.FlowTime at most, so that
	// the table of a home router has room for others; 0: 500, negative: no limit.
	// A node of a private network has none: no router is on its way.
	Flows int
	// Logger takes what a user may want to know; nil: nobody does.
	Logger *slog.Logger
}

func (c *Config) validate() error {
	if len(c.Conns) == 0 {
		return errors.New("dht: no packet connection to work on")
	}
	seen := map[bool]bool{}
	for _, conn := range c.Conns {
		v6 := conn.LocalAddr().Addr().Unmap().Is6()
		if seen[v6] {
			return errors.New("dht: two packet connections of one address family")
		}
		seen[v6] = true
	}
	for _, b := range c.Bootstrap {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return fmt.Errorf("dht: bootstrap host %q is not HOST:PORT: %w", b, err)
		}
	}
	if c.Rate == 0 {
		c.Rate = 250
	}
	if c.Rate < 1 {
		return fmt.Errorf("dht: %v packets a second are too few to work with", c.Rate)
	}
	if c.Flows == 0 {
		c.Flows = 500
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Resolve == nil {
		c.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return nil
}

// private reports whether the node is meant for a private network.
func (c *Config) private() bool {
	if c.Private {
		return true
	}
	for _, b := range c.Bootstrap {
		if a, err := netip.ParseAddrPort(b); err != nil || !addrs.IsLocal(a.Addr().Unmap()) {
			return false
		}
	}
	return len(c.Bootstrap) > 0
}

// IsPrivate reports whether the node is meant for a private network: Config.Private
// says so, or every bootstrap address is a private one.
func (d *DHT) IsPrivate() bool { return d.cfg.private() }

// SavedNode is a node worth remembering over a restart.
type SavedNode struct {
	ID   id.ID
	Addr netip.AddrPort
}

// DHT is a running node of the DHT.
type DHT struct {
	cfg      Config
	log      *slog.Logger
	epoch    time.Time
	families []*family

	// mu guards the state of the families, the random source, flows and answers: a
	// query may be told of the nodes of both.
	mu      sync.Mutex
	random  *rand.Rand // a keyed stream that nobody can foretell: transaction ids, tokens
	answers answers
	flows   tokens.Flows
	asked   *tokens.Sources // unanswered queries, by address
	outbox  outbox

	boot    bootstrap
	ready   chan struct{}
	isReady sync.Once

	// ctx is the life of the node; wg counts every goroutine of ours.
	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
	life sync.Mutex // guards closed against wg.Add
	dead bool

	lookups   lookupCounters
	searching chan struct{} // slots of Lookup
	telling   chan struct{} // slots of Announce
}

// Lookups and announces that run at a time, each; the others wait for their
// turn. More would outrun the send rate, and then live nodes look slow or dead.
const maxTraversals = 6

// ErrClosed is what every method returns after Close.
var ErrClosed = errors.New("dht: closed")

// New starts a node on the connections and lets it find its neighbours.
func New(cfg Config) (*DHT, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d := &DHT{
		cfg: cfg, log: cfg.Logger, epoch: time.Now(),
		flows:     tokens.NewFlows(cfg.Flows),
		ready:     make(chan struct{}),
		searching: make(chan struct{}, maxTraversals),
		telling:   make(chan struct{}, maxTraversals),
	}
	d.cfg.Nodes = slices.Clone(cfg.Nodes)
	for i, n := range d.cfg.Nodes {
		d.cfg.Nodes[i].Addr = netip.AddrPortFrom(n.Addr.Addr().Unmap(), n.Addr.Port())
	}
	d.ctx, d.stop = context.WithCancel(context.Background())
	var seed [32]byte
	crand.Read(seed[:])
	d.random = rand.New(rand.NewChaCha8(seed))
	d.outbox = outbox{bucket: tokens.NewBucket(d.now(), cfg.Rate, max(cfg.Rate/2, 16)), poke: make(chan struct{}, 1)}
	d.asked = tokens.NewSources(silentRate, silentBurst, silentSources, d.random)
	for _, conn := range cfg.Conns {
		d.families = append(d.families, newFamily(d, conn))
	}
	d.answers = newAnswers(d, d.random)
	d.boot.init(d)
	d.spawn(d.dispatch)
	for _, f := range d.families {
		d.spawn(f.upkeep)
		f.conn.Handle(netx.KRPC, f.handle)
	}
	return d, nil
}

// spawn runs fn as a goroutine of the node, unless it is closing.
func (d *DHT) spawn(fn func()) bool {
	d.life.Lock()
	defer d.life.Unlock()
	if d.dead {
		return false
	}
	d.wg.Go(fn)
	return true
}

// Close ends the node and closes its connections.
func (d *DHT) Close() error {
	d.life.Lock()
	was := d.dead
	d.dead = true
	d.life.Unlock()
	if was {
		return nil
	}
	d.stop()
	var errs []error
	for _, f := range d.families {
		if err := f.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	d.wg.Wait()
	return errors.Join(errs...)
}

// now is the time on the clock of the pure rooms.
func (d *DHT) now() mono.Time { return mono.From(d.epoch, time.Now()) }

// Ready is closed once a first node has answered.
func (d *DHT) Ready() <-chan struct{} { return d.ready }

// AddNode pings the address, and keeps the node if it answers: where PORT
// messages, magnet links and .torrent files name nodes.
func (d *DHT) AddNode(addr netip.AddrPort) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	for _, f := range d.families {
		if f.v6 == addr.Addr().Is6() && addrs.IsNode(addr, f.relaxed) {
			d.mu.Lock()
			f.tryPing(d.now(), addr, &f.hints)
			d.mu.Unlock()
		}
	}
}

// SavedNodes is what to hand to the next run: the nodes that answered last.
func (d *DHT) SavedNodes() []SavedNode {
	var out []SavedNode
	for _, f := range d.families {
		d.mu.Lock()
		for _, n := range f.table.Nodes() {
			if n.Fails == 0 {
				out = append(out, SavedNode{ID: n.ID, Addr: n.Addr})
			}
		}
		d.mu.Unlock()
	}
	return out
}

// ID is our id in the DHT of a family.
func (d *DHT) ID(v6 bool) id.ID {
	for _, f := range d.families {
		if f.v6 == v6 {
			d.mu.Lock()
			defer d.mu.Unlock()
			return f.table.ID()
		}
	}
	return id.ID{}
}

// YourIP counts what a peer says our address is (BEP 10's yourip) as its vote.
func (d *DHT) YourIP(voter, ours netip.Addr) {
	voter, ours = voter.Unmap(), ours.Unmap()
	for _, f := range d.families {
		if f.v6 == ours.Is6() {
			f.vote(voter, ours)
		}
	}
}

// External returns our address of a family as others see it, or the zero Addr while that
// is unsettled.
func (d *DHT) External(v6 bool) netip.Addr {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.families {
		if f.v6 == v6 {
			return f.external
		}
	}
	return netip.Addr{}
}

func randomID() (x id.ID) {
	crand.Read(x[:])
	return x
}
