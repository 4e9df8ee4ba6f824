package node

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"seedbed/internal/id"
)

// Several nodes can share one object store, as a fleet (package node/fleet). Each torrent of the catalogue (Spec.Shared) is then
// owned by some of them: its owners announce it, in the DHT and in the local network. All of them serve it to the peers that
// connect. Other torrents are announced by every node that has them, also if their files are in the store.

// fleet is what the node knows of the others with which it shares the store. Its zero value means that there are none.
type fleet struct {
	ownership atomic.Pointer[Ownership]        // nil: this node owns everything
	partners  atomic.Pointer[[]netip.AddrPort] // sorted
}

// Ownership says who owns the torrents of the catalogue. Its functions must be fast. They are called from any goroutine.
type Ownership struct {
	// Owns reports whether this node owns a torrent. It is called for all torrents with a lock held.
	Owns func(infohash id.ID) bool
	// Others returns the addresses at which peers find the other owners of a torrent, at most engine.MaxPartners. Peers
	// that are connected to this node are told of them.
	Others func(infohash id.ID) []netip.AddrPort
}

// SetOwnership makes the node announce only those torrents of the catalogue that it owns. Call it again, with the same
// functions or others, when their results have changed.
func (n *Node) SetOwnership(o *Ownership) {
	n.fleet.ownership.Store(o)
	if n.announcer != nil {
		n.announcer.SetOwned(o.Owns)
	}
	n.wakeLSD()
	for _, t := range n.Active() {
		if r := t.run.Load(); r != nil {
			r.passOwners()
		}
	}
}

// Owns reports whether this node is one of those that do what one or two nodes of a fleet do for a key. Without a fleet it is.
func (n *Node) Owns(key id.ID) bool {
	o := n.fleet.ownership.Load()
	return o == nil || o.Owns(key)
}

// passOwners passes the addresses of the other owners to the swarm.
func (r *run) passOwners() {
	if o, key := r.t.node.fleet.ownership.Load(), r.t.ownedKey(); o != nil && key != (id.ID{}) {
		r.swarm.SetPartners(o.Others(key))
	}
}

// isOwned reports whether this node announces the torrent.
func (t *Torrent) isOwned() bool {
	o, key := t.node.fleet.ownership.Load(), t.ownedKey()
	return o == nil || key == id.ID{} || o.Owns(key)
}

// ownedKey returns the key by which Ownership decides: the infohash of a torrent of the catalogue, otherwise zero.
func (t *Torrent) ownedKey() id.ID {
	if t.spec().Shared {
		return t.hash
	}
	return id.ID{}
}

// IsAnnounced reports whether the node keeps an infohash announced in the DHT.
func (n *Node) IsAnnounced(infohash id.ID) bool {
	return n.announcer != nil && n.announcer.IsAnnounced(infohash)
}

// LastAnnounce returns how long ago nodes of the DHT last accepted an announce of an infohash. It returns false if the node does not
// keep it announced, or none has accepted it yet.
func (n *Node) LastAnnounce(infohash id.ID) (ago time.Duration, ok bool) {
	if n.announcer == nil {
		return 0, false
	}
	return n.announcer.LastAnnounce(infohash)
}

// SetPartners sets the addresses at which peers find the other nodes of the fleet with the same object store. The node does not
// connect to them for torrents of the catalogue that are complete, because all have them.
func (n *Node) SetPartners(list []netip.AddrPort) {
	list = slices.Clone(list)
	slices.SortFunc(list, netip.AddrPort.Compare)
	n.fleet.partners.Store(&list)
}

// isPartner reports whether peers find another node of the fleet at an address.
func (n *Node) isPartner(addr netip.AddrPort) bool {
	list := n.fleet.partners.Load()
	if list == nil {
		return false
	}
	_, found := slices.BinarySearchFunc(*list, addr, netip.AddrPort.Compare)
	return found
}

// isRedundant reports whether an address is that of another node of the fleet that reads the torrent from the same objects.
func (t *Torrent) isRedundant(addr netip.AddrPort) bool {
	return t.node.isPartner(addr) && t.complete.Load() && t.ownedKey() != id.ID{}
}

// excludeRedundant returns the peers without those for which isRedundant is true, and without this node.
func (t *Torrent) excludeRedundant(peers []netip.AddrPort) []netip.AddrPort {
	if slices.ContainsFunc(peers, t.isRedundant) {
		peers = slices.DeleteFunc(slices.Clone(peers), t.isRedundant)
	}
	return t.node.excludeSelf(peers)
}

// PeerAddrs returns the addresses at which peers find this node, as far as they are known: the one that others see first,
// then those that it listens on. They are in no case unspecified, and there may be none.
func (n *Node) PeerAddrs() (list []netip.AddrPort) {
	ports := n.ports()
	for _, ip := range n.own() {
		if ip.IsValid() {
			list = append(list, netip.AddrPortFrom(ip, ports.Of(ip.Is6())))
		}
	}
	for _, a := range n.net.Addrs() {
		if !a.Addr().IsUnspecified() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// StoreTotals is what the node has asked of its object store, from its start.
type StoreTotals struct {
	Requests, Read int64 // requests, and bytes that were read
	Hits, Misses   int64 // reads that the cache answered, and those that waited for the store
	Cached         int64 // bytes that are in the cache now
}

// StoreTotals returns what the node has asked of its object store; zero if it has none.
func (n *Node) StoreTotals() StoreTotals {
	o := n.cfg.Objects
	if o == nil {
		return StoreTotals{}
	}
	c := o.Store.Counts()
	t := StoreTotals{Requests: c.Gets + c.Heads + c.Lists + c.Puts, Read: c.Read}
	t.Hits, t.Misses = o.Shared.Counts()
	_, t.Cached = o.Shared.Cache.Size()
	return t
}
