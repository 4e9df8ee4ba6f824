package fleet

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/hashicorp/memberlist"

	"seedbed/internal/mono"
)

// members is what is known of the members, by their names. Fleet.mu guards it.
type members struct {
	generation int // of the memberlist whose events count
	live       map[string]contact
	reports    map[string]received
	conflicts  map[string]*conflict
	places     map[string][]netip.AddrPort // where peers find the other live members
}

// contact is what a live member says of itself.
type contact struct {
	node  memberlist.Node // a copy: memberlist changes its own at any time
	addr  netip.AddrPort  // for the other members
	about meta
}

// received is the last report of a member.
type received struct {
	report
	at mono.Time
}

// init forgets all members, and makes the events of another memberlist count.
func (m *members) init(generation int) {
	*m = members{generation: generation, live: map[string]contact{}, reports: map[string]received{}, conflicts: map[string]*conflict{}}
}

// set sets what a live member says of itself.
func (m *members) set(n *memberlist.Node) {
	about, err := parseMeta(n.Meta)
	ip, ok := netip.AddrFromSlice(n.Addr)
	if err != nil || !ok {
		return // NotifyAlive has refused it
	}
	m.live[n.Name] = contact{*n, netip.AddrPortFrom(ip.Unmap(), n.Port), about}
}

// sharing returns the names of live members that tell the others the same address as another one, with the name of that.
func (m *members) sharing() map[string]string {
	first, pairs := map[netip.AddrPort]string{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(m.live)) {
		addr := m.live[name].addr
		if other, ok := first[addr]; ok {
			pairs[name], pairs[other] = other, name
		} else {
			first[addr] = name
		}
	}
	return pairs
}

// events is a memberlist.EventDelegate: it copies what memberlist knows. memberlist calls it with its lock held.
type events struct {
	*Fleet
	generation int
}

var _ memberlist.EventDelegate = events{}

// NotifyJoin implements memberlist.EventDelegate.
func (e events) NotifyJoin(n *memberlist.Node) { e.NotifyUpdate(n) }

// NotifyUpdate implements memberlist.EventDelegate.
func (e events) NotifyUpdate(n *memberlist.Node) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.members.generation == e.generation {
		e.members.set(n)
	}
}

// NotifyLeave implements memberlist.EventDelegate. The node may have failed.
func (e events) NotifyLeave(n *memberlist.Node) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.members.generation == e.generation {
		delete(e.members.live, n.Name)
		delete(e.members.reports, n.Name)
		e.wakeJoin()
	}
}
