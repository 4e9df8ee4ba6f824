package node

import (
	"net/netip"
	"slices"

	"seedbed/internal/id"
	"seedbed/internal/lsd"
	"seedbed/internal/netx"
	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

// startLSD starts local service discovery (BEP 14) if the node listens on an address that other
// machines can reach. So nodes on loopback addresses never find each other.
func (n *Node) startLSD() {
	open := n.cfg.multicast
	if open == nil {
		open = n.openMulticast
	}
	groups := slices.DeleteFunc([]netip.AddrPort{lsd.Group4, lsd.Group6}, func(g netip.AddrPort) bool {
		return !slices.ContainsFunc(n.net.Addrs(), func(a netip.AddrPort) bool { return a.Addr().Is4() == g.Addr().Is4() && !a.Addr().IsLoopback() })
	})
	if len(groups) == 0 || n.cfg.Network != nil && n.cfg.multicast == nil {
		return
	}
	n.lsd = lsd.Start(lsd.Config{
		Groups: groups, Open: open,
		Enabled:  func() bool { return !n.settings.Load().NoLSD },
		Port:     n.net.Port,
		Torrents: n.localTorrents,
		Found:    n.foundLocalPeer,
		Log:      n.log,
	})
}

func (n *Node) openMulticast(group netip.AddrPort) (lsd.Transport, error) {
	var listen []netip.Addr
	for _, a := range n.net.Addrs() {
		listen = append(listen, a.Addr())
	}
	return netx.OpenMulticast(group, listen, n.cfg.Outbound)
}

// wakeLSD makes local service discovery look at the torrents and settings again.
func (n *Node) wakeLSD() {
	if n.lsd != nil {
		n.lsd.Wake()
	}
}

// localTorrents returns the infohashes of the torrents that run or are parked, except private
// ones. As for the DHT, a torrent counts as public until its metadata says otherwise.
func (n *Node) localTorrents() (hashes []id.ID) {
	for _, t := range n.running() {
		if !t.private.Load() && (t.run.Load() != nil || t.Phase() == lifecycle.Parked) {
			hashes = append(hashes, t.infohashes()...)
		}
	}
	return hashes
}

// foundLocalPeer passes a peer of the local network to the torrent that it announces.
func (n *Node) foundLocalPeer(hash id.ID, peer netip.AddrPort) {
	t := n.lookup(hash)
	if t == nil || len(n.excludeSelf([]netip.AddrPort{peer})) == 0 {
		return
	}
	t.addCandidates([]engine.Candidate{{Addr: peer, Source: engine.FromLSD, From: peer.Addr()}})
}
