package node

import (
	"net/netip"
	"slices"
	"sync"

	"seedbed/internal/id"
	"seedbed/internal/lsd"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	"seedbed/internal/rate"
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
	n.lsdWakes.bucket = rate.NewBucket(n.now(), lsdWakeRate, lsdWakes)
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

// isLocal reports whether the torrent takes part in local service discovery: it runs or is parked,
// and is not private. As for the DHT, a torrent counts as public until its metadata says otherwise.
func (t *Torrent) isLocal() bool {
	return !t.private.Load() && (t.run.Load() != nil || t.Phase() == lifecycle.Parked)
}

// localTorrents returns the infohashes of the torrents to announce.
func (n *Node) localTorrents() (hashes []id.ID) {
	for _, t := range n.running() {
		if t.isLocal() && t.isOwned() {
			hashes = append(hashes, t.infohashes()...)
		}
	}
	return hashes
}

// An announce wakes parked torrents, because its peer may be unable to connect to us. Anyone in the
// local network can name all of them, again and again, so only some wake: lsdWakes at once and
// lsdWakeRate a second after that. The others are announced to the peer.
const (
	lsdWakes    = 32
	lsdWakeRate = 1
)

// wakeLimit limits how many parked torrents local service discovery wakes.
type wakeLimit struct {
	mu     sync.Mutex
	bucket rate.Bucket
}

func (l *wakeLimit) take(now mono.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket.Take(now, 1)
}

// foundLocalPeer passes a peer of the local network to the torrents that it announces.
func (n *Node) foundLocalPeer(hashes []id.ID, peer netip.AddrPort) {
	var ts []*Torrent
	for _, h := range hashes {
		t := n.lookup(h)
		if t != nil && t.isLocal() && !slices.Contains(ts, t) {
			ts = append(ts, t)
		}
	}
	if len(ts) == 0 || len(n.excludeSelf([]netip.AddrPort{peer})) == 0 {
		return
	}
	for _, t := range ts {
		if !t.isRedundant(peer) && (t.run.Load() != nil || n.lsdWakes.take(n.now())) {
			t.addCandidates([]engine.Candidate{{Addr: peer, Source: engine.FromLSD, From: peer.Addr()}})
		}
	}
}
