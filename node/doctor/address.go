package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"seedbed/dht"
	"seedbed/dht/table"
	"seedbed/internal/addrs"
)

// maxAddressNodes is the number of nodes of each address family that are asked for our
// address.
const maxAddressNodes = 12

// addresses asks nodes of the table for our address as they see it. From the answers it
// reports our external address, whether there is a NAT, and whether our id matches.
func (e *examination) addresses(ctx context.Context, boots []pong) {
	nodes := e.v.Nodes()
	slices.SortFunc(nodes, func(a, b dht.NodeInfo) int { return cmp.Compare(a.RTT, b.RTT) })
	for _, v6 := range []bool{false, true} {
		if !slices.ContainsFunc(e.addrs(), func(a netip.AddrPort) bool { return a.Addr().Is6() == v6 }) {
			continue
		}
		var seen []netip.AddrPort
		nets := map[netip.Prefix]bool{}
		addSeen := func(p pong) {
			// In a private network, many nodes may share an address, so each counts.
			n := table.Subnet(p.addr.Addr())
			if p.err == nil && p.c.External.IsValid() && p.addr.Addr().Is6() == v6 && (!nets[n] || addrs.IsLocal(p.addr.Addr())) {
				nets[n] = true
				seen = append(seen, p.c.External)
			}
		}
		for _, p := range boots {
			addSeen(p)
		}
		pongs := make([]pong, 0, maxAddressNodes)
		for _, n := range nodes {
			asked := slices.ContainsFunc(boots, func(p pong) bool { return p.addr == n.Addr })
			if n.Addr.Addr().Is6() == v6 && !asked && len(pongs) < maxAddressNodes {
				pongs = append(pongs, pong{addr: n.Addr})
			}
		}
		var wg sync.WaitGroup
		for i := range pongs {
			wg.Go(func() { pongs[i].c, pongs[i].err = e.v.Ping(ctx, pongs[i].addr) })
		}
		wg.Wait()
		for _, p := range pongs {
			addSeen(p)
		}
		e.external(v6, seen)
	}
}

// external reports the addresses at which nodes see us.
func (e *examination) external(v6 bool, seen []netip.AddrPort) {
	family := familyName(v6)
	if len(seen) == 0 {
		if len(e.v.Nodes()) > 0 {
			e.report(Finding{Step: StepExternal, What: family, Verdict: Notice, Text: "no node of this family reported our address"})
		}
		return
	}
	addrs, ports := map[netip.Addr]int{}, map[uint16]int{}
	for _, s := range seen {
		addrs[s.Addr()]++
		if s.Port() != 0 {
			ports[s.Port()]++
		}
	}
	ours, votes := commonest(addrs)
	data := map[string]any{"addr": ours, "nodes": len(seen), "agree": votes}
	switch {
	case votes == len(seen):
		e.report(Finding{Step: StepExternal, What: family, Text: fmt.Sprintf("%s, according to %s", ours, agree(votes)), Data: data})
	case 2*votes > len(seen):
		e.report(Finding{Step: StepExternal, What: family, Text: fmt.Sprintf("%s, according to %d of %s", ours, votes, count(len(seen), "node")), Data: data})
	default:
		e.report(Finding{Step: StepExternal, What: family, Verdict: Notice, Text: fmt.Sprintf("%d nodes see us at %d addresses", len(seen), len(addrs)),
			Advice: "traffic leaves from several addresses (a carrier-grade NAT or several uplinks), so other nodes cannot reach this one at a single address", Data: data})
	}
	if n := e.v.Config.Node; n != nil {
		ports = n.Reachability(v6).Ports // of the port of the node, not of the visit
	}
	e.nat(v6, ours, ports)
	e.nodeID(v6, ours)
}

func agree(n int) string {
	if n == 1 {
		return "1 node"
	}
	return fmt.Sprintf("all %d nodes", n)
}

// commonest returns the key with the highest count, and the count.
func commonest[K comparable](m map[K]int) (best K, n int) {
	for k, c := range m {
		if c > n {
			best, n = k, c
		}
	}
	return best, n
}

// nat reports whether there is a NAT and how it maps ports (RFC 4787), judging by the
// ports that several nodes see.
func (e *examination) nat(v6 bool, ours netip.Addr, ports map[uint16]int) {
	if e.v.Config.Outbound.Proxy != "" {
		return // the address and the ports are those of the proxy
	}
	f := Finding{Step: StepNAT, What: familyName(v6)}
	own := e.v.Config.Outbound.SourceOf(netip.AddrPortFrom(ours, 9))
	if !own.IsValid() || own != ours && addrs.IsLocal(ours) {
		own = e.v.Config.Outbound.SourceOf(routeTargets[v6])
	}
	mine := own == ours || slices.ContainsFunc(e.addrs(), func(a netip.AddrPort) bool { return a.Addr() == ours })
	f.Data = map[string]any{"local": own, "port": e.port(), "seen_ports": ports}
	kind := &e.nats[0]
	if v6 {
		kind = &e.nats[1]
	}
	*kind, f.Verdict, f.Text, f.Advice = mapping(mine, e.port(), ports)
	e.report(f)
}

// mapping classifies a NAT by the number of nodes that see each port. mine says that the
// external address belongs to this machine.
func mapping(mine bool, port uint16, ports map[uint16]int) (kind natKind, v Verdict, text, advice string) {
	seen, n := commonest(ports)
	all := 0
	for _, c := range ports {
		all += c
	}
	advice = fmt.Sprintf("to be reachable by more peers, forward TCP and UDP port %d to this machine in the router", port)
	switch {
	case mine && (all == 0 || n == all && seen == port):
		return natNone, Fine, "no NAT: the address belongs to this machine", ""
	case all == 0:
		return natUnknown, Notice, "our address is translated; no node reported the port that it sees", advice
	case all == 1:
		return natUnknown, Notice, fmt.Sprintf("one node sees port %d and ours is %d: one answer is not enough to determine the type of NAT", seen, port), advice
	case 10*n < 8*all:
		return natDependent, Notice, fmt.Sprintf("endpoint-dependent mapping: %d nodes see %d ports", all, len(ports)),
			"this NAT uses a different port for each destination, so peers cannot connect to us, and hole punching does not work either: " + advice
	case seen == port:
		text = fmt.Sprintf("endpoint-independent mapping that keeps our port %d", port)
	default:
		text = fmt.Sprintf("endpoint-independent mapping of our port %d to %d", port, seen)
	}
	// Some nodes may have seen an earlier mapping, or lie.
	return natIndependent, Fine, fmt.Sprintf("%s, according to %d of %s", text, n, count(all, "node")), advice
}

// nodeID reports whether our id matches our address (BEP 42).
func (e *examination) nodeID(v6 bool, ours netip.Addr) {
	own := e.v.ID(v6)
	if n := e.v.Config.Node; n != nil {
		if d, err := n.DHT(); err == nil {
			own = d.ID(v6)
		}
	}
	f := Finding{Step: StepID, What: familyName(v6), Text: fmt.Sprintf("%s matches %s (BEP 42)", own, ours), Data: map[string]any{"id": own.String()}}
	switch {
	case addrs.IsLocal(ours):
		f.Text = fmt.Sprintf("%s: any id is valid for a private address (BEP 42)", own)
	case !table.Secure(own, ours):
		f.Verdict, f.Text = Notice, fmt.Sprintf("%s does not match %s yet (BEP 42)", own, ours)
		f.Advice = "seedbed switches to a matching id once four nodes agree on the address; until then, nodes that enforce BEP 42 do not add this node to their tables"
	}
	e.report(f)
}
