package node

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// saveEvery is the interval at which the DHT nodes and the known peers are saved. A crash
// loses the changes since the last save.
const saveEvery = 5 * time.Minute

// openDHT joins the DHT with the nodes that the last run saved. A process that does
// not own the state directory's node file generates its own ids, because two nodes
// with one id would displace each other in routing tables.
func (n *Node) openDHT() (*dht.DHT, error) {
	f := n.state.loadNode()
	cfg := dht.Config{
		Conns: n.net.UDP(), Bootstrap: n.cfg.Bootstrap, Resolve: BootstrapResolver(n.net, n.cfg.resolve), Logger: n.log,
		ReadOnly: n.net.Port() == 0, // nobody could ask us
		Private:  IsPrivateNetwork(n.ctx, n.cfg.Bootstrap, n.cfg.resolve),
		Rate:     float64(n.cfg.DHTRate), Flows: n.cfg.DHTFlows, EnforceID: n.cfg.EnforceID, Observer: &n.evidence,
	}
	cfg.Nodes = f.savedNodes()
	if n.state.owned() {
		cfg.ID4, _ = id.ParseHex(f.ID4) // zero if absent: a new one is generated
		cfg.ID6, _ = id.ParseHex(f.ID6)
	}
	return dht.New(cfg)
}

// privateLimit is the timeout of resolving the bootstrap hosts before the DHT starts.
const privateLimit = 3 * time.Second

// IsPrivateNetwork reports whether the bootstrap hosts are in a private network, where
// private addresses are valid for nodes and peers: there is at least one address, and all
// addresses that are given or that the host names resolve to are private. Names that do not
// resolve are ignored. The built-in public list is not resolved.
func IsPrivateNetwork(ctx context.Context, hosts []string, resolve func(ctx context.Context, host string) ([]netip.Addr, error)) bool {
	if slices.Equal(hosts, PublicBootstrap) {
		return false
	}
	var names []string
	local := false
	for _, hp := range hosts {
		host, _, err := net.SplitHostPort(hp)
		if err != nil {
			return false
		}
		if a, err := netip.ParseAddr(host); err != nil {
			names = append(names, host)
		} else if local = addrs.IsLocal(a.Unmap()); !local {
			return false
		}
	}
	ctx, cancel := context.WithTimeout(ctx, privateLimit)
	defer cancel()
	found := make([][]netip.Addr, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { found[i], _ = resolve(ctx, name) })
	}
	wg.Wait()
	for _, a := range slices.Concat(found...) {
		if local = addrs.IsLocal(a.Unmap()); !local {
			return false
		}
	}
	return local
}

// SavedNodes returns the DHT nodes that are saved in the state directory at path. It writes
// nothing.
func SavedNodes(path string) []dht.SavedNode {
	f := newStateDir(path).loadNode()
	return f.savedNodes()
}

func (f *nodeFile) savedNodes() (nodes []dht.SavedNode) {
	for _, s := range f.Nodes {
		if v, err := id.ParseHex(s.ID); err == nil && s.Addr.IsValid() && s.Addr.Port() != 0 {
			nodes = append(nodes, dht.SavedNode{ID: v, Addr: s.Addr})
		}
	}
	return nodes
}

// joinTimeout is the time after which we report that the bootstrap hosts do not answer. It
// is several times the timeout of a query.
const joinTimeout = 8 * time.Second

// joining returns the state of joining the DHT while no node is known, and the reason if we
// cannot join.
func (n *Node) joining() Lookup {
	known, resolving := n.dht.Bootstrap()
	late := n.now() > mono.Time(joinTimeout)
	switch {
	case len(known) > 0 && !n.hasRoute(known): // reported without waiting
		return Lookup{Kind: LookupNoRoute}
	case len(known) > 0 && late:
		return Lookup{Kind: LookupNoAnswer, Asked: len(n.cfg.Bootstrap)}
	case len(known) == 0 && (resolving == 0 || late):
		return Lookup{Kind: LookupNoDNS}
	}
	return Lookup{Kind: LookupBootstrapping, Asked: len(n.cfg.Bootstrap)}
}

// hasRoute reports whether there is a route to one of the addresses. It sends nothing.
func (n *Node) hasRoute(to []netip.AddrPort) bool {
	if n.cfg.Network != nil || n.cfg.Outbound.Proxy != "" {
		return true
	}
	return slices.ContainsFunc(to, func(a netip.AddrPort) bool {
		return n.cfg.Outbound.SourceOf(a).IsValid()
	})
}

// keep calls save at intervals until Close begins.
func (n *Node) keep(what string, save func() error) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
			if err := save(); err != nil {
				n.log.Warn("cannot save "+what, "err", err)
			}
		}
	}
}

func (n *Node) saveDHT() error {
	if !n.state.owned() {
		return nil
	}
	nodes := n.dht.SavedNodes()
	if len(nodes) == 0 {
		return nil // keep the nodes of an earlier run
	}
	f := nodeFile{ID4: n.dht.ID(false).String(), ID6: n.dht.ID(true).String()}
	for _, s := range nodes {
		f.Nodes = append(f.Nodes, savedNode{s.ID.String(), s.Addr})
	}
	return n.state.saveNode(f)
}
