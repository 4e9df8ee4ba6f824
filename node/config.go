package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"seedbed/internal/blocklist"
	"seedbed/internal/netx"
	"seedbed/swarm"
	"seedbed/swarm/engine"
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

	// DHTRate is how many DHT queries are sent a second at most; 250 by default.
	DHTRate int

	// DHTFlows is how many addresses the DHT asks within half a minute at most,
	// for the sake of home routers; 500 by default, negative for no limit.
	DHTFlows int

	// EnforceID answers DHT nodes whose id does not fit their address with an
	// error (BEP 42).
	EnforceID bool

	// Memory bounds the piece buffers of all torrents together, in bytes;
	// 24 MiB by default. Torrents that it is too small for take turns.
	Memory int64

	// MaxConns bounds the connections of all torrents together; 500 by default.
	MaxConns int

	// HalfOpen bounds the dials under way of all torrents together; 64 by default.
	HalfOpen int

	// DialRate bounds how many connections all torrents together begin a second; 30
	// by default.
	DialRate int

	// Uploads is the number of peers a torrent unchokes at once by merit; 8 by
	// default, the optimistic one apart.
	Uploads int

	// SuperSeed says when a torrent that is whole announces to each peer only what
	// the swarm lacks (BEP 16); by itself where that pays by default.
	SuperSeed engine.SuperSeed

	// UpRate and DownRate bound what all torrents together send and receive over
	// peer connections, in bytes a second, all messages included;
	// TorrentUpRate and TorrentDownRate do so for each. 0 is no limit.
	UpRate, DownRate               int64
	TorrentUpRate, TorrentDownRate int64

	// SeedRatio and SeedTime end a torrent that is whole: when it has uploaded, in
	// all runs, so many times the size of what is wanted of it, or has been shared
	// for so long in this one. 0 is never.
	SeedRatio float64
	SeedTime  time.Duration

	// Blocklist are addresses that are neither dialled nor accepted as peers.
	Blocklist *blocklist.List

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

	// resolve takes the place of the machine's resolver, for tests.
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

func (c *Config) validate() error {
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
	setDefault(&c.DHTRate, 250)
	setDefault(&c.DHTFlows, 500)
	setDefault(&c.Memory, 24<<20)
	setDefault(&c.MaxConns, 500)
	setDefault(&c.HalfOpen, 64)
	setDefault(&c.DialRate, 30)
	setDefault(&c.Uploads, 8)
	if c.DHTRate < 1 {
		return usageFault(fmt.Errorf("%d DHT queries a second are too few: at least 1 is needed, or no DHT", c.DHTRate))
	}
	if c.MaxConns < 1 || c.HalfOpen < 1 || c.DialRate < 1 || c.Uploads < 1 {
		return usageFault(errors.New("connections, dials, the dial rate and uploads must each be 1 or more"))
	}
	if c.UpRate < 0 || c.DownRate < 0 || c.TorrentUpRate < 0 || c.TorrentDownRate < 0 || !(c.SeedRatio >= 0) || c.SeedTime < 0 {
		return usageFault(errors.New("rates, and the ratio and time of seeding, must not be negative"))
	}
	if c.Memory < 2*chunkSize {
		return usageFault(fmt.Errorf("a memory budget of %d bytes is too small: at least %d are needed", c.Memory, 2*chunkSize))
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.resolve == nil {
		c.resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
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
