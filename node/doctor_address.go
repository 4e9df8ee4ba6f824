package node

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"seedbed/dht/table"
	"seedbed/internal/addrs"
)

// maxWitnesses is how many nodes of a family are asked what they see of us.
const maxWitnesses = 12

// addresses asks nodes of the table what they see of us, and says what that
// tells of our address, of a NAT between, and of our id.
func (e *examination) addresses(ctx context.Context, boots []pong) {
	nodes := e.v.Nodes()
	slices.SortFunc(nodes, func(a, b DHTNode) int { return cmp.Compare(a.RTT, b.RTT) })
	for _, v6 := range []bool{false, true} {
		if !slices.ContainsFunc(e.v.Addrs(), func(a netip.AddrPort) bool { return a.Addr().Is6() == v6 }) {
			continue
		}
		var seen []netip.AddrPort
		nets := map[netip.Prefix]bool{}
		witness := func(p pong) {
			// A network of one machine has one address: each port is a witness.
			n := table.Subnet(p.addr.Addr())
			if p.err == nil && p.c.External.IsValid() && p.addr.Addr().Is6() == v6 && (!nets[n] || addrs.IsLocal(p.addr.Addr())) {
				nets[n] = true
				seen = append(seen, p.c.External)
			}
		}
		for _, p := range boots {
			witness(p)
		}
		pongs := make([]pong, 0, maxWitnesses)
		for _, n := range nodes {
			asked := slices.ContainsFunc(boots, func(p pong) bool { return p.addr == n.Addr })
			if n.Addr.Addr().Is6() == v6 && !asked && len(pongs) < maxWitnesses {
				pongs = append(pongs, pong{addr: n.Addr})
			}
		}
		var wg sync.WaitGroup
		for i := range pongs {
			wg.Go(func() { pongs[i].c, pongs[i].err = e.v.Ping(ctx, pongs[i].addr) })
		}
		wg.Wait()
		for _, p := range pongs {
			witness(p)
		}
		e.external(v6, seen)
	}
}

// external says what the witnesses tell.
func (e *examination) external(v6 bool, seen []netip.AddrPort) {
	family := familyName(v6)
	if len(seen) == 0 {
		if len(e.v.Nodes()) > 0 {
			e.tell(Finding{Step: StepExternal, What: family, Verdict: Notice, Text: "no node of this family says how it sees us"})
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
		e.tell(Finding{Step: StepExternal, What: family, Text: fmt.Sprintf("%s, as %s", ours, agree(votes)), Data: data})
	case 2*votes > len(seen):
		e.tell(Finding{Step: StepExternal, What: family, Text: fmt.Sprintf("%s, as %d of %s say", ours, votes, count(len(seen), "node")), Data: data})
	default:
		e.tell(Finding{Step: StepExternal, What: family, Verdict: Notice, Text: fmt.Sprintf("%d nodes see us at %d addresses", len(seen), len(addrs)),
			Advice: "traffic leaves by several addresses (a carrier's NAT or several uplinks): other nodes cannot find this one under one address", Data: data})
	}
	e.nat(v6, ours, ports)
	e.nodeID(v6, ours)
}

func agree(n int) string {
	if n == 1 {
		return "1 node says"
	}
	return fmt.Sprintf("all of %d nodes say", n)
}

func commonest[K comparable](m map[K]int) (best K, n int) {
	for k, c := range m {
		if c > n {
			best, n = k, c
		}
	}
	return best, n
}

// nat says what stands between us and the network: RFC 4787's mapping
// behaviour, as far as the ports that several nodes see tell.
func (e *examination) nat(v6 bool, ours netip.Addr, ports map[uint16]int) {
	f := Finding{Step: StepNAT, What: familyName(v6)}
	own := localAddr(v6, netip.AddrPortFrom(ours, 9).String())
	if !own.IsValid() || own != ours && addrs.IsLocal(ours) {
		own = localAddr(v6, routeTargets[v6])
	}
	mine := own == ours || slices.ContainsFunc(e.v.Addrs(), func(a netip.AddrPort) bool { return a.Addr() == ours })
	f.Data = map[string]any{"local": own, "port": e.v.Port(), "seen_ports": ports}
	f.Verdict, f.Text, f.Advice = mapping(mine, e.v.Port(), ports)
	e.tell(f)
}

// mapping judges the ports that nodes see, by how many see each.
func mapping(mine bool, port uint16, ports map[uint16]int) (v Verdict, text, advice string) {
	seen, n := commonest(ports)
	all := 0
	for _, c := range ports {
		all += c
	}
	advice = fmt.Sprintf("to be reached by more peers, forward TCP and UDP port %d to this machine in the router", port)
	switch {
	case mine && (all == 0 || n == all && seen == port):
		return Fine, "none: the address is this machine's own", ""
	case all == 0:
		return Notice, "our address is translated; no node tells the port that it sees", advice
	case all == 1:
		return Notice, fmt.Sprintf("one node sees port %d where ours is %d: one is not enough to tell the kind of NAT", seen, port), advice
	case 10*n < 8*all:
		return Notice, fmt.Sprintf("endpoint-dependent mapping: %d nodes see %d ports", all, len(ports)),
			"this NAT gives each flow a port of its own, so that nobody can call in unasked: " + advice
	case seen == port:
		text = fmt.Sprintf("endpoint-independent mapping that keeps our port %d", port)
	default:
		text = fmt.Sprintf("endpoint-independent mapping of our port %d to %d", port, seen)
	}
	// A few may have seen an earlier mapping, or lie.
	return Fine, fmt.Sprintf("%s, as %d of %s see it", text, n, count(all, "node")), advice
}

// nodeID says whether BEP 42 ties our id to our address.
func (e *examination) nodeID(v6 bool, ours netip.Addr) {
	own := e.v.ID(v6)
	f := Finding{Step: StepID, What: familyName(v6), Text: fmt.Sprintf("%s fits %s (BEP 42)", own, ours), Data: map[string]any{"id": own.String()}}
	switch {
	case addrs.IsLocal(ours):
		f.Text = fmt.Sprintf("%s: any id fits a private address (BEP 42)", own)
	case !table.Secure(own, ours):
		f.Verdict, f.Text = Notice, fmt.Sprintf("%s does not fit %s yet (BEP 42)", own, ours)
		f.Advice = "seedbed takes a fitting id once four nodes agree on the address; strict nodes do not keep this one before"
	}
	e.tell(f)
}
