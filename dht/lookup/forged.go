package lookup

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// An attacker who wants to control an infohash puts its own nodes closer to it than all
// others. Then there are more nodes near the infohash than chance allows. Config.Zone is
// the size of that neighbourhood: k nodes in it are forged. Answers of forged nodes do not
// end the lookup, and other nodes are asked as well. Some forged nodes are still asked and
// announced to, because an honest node may be among them.

// sideTargets is the number of targets outside a forged zone that are looked up. Together
// with the zone, the parts of the id space that they cover contain at least the 8 closest
// honest nodes.
const sideTargets = 5

// Neighbours is the n for which Zone takes the distance of the n-th closest node to us.
// Every node knows its 8 closest neighbours.
const Neighbours = 8

// minKnown is the number of nodes that we must know to estimate how dense ids are. In a
// smaller network, a lookup asks every node anyway.
const minKnown = 32

// Zone returns Config.Zone for a node that knows that many nodes, the 8th closest of them
// at that distance. It returns 0, for unknown, if it knows too few. The zone is so large
// that three honest nodes are expected in it. A few lookups in a hundred find eight, which
// only costs some queries.
func Zone(known int, distance uint64) uint64 {
	if known < minKnown {
		return 0
	}
	return distance / 8 * 3
}

// distance returns the first 64 bits of the distance between two ids. More do not matter
// in a network of fewer than about 2^50 nodes.
func distance(a, b id.ID) uint64 {
	return binary.BigEndian.Uint64(a[:]) ^ binary.BigEndian.Uint64(b[:])
}

// inZone reports whether the candidate belongs to a forged neighbourhood.
func (l *Lookup) inZone(c *candidate) bool {
	return l.forged && distance(l.target, c.ID) < l.cfg.Zone
}

// countZone counts the answer of c if it comes from the zone, and detects a forged
// neighbourhood.
func (l *Lookup) countZone(c *candidate) {
	if distance(l.target, c.ID) >= l.cfg.Zone {
		return
	}
	l.zone++
	l.forged = l.forged || l.zone >= l.cfg.K
}

// SideTargets returns the targets whose lookups lead to the honest nodes around a forged
// neighbourhood: one in each half, quarter and so on of the id space outside it. If asked
// for our target, those nodes return only forged ones. If asked for their own part of the
// space, they return their neighbours. SideTargets returns nil if the neighbourhood is not
// forged or the lookup is not over.
func (l *Lookup) SideTargets() (targets []id.ID) {
	if !l.forged || !l.done {
		return nil
	}
	zone := bits.LeadingZeros64(l.cfg.Zone)
	for bit := zone - 1; bit >= max(0, zone-sideTargets); bit-- {
		x := l.target
		x[bit/8] ^= 0x80 >> (bit % 8)
		targets = append(targets, x)
	}
	return targets
}

// Widen adds the closest nodes that the lookups of SideTargets found, and continues until
// each of them has been asked too. An announcer and a searcher rarely agree on where the
// forged zone ends, but their lookups of most side targets find the same nodes.
func (l *Lookup) Widen(now mono.Time, nodes []Node) {
	l.done = false
	for _, n := range nodes[:min(len(nodes), sideTargets*l.cfg.K)] {
		n.Token = nil
		l.insert(n, -1)
		if i := slices.IndexFunc(l.list, func(c *candidate) bool { return c.Addr == n.Addr && c.ID == n.ID }); i >= 0 {
			l.list[i].beside = true
		}
	}
	l.settle(now)
}
