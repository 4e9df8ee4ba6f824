package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/magnet"
	"seedbed/magnet/mutable"
)

// What the operations of a Visit answer; package dht documents them.
type (
	DHTContact     = dht.Contact
	DHTReport      = dht.Report
	DHTTold        = dht.Told
	DHTNode        = dht.NodeInfo
	DHTItem        = dht.Item
	DHTGetReport   = dht.GetReport
	DHTRemoteError = dht.RemoteError
	DHTCASError    = dht.CASError
	InfoHash       = id.ID // also the target of an item
)

// ErrNoAnswer is a DHT node that did not answer in time.
var ErrNoAnswer = dht.ErrNoAnswer

// VisitConfig is what a visit to the DHT takes.
type VisitConfig struct {
	State     string   // the state directory, read only: its saved nodes come first
	Listen    string   // as Config.Listen
	Bootstrap []string // as Config.Bootstrap
	Serve     bool     // answer queries, as one who announces must; else BEP 43's read-only node
	Log       *slog.Logger
}

func (c *VisitConfig) validate() error {
	cfg := Config{State: c.State, Listen: c.Listen, Bootstrap: c.Bootstrap, Log: c.Log}
	if err := cfg.validate(); err != nil {
		return err
	}
	c.Bootstrap, c.Log = cfg.Bootstrap, cfg.Log
	return nil
}

// A Visit is a brief stay in the DHT under ids of its own: it reads what the
// state directory knows of nodes, and leaves nothing behind. The operations are
// those of dht.DHT. It may run beside a process that owns the state directory.
type Visit struct {
	*dht.DHT
	Saved int // nodes that the state directory knew

	cfg  VisitConfig
	host *netx.Host
}

// OpenVisit joins the DHT.
func OpenVisit(cfg VisitConfig) (*Visit, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	listen := netx.Config{DefaultPort: DefaultPort, Logger: cfg.Log}
	if cfg.Listen != "" {
		listen.Listen = []string{cfg.Listen}
	}
	host, err := netx.Open(listen)
	if err != nil {
		f := &Fault{Kind: FaultNetwork, Err: err}
		var ne *netx.Error
		if errors.As(err, &ne) {
			f.hint = ne.Hint
		}
		return nil, f
	}
	saved := readSaved(cfg.State)
	d, err := dht.New(dht.Config{Conns: host.UDP(), Bootstrap: cfg.Bootstrap, Nodes: saved, ReadOnly: !cfg.Serve, Logger: cfg.Log})
	if err != nil {
		return nil, errors.Join(err, host.Close())
	}
	return &Visit{DHT: d, Saved: len(saved), cfg: cfg, host: host}, nil
}

// readSaved is the nodes that the state directory at path knows. It makes
// nothing there.
func readSaved(path string) (nodes []dht.SavedNode) {
	for _, s := range (&stateDir{path: path}).loadNode().Nodes {
		if v, err := id.ParseHex(s.ID); err == nil && s.Addr.IsValid() && s.Addr.Port() != 0 {
			nodes = append(nodes, dht.SavedNode{ID: v, Addr: s.Addr})
		}
	}
	return nodes
}

// Close ends the visit.
func (v *Visit) Close() error { return errors.Join(v.DHT.Close(), v.host.Close()) }

// Addrs are the addresses that the visit listens on.
func (v *Visit) Addrs() []netip.AddrPort { return v.host.Addrs() }

// Port is the port that the visit listens on.
func (v *Visit) Port() uint16 { return v.host.Port() }

// settled is how long the table must be the same to be called full.
const settled = 1500 * time.Millisecond

// Settle waits until the routing table has stopped growing, or ctx ends. It
// reports how long it took to the last node.
func (v *Visit) Settle(ctx context.Context) time.Duration {
	begun := time.Now()
	last, n := begun, -1
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s := v.Stats()
		if now := s.V4.Nodes + s.V6.Nodes; now != n {
			n, last = now, time.Now()
		}
		// Silent nodes take seconds to be told from slow ones.
		if wait := time.Since(last); wait > 2*settled || n > 0 && wait > settled {
			return last.Sub(begun)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last.Sub(begun)
		}
	}
}

// Resolve is the addresses of HOST:PORT.
func (v *Visit) Resolve(ctx context.Context, hostPort string) ([]netip.AddrPort, error) {
	return resolveAll(ctx, hostPort)
}

func resolveAll(ctx context.Context, hostPort string) (out []netip.AddrPort, err error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("%q is not of the form HOST:PORT", hostPort)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("%q in %q is no port", port, hostPort)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), uint16(n))}, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	for _, a := range ips {
		out = append(out, netip.AddrPortFrom(a.Unmap(), uint16(n)))
	}
	return out, nil
}

// NewDHTItem is an immutable item (BEP 44) of an encoded value.
func NewDHTItem(value []byte) (DHTItem, error) { return dht.NewItem(value) }

// SignDHTItem is a mutable item, signed.
func SignDHTItem(key ed25519.PrivateKey, salt []byte, seq int64, value []byte) (DHTItem, error) {
	return dht.SignItem(key, salt, seq, value)
}

// DHTItemTarget is where the mutable items of a public key are found.
func DHTItemTarget(key [ed25519.PublicKeySize]byte, salt []byte) id.ID {
	return dht.ItemTarget(key, salt)
}

// Newest is the newest version of what a link with a public key names (BEP 46), and
// what the nodes have of it. infohash is zero if there is none, or if it names no torrent.
func (v *Visit) Newest(ctx context.Context, l *magnet.Link) (infohash InfoHash, r DHTGetReport, err error) {
	r, err = v.Get(ctx, dht.ItemTarget(l.PublicKey, l.Salt), l.Salt, nil, nil)
	if r.Item != nil {
		infohash, _ = mutable.Parse(r.Item.Value)
	}
	return infohash, r, err
}

// RandomTarget is a point of the DHT that nobody chose.
func RandomTarget() (x id.ID) {
	_, _ = rand.Read(x[:]) // never fails
	return x
}
