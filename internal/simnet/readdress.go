package simnet

import (
	"net/netip"
	"slices"
)

// Readdress replaces an address of the host by another one of the same family. As on a real
// machine, sockets keep their port and use the new address from now on; connections from the old
// one neither send nor receive anything more, and no one is notified.
func (h *Host) Readdress(before, after netip.Addr) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	addrs := slices.Clone(*h.addrs.Load())
	i := slices.Index(addrs, before)
	if i < 0 || n.hosts[after] != nil || before.Is4() != after.Is4() {
		panic("simnet: the address is not one of the host, or the new one cannot be")
	}
	addrs[i] = after
	h.addrs.Store(&addrs)
	delete(n.hosts, before)
	n.hosts[after] = h
	for local, p := range h.packets {
		if local.Addr() == before {
			delete(h.packets, local)
			local = netip.AddrPortFrom(after, local.Port())
			p.local.Store(&local)
			h.packets[local] = p
		}
	}
}
