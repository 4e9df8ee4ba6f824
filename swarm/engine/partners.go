package engine

import (
	"net/netip"
	"slices"

	"seedbed/pex"
)

// setPartners sets the seeds of which peers are told. They learn of them soon.
func (e *Engine) setPartners(addrs []netip.AddrPort) {
	if addrs = addrs[:min(len(addrs), MaxPartners)]; slices.Equal(addrs, e.partners) {
		return
	}
	e.partners = slices.Clone(addrs)
	e.sendPexSoon()
}

// addPartners returns the list of connected peers with the partners that are not in it. The partners come first, because a
// message has room for fifty. BEP 11 is about connected peers; a partner is not connected, since neither of us needs anything
// of the other, but we know from it that it is there.
func (e *Engine) addPartners(list []pex.Peer) []pex.Peer {
	for _, a := range e.partners {
		if !slices.ContainsFunc(list, func(p pex.Peer) bool { return p.Addr == a }) {
			list = slices.Insert(list, 0, pex.Peer{Addr: a, Flags: pex.Seed | pex.Reachable})
		}
	}
	return list
}
