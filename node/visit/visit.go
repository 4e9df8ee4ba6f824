// Package visit runs a DHT node for a short time, for commands that query the DHT.
//
// A visit uses new node ids. It reads the saved DHT nodes of a state directory but writes
// nothing there, so it can run while another process has locked the directory.
package visit

import (
	"context"
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
	"seedbed/node"
)

// Config of a visit.
type Config struct {
	State     string        // the state directory; only read, for its saved nodes
	Listen    string        // as in node.Config
	Outbound  netx.Outbound // as in node.Config
	Bootstrap []string      // as in node.Config
	// PortMap, PortMapGateway and UTP are as in node.Config; only a diagnosis maps the port and
	// uses uTP.
	PortMap        node.PortMap
	PortMapGateway netip.Addr
	UTP            bool
	// Node is the node that is diagnosed, with the sockets of the visit, if one runs.
	Node  *node.Node
	Serve bool // answer queries, which an announce requires; otherwise the node is read-only (BEP 43)
	Log   *slog.Logger
}

func (c *Config) validate() error {
	cfg := node.Config{State: c.State, Listen: c.Listen, Bootstrap: c.Bootstrap, Log: c.Log}
	if err := cfg.Validate(); err != nil {
		return err
	}
	c.Bootstrap, c.Log = cfg.Bootstrap, cfg.Log
	return nil
}

// Visit is a short-lived DHT node. It has the methods of dht.DHT.
type Visit struct {
	*dht.DHT
	Saved  int // number of saved nodes in the state directory
	Config Config
	Host   netx.Network // the visit's sockets
}

// Open opens sockets and joins the DHT. The error of a socket is a node.Fault.
func Open(cfg Config) (*Visit, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	listen := netx.Config{DefaultPort: node.DefaultPort, Outbound: cfg.Outbound, Logger: cfg.Log}
	if cfg.Listen != "" {
		listen.Listen = []string{cfg.Listen}
	}
	host, err := netx.OpenNetwork(listen)
	if err != nil {
		return nil, node.NetworkFault(err)
	}
	saved := node.SavedNodes(cfg.State)
	d, err := dht.New(dht.Config{Conns: host.UDP(), Bootstrap: cfg.Bootstrap, Nodes: saved, ReadOnly: !cfg.Serve || host.Port() == 0, Logger: cfg.Log,
		Resolve: node.BootstrapResolver(host, cfg.Outbound.LookupNetIP),
		Private: node.IsPrivateNetwork(context.Background(), cfg.Bootstrap, cfg.Outbound.LookupNetIP)})
	if err != nil {
		return nil, errors.Join(err, host.Close())
	}
	return &Visit{DHT: d, Saved: len(saved), Config: cfg, Host: host}, nil
}

// Close ends the visit.
func (v *Visit) Close() error { return errors.Join(v.DHT.Close(), v.Host.Close()) }

// Addrs returns the addresses that the visit listens on.
func (v *Visit) Addrs() []netip.AddrPort { return v.Host.Addrs() }

// Port returns the port that the visit listens on.
func (v *Visit) Port() uint16 { return v.Host.Port() }

// settleTime is the time after which a routing table of constant size counts as settled.
const settleTime = 1500 * time.Millisecond

// Settle waits until the routing table has stopped growing, or ctx ends. It returns the
// time until the last node was added.
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
		// Without any node, wait longer: it takes seconds to distinguish a dead node from a
		// slow one.
		if wait := time.Since(last); wait > 2*settleTime || n > 0 && wait > settleTime {
			return last.Sub(begun)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last.Sub(begun)
		}
	}
}

// Resolve returns the addresses of HOST:PORT.
func (v *Visit) Resolve(ctx context.Context, hostPort string) (out []netip.AddrPort, err error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("%q is not of the form HOST:PORT", hostPort)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("%q in %q is not a port", port, hostPort)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), uint16(n))}, nil
	}
	ips, err := node.BootstrapResolver(v.Host, v.Config.Outbound.LookupNetIP)(ctx, host, uint16(n))
	if err != nil {
		return nil, err
	}
	for _, a := range ips {
		out = append(out, netip.AddrPortFrom(a.Unmap(), uint16(n)))
	}
	return out, nil
}

// RandomTarget returns a random lookup target.
func RandomTarget() (x id.ID) {
	_, _ = rand.Read(x[:]) // never fails
	return x
}
