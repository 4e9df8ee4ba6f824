package dht

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"seedbed/dht/lookup"
	"seedbed/internal/addrs"
)

// resolveTimeout is the timeout of resolving one host.
const resolveTimeout = 10 * time.Second

// Limits on the addresses that DNS returns: in total, and for one host.
const (
	maxBootstrap = 64
	maxPerHost   = 6
)

// bootstrap resolves the bootstrap hosts, all at the same time. Each address is used as soon
// as it is known, and a host that fails does not affect the others.
type bootstrap struct {
	mu      sync.Mutex
	addrs   []netip.AddrPort
	waiting int           // hosts that are being resolved
	changed chan struct{} // closed and replaced whenever addrs or waiting change
}

func (b *bootstrap) init(d *DHT) {
	b.changed = make(chan struct{})
	b.resolve(d)
}

// resolve starts to resolve every host. Hosts given as IP addresses are known at once.
func (b *bootstrap) resolve(d *DHT) {
	for _, hostport := range d.cfg.Bootstrap {
		host, portText, _ := net.SplitHostPort(hostport) // validated
		port, err := strconv.ParseUint(portText, 10, 16)
		if err != nil {
			p, err := net.LookupPort("udp", portText)
			if err != nil {
				d.log.Warn("a bootstrap host has an invalid port", "host", hostport, "error", err)
				continue
			}
			port = uint64(p)
		}
		if ip, err := netip.ParseAddr(host); err == nil {
			b.add([]netip.Addr{ip}, uint16(port), 0)
			continue
		}
		b.add(nil, 0, 1)
		started := d.spawn(func() {
			ctx, cancel := context.WithTimeout(d.ctx, resolveTimeout)
			defer cancel()
			ips, err := d.cfg.Resolve(ctx, host, uint16(port))
			if err != nil && d.ctx.Err() == nil {
				d.log.Info("cannot resolve a bootstrap host", "host", host, "error", err)
			}
			b.add(ips, uint16(port), -1)
		})
		if !started {
			b.add(nil, 0, -1)
		}
	}
}

func (b *bootstrap) add(ips []netip.Addr, port uint16, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ip := range ips[:min(len(ips), maxPerHost)] {
		// Private addresses are allowed, because the user has chosen the bootstrap hosts.
		a := netip.AddrPortFrom(ip.Unmap(), port)
		if addrs.IsUsable(a, true) && !slices.Contains(b.addrs, a) && len(b.addrs) < maxBootstrap {
			b.addrs = append(b.addrs, a)
		}
	}
	b.waiting += waiting
	close(b.changed)
	b.changed = make(chan struct{})
}

// contains reports whether a is an address of a bootstrap host.
func (b *bootstrap) contains(a netip.AddrPort) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.addrs, a)
}

// Bootstrap returns the addresses of the bootstrap hosts that are known so far, and how many
// host names are still being resolved.
func (d *DHT) Bootstrap() (known []netip.AddrPort, resolving int) {
	d.boot.mu.Lock()
	defer d.boot.mu.Unlock()
	return slices.Clone(d.boot.addrs), d.boot.waiting
}

// known returns the addresses of one family that are known so far, whether more may follow,
// and a channel that is closed when either changes.
func (b *bootstrap) known(v6 bool) (seeds []lookup.Node, more bool, changed <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.addrs {
		if a.Addr().Is6() == v6 {
			seeds = append(seeds, lookup.Node{Addr: a})
		}
	}
	return seeds, b.waiting > 0, b.changed
}
