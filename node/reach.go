package node

import (
	"context"
	"net/netip"
	"sync"

	"seedbed/dht"
	"seedbed/internal/netx"
)

// Outbound returns what opens the node's connections to other machines.
func (n *Node) Outbound() netx.Outbound { return n.cfg.Outbound }

// reach is whether the node can use its way to other machines: the network interface or the proxy
// of Config.Outbound.
type reach struct {
	mu   sync.Mutex
	node *Node // nil until attach
	err  error
}

// listen opens the port. r is informed when the way to other machines breaks and comes back.
func listen(cfg *Config, r *reach) (netx.Network, error) {
	c := netx.Config{DefaultPort: DefaultPort, Outbound: cfg.Outbound, DSCP: cfg.DSCP, Changed: r.changed, Logger: cfg.Log}
	if cfg.Listen != "" {
		c.Listen = []string{cfg.Listen}
	}
	network, err := netx.OpenNetwork(c)
	if err != nil {
		return nil, NetworkFault(err)
	}
	return network, nil
}

// BootstrapResolver returns the function with which a DHT on a network resolves its bootstrap hosts.
// If only a proxy can resolve names, it asks each host over the proxy for its address.
func BootstrapResolver(network netx.Network, resolve func(context.Context, string) ([]netip.Addr, error)) func(context.Context, string, uint16) ([]netip.Addr, error) {
	proxied, ok := network.(*netx.ProxyHost)
	return func(ctx context.Context, host string, port uint16) ([]netip.Addr, error) {
		if ok {
			proxied.AwaitRelay(ctx) // an address is asked as soon as it is known
		}
		if _, err := netip.ParseAddr(host); !ok || err == nil {
			return resolve(ctx, host)
		}
		question, isAnswer := dht.Probe()
		ip, err := proxied.Ask(ctx, host, port, question, isAnswer)
		if err != nil {
			return nil, err
		}
		return []netip.Addr{ip}, nil
	}
}

// attach reports to n from now on, and where it listens or what was reported before.
func (r *reach) attach(n *Node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.node = n
	if r.err != nil {
		r.emit()
	} else {
		n.emitListening()
	}
}

// changed notes that the way to other machines is broken, or usable again if err is nil.
func (r *reach) changed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
	if r.node != nil {
		r.emit()
	}
}

// emit sends a Warning, or Listening for each address if nothing is wrong any more. r.mu is held.
func (r *reach) emit() {
	if r.err == nil {
		r.node.log.Info("the way to other machines can be used", "interface", r.node.cfg.Outbound.Interface, "proxy", r.node.cfg.Outbound.Proxy)
		r.node.emitListening()
		return
	}
	r.node.Emit(Event{Kind: Warning, Err: NetworkFault(r.err)})
}

// problem returns why the node cannot reach other machines at the moment, or nil.
func (r *reach) problem() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// firstAddr returns an address that the node listens on, or "" behind a proxy.
func (n *Node) firstAddr() string {
	if as := n.net.Addrs(); len(as) > 0 {
		return as[0].String()
	}
	return ""
}

// emitListening reports the addresses that the node listens on.
func (n *Node) emitListening() {
	for _, a := range n.net.Addrs() {
		n.Emit(Event{Kind: Listening, Addr: a.String()})
	}
}
