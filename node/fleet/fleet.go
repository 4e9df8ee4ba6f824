// Package fleet makes several nodes over one object store divide the torrents of its catalogue between them.
//
// The nodes are equal and know each other by gossip (hashicorp/memberlist, SWIM): a node joins by the address of any other,
// and a node that fails is noticed within seconds. Each infohash has two owners among the live members, which rendezvous
// hashing chooses, so that all members agree without asking each other (internal/rendezvous). The owners of a torrent announce
// it; the other members serve the peers that connect to them. When a member joins or leaves, only its share of the torrents moves.
//
// Nothing of a fleet has to be exact. If members disagree for a while, a torrent is announced by more or fewer nodes than
// usual, and each node still serves everything. So both sides of a network partition go on.
//
// Membership changes take effect after a delay (settle.go), so that a short failure moves nothing. Files: transport.go has the
// sockets, message.go what members send each other, ask.go how one asks the others about a torrent, members.go what is known of them,
// join.go how a node finds the others, key.go the key that they share, and trouble.go what the user is warned of.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	"seedbed/internal/rendezvous"
	"seedbed/node"
)

const (
	// copies is the number of owners of each torrent.
	copies = 2
	// maxMembers is the largest number of members. Further ones are ignored.
	maxMembers = 256
	// tickEvery is the interval at which the members are looked at.
	tickEvery = time.Second
	// reportEvery is the interval at which a member sends its numbers to all others.
	reportEvery = 5 * time.Second
	// leaveWithin is how long a node that leaves waits until it has told the others.
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
	// address, and the others are told one from which this node sends to Members.
	Listen string
	// Advertise is the HOST:PORT that the others are told instead, if a NAT forwards it to Listen; "" if none does. It is resolved
	// again and again.
	Advertise string
	// Members are HOST:PORT addresses of other members. They are resolved again and again, and the node need not reach any of
	// them: it works alone until it does.
	Members []string
	// Key is the secret of the fleet, of KeyLen bytes, or nil. Without one, Listen must be a loopback address.
	Key []byte
	// Store is the location of the object store. Members with another one own nothing.
	Store string
	// IsLoaded reports whether the node has the torrents of the catalogue. Until then it owns nothing, unless no member has them.
	// Nil means that it has.
	IsLoaded func() bool
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
	epoch time.Time // the start of this node
	store string    // hash of Config.Store
	port  *transport
	// joinNow makes keepJoining join at once; capacity 1.
	joinNow chan struct{}

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	replacing sync.Mutex // held while list is replaced, or ends
	list      atomic.Pointer[memberlist.Memberlist]

	mu       sync.Mutex // memberlist calls functions that lock it with its own lock held, so none of memberlist's is called with it
	settling settling
	owners   rendezvous.Members // those of settling, for Owners
	addr     netip.AddrPort     // that the others are told
	members  members
	joined   joining
	own      meter
	asking   map[uint64]*asking // by question.Ref
	troubles map[string]*trouble

	questions chan question // of other members; capacity maxQuestions
	places    chan struct{} // one for each call of Ask; capacity maxAsking
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
	f := &Fleet{cfg: cfg, log: cfg.Log, joinNow: make(chan struct{}, 1), asking: map[uint64]*asking{}, troubles: map[string]*trouble{}, questions: make(chan question, maxQuestions), places: make(chan struct{}, maxAsking),
		epoch: time.Now(), store: hashOf(cfg.Store)}
	f.members.init(0)
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.port = newTransport(network, f.address, f.hasMemberAt, f.log)
	f.addr = f.findAddress(netip.AddrPort{}, f.resolveMembers)
	cfg.Node.SetOwnership(f.ownership()) // nothing is owned until the others are known
	if err := f.create(); err != nil {
		f.cancel()
		return nil, errors.Join(fmt.Errorf("the fleet cannot start: %w", err), f.port.Shutdown())
	}
	if _, err := cfg.Node.OnClose(f.close); err != nil {
		f.close()
		return nil, err
	}
	f.wg.Go(f.run)
	f.wg.Go(f.keepJoining)
	f.wg.Go(f.keepAnswering)
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
	c.Name, c.Transport, c.SecretKey = f.cfg.Name, lasting{f.port}, f.cfg.Key
	c.Delegate, c.Conflict, c.Alive, c.Events = (*delegate)(f), (*delegate)(f), (*delegate)(f), events{f, f.members.generation}
	c.BindPort = int(f.port.net.Port())
	c.TCPTimeout = 5 * time.Second
	c.SuspicionMaxTimeoutMult = 3
	c.PushPullInterval = 15 * time.Second
	c.DeadNodeReclaimTime = 10 * time.Second                       // a node that was killed may return at another address
	c.EnableCompression = false                                    // states are small
	c.DNSConfigPath = "/dev/null"                                  // join.go resolves names
	c.Logger = slog.NewLogLogger(f.log.Handler(), slog.LevelDebug) // details: what a user has to know is in Status
	return c
}

// close leaves the fleet.
func (f *Fleet) close() {
	f.cancel()
	f.replacing.Lock()
	f.leave()
	f.replacing.Unlock()
	_ = f.port.Shutdown() // the node ends
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
		if f.hasNewMeta() {
			f.wakeJoin() // which updates it
		}
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

// wakeJoin wakes keepJoining.
func (f *Fleet) wakeJoin() {
	select {
	case f.joinNow <- struct{}{}:
	default:
	}
}

// look compares the live members with those that own torrents, and changes what this node owns if they have differed for a while.
func (f *Fleet) look() {
	f.mu.Lock()
	var all, names []string // with the same store, and those of them that announce
	var partners []netip.AddrPort
	places := map[string][]netip.AddrPort{}
	for name, m := range f.members.live {
		if m.about.Store != f.store {
			continue
		}
		if all = append(all, name); m.about.Announces {
			names = append(names, name)
		}
		if name != f.cfg.Name {
			partners = append(partners, m.about.Addrs...)
			places[name] = m.about.best()
		}
	}
	if len(names) == 0 { // they still announce in the local network, and what they have of the catalogue
		names = all
	}
	slices.Sort(names)
	now := f.now()
	troubles := f.dueTroubles(now)
	isReady := len(all) > 1 || len(f.cfg.Members) == 0 || now >= mono.Time(aloneAfter)
	changed := f.settling.step(now, names, isReady)
	hasMoved := !maps.EqualFunc(places, f.members.places, slices.Equal)
	if changed {
		f.owners = rendezvous.New(f.settling.current)
	}
	f.members.places = places
	ownership, settled := f.ownership(), f.settling.current
	f.mu.Unlock()
	for _, err := range troubles {
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
	self, owners, places := f.cfg.Name, f.owners, f.members.places
	return &node.Ownership{
		Owns: func(infohash id.ID) bool { return owners.Owns(self, infohash, copies) },
		Others: func(infohash id.ID) (list []netip.AddrPort) {
			for _, name := range owners.Owners(infohash, copies) {
				list = append(list, places[name]...)
			}
			return list
		},
	}
}
