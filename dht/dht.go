// Package dht implements a node of the DHT (BEP 5, 32, 33, 42, 43, 44, 45 and 51). It does
// the network I/O and the locking; the packages dht/table, dht/lookup, dht/announce,
// dht/respond and dht/krpc make the decisions.
//
// It handles the KRPC datagrams of the sockets in its Config, one for each address family.
// Each family is a separate DHT (BEP 32) with its own id and table. Every datagram is
// parsed once. Queries are answered at once from our tables. A response is accepted only
// from the address that was asked, with the unpredictable transaction id of the query.
//
// All our queries take one path (transactions.go): those of lookups, announces, items and
// table maintenance. Their arguments and most return values have the types of anacrolix/dht
// (krpc, bep44).
//
// No operation depends on or waits for a single node. All bootstrap hosts are resolved and
// asked at once. A lookup that begins before any node is known asks the bootstrap hosts
// directly.
//
// Close ends every goroutine and every running lookup, and closes the sockets. All methods
// may be called from any goroutine.
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

// Defaults of a Config.
const (
	DefaultRate  = 250 // queries a second
	DefaultFlows = 500 // addresses asked within rate.FlowTime
)

// Config of a DHT node. Only Conns is required.
type Config struct {
	// Conns are the sockets whose KRPC datagrams the node handles, at most one for each
	// family. Close closes them.
	Conns []*netx.Socket
	// Bootstrap has the hosts ("name:port") to ask while few nodes are known.
	Bootstrap []string
	// Resolve returns the addresses of a bootstrap host. It is required if Bootstrap has names.
	Resolve func(ctx context.Context, host string, port uint16) ([]netip.Addr, error)
	// Nodes has the nodes that SavedNodes returned in an earlier run.
	Nodes []SavedNode
	// ID4 and ID6 are our ids of an earlier run; zero: new ones.
	ID4, ID6 id.ID
	// ReadOnly asks other nodes not to add us to their tables, and answers no queries (BEP
	// 43).
	ReadOnly bool
	// Private turns off the limits per address, BEP 42, and the rules against
	// special-purpose addresses. It is implied if the local address is private or loopback,
	// or if all bootstrap hosts are given as such addresses.
	Private bool
	// EnforceID answers a node whose id does not fit its address with an error (BEP 42).
	// Otherwise such nodes are served, and others are preferred.
	EnforceID bool
	// Store has the limits on what we store for other nodes; zero fields mean the defaults.
	Store store.Config
	// Rate is the maximum number of queries that we send a second, in both families
	// together; 0: DefaultRate.
	Rate float64
	// Flows is the maximum number of addresses that we ask within rate.FlowTime, so that we
	// do not fill the connection table of a home router; 0: DefaultFlows, negative: no
	// limit. A private network has no limit, because its traffic does not pass a router.
	Flows int
	// Observer is told what shows whether others can reach us; it may be nil.
	Observer Observer
	// Logger receives log messages; nil discards them.
	Logger *slog.Logger
}

// Observer is told what the DHT's datagrams say about our address and whether others can reach it.
// Its methods are called with a lock held: they must return at once and not use the DHT.
type Observer interface {
	// Asked says that a query is sent to an address.
	Asked(to netip.Addr)
	// Queried says that a query has arrived. It is called for one query a second at most.
	Queried(from netip.Addr)
	// SeenAs says that the node at by, which we have asked, sees us at ours (BEP 42). The port is
	// 0 if it does not say.
	SeenAs(by netip.Addr, ours netip.AddrPort)
}

func (c *Config) validate() error {
	if len(c.Conns) == 0 {
		return errors.New("dht: Config has no Conns")
	}
	seen := map[bool]bool{}
	for _, conn := range c.Conns {
		v6 := conn.LocalAddr().Addr().Unmap().Is6()
		if seen[v6] {
			return errors.New("dht: Config has two Conns of one address family")
		}
		seen[v6] = true
	}
	for _, b := range c.Bootstrap {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return fmt.Errorf("dht: bootstrap host %q is not HOST:PORT: %w", b, err)
		}
	}
	if c.Rate == 0 {
		c.Rate = DefaultRate
	}
	if c.Rate < 1 {
		return fmt.Errorf("dht: Config.Rate is %v queries a second, below the minimum of 1", c.Rate)
	}
	if c.Flows == 0 {
		c.Flows = DefaultFlows
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Resolve == nil {
		c.Resolve = func(context.Context, string, uint16) ([]netip.Addr, error) { return nil, errNoResolve }
	}
	return nil
}

