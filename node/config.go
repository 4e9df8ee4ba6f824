package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"

	"seedbed/dht"
	"seedbed/internal/lsd"
	"seedbed/internal/netx"
	"seedbed/swarm"
	"seedbed/swarm/storage"
)

// PublicBootstrap lists the DHT nodes to query first if the state directory has none. They
// are long-lived bootstrap nodes run by several projects.
var PublicBootstrap = []string{
	"dht.libtorrent.org:25401",
	"router.bittorrent.com:6881",
	"router.utorrent.com:6881",
	"dht.transmissionbt.com:6881",
	"dht.aelitis.com:6881",
	"router.bittorrent.cloud:42069",
}

// DefaultPort is the default port to listen on, the first of those in BEP 3.
const DefaultPort = 6881

// Defaults of a Config. The packages that use the values define them.
const (
	DefaultDHTRate  = dht.DefaultRate
	DefaultDHTFlows = dht.DefaultFlows
	DefaultMemory   = swarm.DefaultMemory
)

// MinMemory is the smallest Config.Memory.
const MinMemory = 2 * chunkSize

// Config configures a node. The zero value of each field means its
// default.
type Config struct {
	// State is the state directory: node id, saved DHT nodes, resume records.
	// Open creates it if it does not exist. Required.
	State string

	// Listen is HOST:PORT for both TCP and UDP. An empty host means every address
	// of both families, and port 0 any free port. If Listen is empty, the node
	// takes DefaultPort, or a free port if that is in use. If the port is given
	// explicitly and is in use, Open returns an error.
	Listen string

	// Outbound decides how the node reaches other machines: over every network interface by
	// default. While its interface is missing, the node waits for it.
	Outbound netx.Outbound

	// PortMap says by which methods routers are asked to map the port, so that peers can connect
	// from outside. Nothing is mapped for loopback and public addresses. PortMapGateway is the router to
	// ask in place of those of the default routes; it must be a local address.
	PortMap        PortMap
	PortMapGateway netip.Addr

	// AnnouncePort is the port that peers and the DHT are told, if it is neither the listening
	// port nor one that a router maps for us. 0 by default.
	AnnouncePort uint16

	// Bootstrap lists the HOST:PORT addresses of the DHT bootstrap nodes. Nil means
	// PublicBootstrap; an empty list means none.
	Bootstrap []string

	// NoDHT disables the DHT: peers then come from hints, PEX and the last run.
	NoDHT bool

	// DHTRate is the maximum number of DHT queries a second; DefaultDHTRate by
	// default.
	DHTRate int

	// DHTFlows is the maximum number of addresses that the DHT queries within 30 s, because
	// home routers can track only few flows. DefaultDHTFlows by default, negative for no
	// limit.
	DHTFlows int

	// EnforceID rejects queries of DHT nodes whose id does not match their address
	// with an error (BEP 42).
	EnforceID bool

	// Memory is the maximum number of bytes for the piece buffers of all torrents together;
	// DefaultMemory by default. If it is too small for all torrents, they take turns.
	Memory int64

	// Settings can change while the node runs; see Node.Apply.
	Settings

	// UTP also makes and accepts connections over uTP (BEP 29). Otherwise a peer that tries
	// uTP is refused, so that it uses TCP at once.
	UTP bool
	// DSCP marks the packets that the node sends, to peers and DHT nodes; 0 leaves them unmarked.
	DSCP netx.DSCP

	// Encryption is the policy for encrypted connections (MSE). By default, connections
	// are plaintext where the peer accepts that.
	Encryption swarm.Encryption

	// NoWebSeeds disables HTTP mirrors (BEP 19). LocalWebSeeds allows mirrors at private
	// and loopback addresses. They are not allowed by default, because the author of a
	// link could make us send requests to the local network.
	NoWebSeeds, LocalWebSeeds bool

	// Objects is the object store that has the files of torrents with Spec.Objects; nil: none.
	Objects *Objects

	// Held holds every torrent of the session that would start, when it is added or restored,
	// until Torrent.Release. Torrents that are restored as parked are not held.
	Held bool

	// Version is sent to peers (BEP 10 "v").
	Version string

	// Log receives the log messages; nil disables logging.
	Log *slog.Logger

	// Network replaces the machine's sockets in tests; nil opens Listen.
	Network netx.Network

	// WatchNetwork replaces netx.Outbound.Watch in tests: it calls changed for each change of the paths to
	// others until ctx ends. nil means that of Outbound, or nothing if Network is set.
	WatchNetwork func(ctx context.Context, changed func(netx.Change))

	// multicast replaces the machine's sockets of local service discovery in tests; nil opens
	// them, unless Network is set.
	multicast func(group netip.AddrPort) (lsd.Transport, error)

	// otherPort replaces the sockets of dial backs in tests; see Node.otherPort.
	otherPort func() (netx.Network, error)

	// openDisk replaces the system's folders in tests; see storage.Options.
	openDisk func(dir string, create bool) (storage.Disk, error)

	// stat replaces os.Stat for the download folders in tests.
	stat func(path string) (fs.FileInfo, error)

	// mountOf replaces mountOf in tests.
	mountOf func(path string) string

	// rename replaces os.Rename for moving files in tests.
	rename func(from, to string) error

	// resolve replaces the system's resolver in tests.
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Validate checks the configuration and sets the defaults of fields that are zero.
func (c *Config) Validate() error {
	if c.State == "" {
		return usageFault(errors.New("no state directory given"))
	}
	if c.Listen != "" {
		if err := checkHostPort(c.Listen); err != nil {
			return usageFault(fmt.Errorf("listen address %q: %w", c.Listen, err))
		}
	}
	if c.Outbound.Proxy != "" {
		if err := checkHostPort(c.Outbound.Proxy); err != nil {
			return usageFault(fmt.Errorf("proxy %q: %w", c.Outbound.Proxy, err))
		}
		if c.Listen != "" {
			return NewFault(FaultUsage, errors.New("with a proxy, nothing listens: connections would come in around it"), "leave out --listen or --proxy")
		}
	}
	if err := c.checkReach(); err != nil {
		return err
	}
	if c.Bootstrap == nil {
		c.Bootstrap = PublicBootstrap
	}
	for _, b := range c.Bootstrap {
		if err := checkHostPort(b); err != nil {
			return usageFault(fmt.Errorf("bootstrap address %q: %w", b, err))
		}
	}
	setDefault(&c.DHTRate, DefaultDHTRate)
	setDefault(&c.DHTFlows, DefaultDHTFlows)
	setDefault(&c.Memory, DefaultMemory)
	if c.DHTRate < 1 {
		return usageFault(fmt.Errorf("%d DHT queries a second are too few: use at least 1, or disable the DHT", c.DHTRate))
	}
	if err := c.Settings.Validate(); err != nil {
		return err
	}
	if c.Memory < MinMemory {
		return usageFault(fmt.Errorf("a memory budget of %d bytes is too small: at least %d are needed", c.Memory, MinMemory))
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.mountOf == nil {
		c.mountOf = mountOf
	}
	if c.stat == nil {
		c.stat = os.Stat
	}
	if c.resolve == nil {
		c.resolve = c.Outbound.LookupNetIP
	}
	return nil
}

func setDefault[T int | int64](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

func checkHostPort(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return errors.New("not of the form HOST:PORT")
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q is not a port between 0 and 65535", port)
	}
	return nil
}
