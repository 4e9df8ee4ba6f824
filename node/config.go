package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"

	"seedbed/internal/netx"
	"seedbed/swarm"
	"seedbed/swarm/storage"
)

// PublicBootstrap are the DHT nodes that are asked first when the state
// directory knows none: long-lived entry points run by several projects.
var PublicBootstrap = []string{
	"dht.libtorrent.org:25401",
	"router.bittorrent.com:6881",
	"router.utorrent.com:6881",
	"dht.transmissionbt.com:6881",
	"dht.aelitis.com:6881",
	"router.bittorrent.cloud:42069",
}

// DefaultPort is where a node listens unless told: the first of the ports that
// BEP 3 names.
const DefaultPort = 6881

// What a Config has where it says nothing.
const (
	DefaultDHTRate  = 250
	DefaultDHTFlows = 500
	DefaultMemory   = 24 << 20
)

// MinMemory is the smallest Config.Memory.
const MinMemory = 2 * chunkSize

// Config is everything a node can be told. The zero value of each field means
// its default.
type Config struct {
	// State is the state directory: node id, saved DHT nodes, resume records.
	// It is made when missing. Required.
	State string

	// Listen is HOST:PORT for TCP and UDP alike. An empty host is every address
	// of both families, port 0 any free port. When Listen is empty the node
	// takes DefaultPort, or a free port if that is taken; a port that was asked
	// for and is taken is an error.
	Listen string

	// Bootstrap are HOST:PORT addresses of DHT nodes to begin with. Nil is
	// PublicBootstrap; an empty list is none.
	Bootstrap []string

	// NoDHT turns the DHT off: peers then come from hints, PEX and the last run.
	NoDHT bool

	// DHTRate is how many DHT queries are sent a second at most; DefaultDHTRate by
	// default.
	DHTRate int

	// DHTFlows is how many addresses the DHT asks within half a minute at most,
	// for the sake of home routers; DefaultDHTFlows by default, negative for no limit.
	DHTFlows int

	// EnforceID answers DHT nodes whose id does not fit their address with an
	// error (BEP 42).
	EnforceID bool

	// Memory bounds the piece buffers of all torrents together, in bytes;
	// DefaultMemory by default. Torrents that it is too small for take turns.
	Memory int64

	// Settings can change while the node runs; see Node.Apply.
	Settings

	// Encryption is what is done about encrypted connections (MSE); in the clear
	// where that will do by default.
	Encryption swarm.Encryption

	// NoWebSeeds leaves HTTP mirrors alone (BEP 19). LocalWebSeeds lets them be at
	// private and loopback addresses too, which whoever makes a link could otherwise
	// have us ask.
	NoWebSeeds, LocalWebSeeds bool

	// Version is told to peers (BEP 10 "v").
	Version string

	// Log receives what is worth a line; nil is silence.
	Log *slog.Logger

	// Network takes the place of the machine's sockets, for tests; nil opens Listen.
	Network netx.Network

	// openDisk takes the place of the system's folders, for tests; see storage.Options.
	openDisk func(dir string, create bool) (storage.Disk, error)

	// rename takes the place of os.Rename where files are moved, for tests.
	rename func(from, to string) error

	// resolve takes the place of the machine's resolver, for tests.
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
		return usageFault(fmt.Errorf("%d DHT queries a second are too few: at least 1 is needed, or no DHT", c.DHTRate))
	}
	if err := c.Settings.validate(); err != nil {
		return err
	}
	if c.Memory < MinMemory {
		return usageFault(fmt.Errorf("a memory budget of %d bytes is too small: at least %d are needed", c.Memory, MinMemory))
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.resolve == nil {
		c.resolve = systemResolve
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
