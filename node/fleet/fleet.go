// Package fleet makes several nodes over one object store divide the torrents of the store between them.
//
// The nodes are equal and know each other by gossip (hashicorp/memberlist, SWIM): a node joins by the address of any other,
// and a node that fails is noticed within seconds. Each infohash has Copies owners among the live members, which rendezvous
// hashing chooses, so that all members agree without asking each other (internal/rendezvous). The owners of a torrent announce
// it; the other members serve the peers that connect to them. When a member joins or leaves, only its share of the torrents moves.
//
// Nothing of a fleet has to be exact. If members disagree for a while, a torrent is announced by more or fewer nodes than
// usual, and each node still serves everything. So both sides of a network partition go on.
//
// Membership changes take effect after a delay (settle.go), so that a short failure moves nothing. Files: transport.go has the
// sockets, message.go what members tell each other, join.go how a node finds the others, and key.go the key that they share.
package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	"seedbed/internal/rendezvous"
	"seedbed/node"
)

// Copies is the number of owners of each torrent.
const Copies = 2

// MaxMembers is the largest number of members. Further ones are ignored.
const MaxMembers = 256

const (
	// tickEvery is the interval at which the members are looked at.
	tickEvery = time.Second
	// reportEvery is the interval at which a member sends its numbers to all others.
	reportEvery = 5 * time.Second
	// leaveWithin is how long a node waits for others to receive its goodbye.
	leaveWithin = 2 * time.Second
	// aloneAfter is the time after which a node that can reach no other member owns torrents.
	aloneAfter = 10 * time.Second
)

// Config configures a Fleet.
type Config struct {
	Node *node.Node
	// Name is the name of this node. It must differ from those of the other members, and CheckName must accept it.
	Name string
	// Listen is the HOST:PORT for TCP and UDP at which the other members reach this node. With an empty host, it is every
	// address, and the others are told the one from which this node sends to the first of Members.
	Listen string
	// Members are HOST:PORT addresses of other members. They are resolved again and again, and the node need not reach any of
	// them: it works alone until it does.
	Members []string
	// Key is the secret of the fleet, of KeyLen bytes, or nil. Without one, Listen must be a loopback address.
	Key []byte
	// Store is the location of the object store. Members with another one own nothing.
	Store string
	// Version is that of the program, for Status.
	Version string
	// Network replaces the machine's sockets in tests; nil opens Listen.
	Network netx.Network
	// Log receives the log messages; nil disables logging.
	Log *slog.Logger
}

// A Fleet is the membership of a node. It ends when the node closes.
type Fleet struct {
	cfg   Config
	log   *slog.Logger
	epoch time.Time
	store string // hash of Config.Store
	list  *memberlist.Memberlist
	port  *transport
	// joinNow makes keepJoining join at once; capacity 1.
	joinNow chan struct{}

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	settling settling
	owners   rendezvous.Members // those of settling, for Owners
	live     map[string]*memberlist.Node
	places   map[string][]netip.AddrPort // where peers find the other live members
	reports  map[string]received
	known    map[string]bool   // names of members, also of those that are being added
	rivals   map[string]*rival // by the name of the member
	joined   joining
	own      meter
}

// received is the last report of a member.
type received struct {
	report
	at mono.Time
}