// errNoResolve is the error for a name without Config.Resolve.
var errNoResolve = errors.New("dht: Config has no Resolve")

// private reports whether the node belongs to a private network.
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

// IsPrivate reports whether the node belongs to a private network: Config.Private is set,
// or every bootstrap address is a private one.
func (d *DHT) IsPrivate() bool { return d.cfg.private() }

// SavedNode is a node to start with after a restart.
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

	// mu guards the state of both families, because a reply may contain nodes of both, and
	// the fields up to outbox.
	mu      sync.Mutex
	random  *rand.Rand // unpredictable: source of transaction ids and tokens
	answers answers
	flows   tokens.Flows
	asked   *tokens.Sources // limits unanswered queries by address
	outbox  outbox

	boot    bootstrap
	ready   chan struct{}
	isReady sync.Once

	// ctx ends when the node closes; wg counts all goroutines of the node.
	ctx     context.Context
	stop    context.CancelFunc
	wg      sync.WaitGroup
	closeMu sync.Mutex // guards closing, so that wg.Add is not called after wg.Wait
	closing bool

	lookups    lookupCounters
	searching  chan struct{} // limits concurrent lookups
	announcing chan struct{} // limits concurrent announces
}

// maxTraversals is the maximum number of lookups, and of announces, that run at a time.
// More would exceed the send rate, and live nodes would then seem slow or dead.
const maxTraversals = 6

// ErrClosed is the error of every method after Close.
var ErrClosed = errors.New("dht: closed")

// New starts a node on the sockets of cfg. It starts to find its neighbours at once.
func New(cfg Config) (*DHT, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d := &DHT{
		cfg: cfg, log: cfg.Logger, epoch: time.Now(),
		flows:      tokens.NewFlows(cfg.Flows),
		ready:      make(chan struct{}),
		searching:  make(chan struct{}, maxTraversals),
		announcing: make(chan struct{}, maxTraversals),
	}
	d.cfg.Nodes = slices.Clone(cfg.Nodes)
	for i, n := range d.cfg.Nodes {
		d.cfg.Nodes[i].Addr = netip.AddrPortFrom(n.Addr.Addr().Unmap(), n.Addr.Port())
	}
	d.ctx, d.stop = context.WithCancel(context.Background())
	var seed [32]byte
	crand.Read(seed[:])
	d.random = rand.New(rand.NewChaCha8(seed))
	d.outbox = outbox{bucket: tokens.NewBucket(d.now(), cfg.Rate, max(cfg.Rate/2, 16)), wakeup: make(chan struct{}, 1)}
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

// spawn runs fn as a goroutine of the node. It returns false if the node is closing.
func (d *DHT) spawn(fn func()) bool {
	d.closeMu.Lock()
	defer d.closeMu.Unlock()
	if d.closing {
		return false
	}
	d.wg.Go(fn)
	return true
}

// Close ends the node and closes its sockets.
func (d *DHT) Close() error {
	d.closeMu.Lock()
	closed := d.closing
	d.closing = true
	d.closeMu.Unlock()
	if closed {
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

// now returns the time in the form that the packages below dht use.
func (d *DHT) now() mono.Time { return mono.From(d.epoch, time.Now()) }

// Ready returns a channel that is closed when the first node has answered.
func (d *DHT) Ready() <-chan struct{} { return d.ready }

// AddNode pings the node at an address from a PORT message, a magnet link or a .torrent
// file, and adds it to the table if it answers. It does nothing if too many such pings are
// pending.
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

// SavedNodes returns the nodes to start with in the next run: those of the table that
// answered the last query.
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

// ID returns our id in the DHT of a family, or the zero ID without a socket of the family.
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

// YourIP counts a peer's vote on what our address is (yourip of BEP 10).
func (d *DHT) YourIP(voter, ours netip.Addr) {
	voter, ours = voter.Unmap(), ours.Unmap()
	for _, f := range d.families {
		if f.v6 == ours.Is6() {
			f.vote(voter, ours)
		}
	}
}

// External returns our address of a family as other nodes see it, or the zero Addr until
// enough of them agree.
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