// Open makes the node a member. It does not wait for the others. An error is about the configuration or the sockets.
func Open(cfg Config) (*Fleet, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	network := cfg.Network
	if network == nil {
		var err error
		network, err = netx.Open(netx.Config{Listen: []string{cfg.Listen}, Outbound: cfg.Node.Outbound(), Logger: cfg.Log})
		if err != nil {
			return nil, node.NetworkFault(err)
		}
	}
	f := &Fleet{cfg: cfg, log: cfg.Log, joinNow: make(chan struct{}, 1), epoch: time.Now(), store: hashOf(cfg.Store), live: map[string]*memberlist.Node{},
		reports: map[string]received{}, known: map[string]bool{}, rivals: map[string]*rival{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.own.start = time.Now()
	f.port = newTransport(network, f.advertised, f.log)
	cfg.Node.SetOwnership(f.ownership()) // nothing is owned until the others are known
	var err error
	if f.list, err = memberlist.Create(f.memberlist()); err != nil {
		f.cancel()
		return nil, errors.Join(fmt.Errorf("the fleet cannot start: %w", err), f.port.Shutdown())
	}
	if _, err := cfg.Node.OnClose(f.close); err != nil {
		f.close()
		return nil, err
	}
	f.wg.Go(f.run)
	f.wg.Go(f.keepJoining)
	return f, nil
}

func (c *Config) validate() error {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	usage := func(err error, hint string) error { return node.NewFault(node.FaultUsage, err, hint) }
	if err := CheckName(c.Name); err != nil {
		return usage(err, "give another --fleet-name")
	}
	if c.Node.Outbound().Proxy != "" {
		return usage(errors.New("the nodes of a fleet connect to each other, and none can connect to this one through a proxy"), "leave out --fleet or --proxy")
	}
	if c.Key != nil && len(c.Key) != KeyLen {
		return usage(fmt.Errorf("the key of the fleet has %d bytes, not %d", len(c.Key), KeyLen), "make one with seedbed fleet key -o FILE")
	}
	if c.Key == nil && !isLoopback(c.Listen) {
		return usage(fmt.Errorf("without a key, anyone who can send to %s could take over the fleet", c.Listen),
			"make a key with seedbed fleet key -o FILE, copy it to every node and give --fleet-key FILE, or listen on 127.0.0.1")
	}
	return nil
}

// memberlist returns the configuration of the membership. A member that fails is noticed within 16 s in a fleet of up to ten
// nodes: some seconds until it is probed, and 4 to 12 s in which it can object.
func (f *Fleet) memberlist() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name, c.Transport, c.SecretKey = f.cfg.Name, f.port, f.cfg.Key
	c.Delegate, c.Conflict, c.Alive, c.Ping = (*delegate)(f), (*delegate)(f), (*delegate)(f), nil
	c.BindPort = int(f.port.net.Port())
	c.TCPTimeout = 5 * time.Second
	c.SuspicionMaxTimeoutMult = 3
	c.PushPullInterval = 15 * time.Second
	c.DeadNodeReclaimTime = 10 * time.Second // a node that was killed may return at another address
	c.EnableCompression = false              // states are small, and a packet that unpacks itself is a risk
	c.DNSConfigPath = "/dev/null"            // join.go resolves names
	c.Logger = log.New(logWriter{f.log}, "", 0)
	return c
}

// logWriter passes the lines of memberlist to a logger. All are details: what a user has to know is in Status.
type logWriter struct{ log *slog.Logger }

// Write implements io.Writer.
func (w logWriter) Write(b []byte) (int, error) {
	w.log.Debug("fleet: " + string(bytes.TrimSpace(b)))
	return len(b), nil
}

// close leaves the fleet.
func (f *Fleet) close() {
	f.cancel()
	if err := f.list.Leave(leaveWithin); err != nil {
		f.log.Debug("fleet: the others were not told goodbye", "err", err)
	}
	_ = f.list.Shutdown() // it never fails
	f.wg.Wait()
}

func (f *Fleet) now() mono.Time { return mono.From(f.epoch, time.Now()) }

// run looks at the members until the node closes.
func (f *Fleet) run() {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	var reported mono.Time
	for {
		f.look()
		if now := f.now(); reported == 0 || now.Sub(reported) >= reportEvery {
			reported = now
			f.sendReport()
		}
		select {
		case <-f.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look takes notice of who is a member now, and changes what this node owns if that has been so for a while.
func (f *Fleet) look() {
	members := f.list.Members()
	f.mu.Lock()
	if len(members) < len(f.live) {
		select {
		case f.joinNow <- struct{}{}:
		default:
		}
	}
	clear(f.live)
	clear(f.known)
	var names []string
	var partners []netip.AddrPort
	places := map[string][]netip.AddrPort{}
	for _, m := range members {
		f.live[m.Name], f.known[m.Name] = m, true
		about, err := parseMeta(m.Meta)
		if err != nil {
			continue // NotifyAlive has refused it
		}
		if m.Name != f.cfg.Name {
			partners = append(partners, about.Addrs...)
			places[m.Name] = about.best()
		}
		if about.Store == f.store {
			names = append(names, m.Name)
		}
	}
	for name := range f.reports {
		if f.live[name] == nil {
			delete(f.reports, name)
		}
	}
	slices.Sort(names)
	now := f.now()
	clashes := f.clashes(now)
	isReady := len(names) > 1 || len(f.cfg.Members) == 0 || now >= mono.Time(aloneAfter)
	changed := f.settling.step(now, names, isReady)
	hasMoved := !maps.EqualFunc(places, f.places, slices.Equal)
	if changed {
		f.owners = rendezvous.New(f.settling.current)
	}
	f.places = places
	ownership, settled := f.ownership(), f.settling.current
	f.mu.Unlock()
	for _, err := range clashes {
		f.cfg.Node.Emit(node.Event{Kind: node.Warning, Err: err})
	}
	f.cfg.Node.SetPartners(partners)
	if changed {
		f.log.Info("the members of the fleet changed", "members", settled)
	}
	if changed || hasMoved {
		f.cfg.Node.SetOwnership(ownership)
	}
}

// ownership returns who owns what among the members that have settled. mu is held.
func (f *Fleet) ownership() *node.Ownership {
	self, owners, places := f.cfg.Name, f.owners, f.places
	return &node.Ownership{
		Owns: func(infohash id.ID) bool { return owners.Owns(self, infohash, Copies) },
		Others: func(infohash id.ID) (list []netip.AddrPort) {
			for _, name := range owners.Owners(infohash, Copies) {
				list = append(list, places[name]...)
			}
			return list
		},
	}
}
