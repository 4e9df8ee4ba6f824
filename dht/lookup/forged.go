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
// the size of that neighbourhood: k nodes in it are forged. Forged nodes do not end the
// lookup and do not keep others from being asked. Some of them are asked and announced to
// all the same, because an honest node may be among them.

// around is how many parts of the id space beside a forged zone are looked up. With the
// zone itself they hold at least the 8 closest honest nodes.
const around = 5

// Neighbours says which neighbour of ours Zone takes the distance of: the farthest of
// those that every node always knows.
const Neighbours = 8

// enough is how many nodes must be known to estimate how dense ids are. In a smaller
// network every node is asked anyway.
const enough = 32

// Zone returns Config.Zone for a node that knows so many nodes, the 8th closest of them at
// that distance. It returns 0, for unknown, if there are too few. Three honest nodes are
// expected in the zone. A few lookups in a hundred find eight, which costs them some queries.
func Zone(known int, distance uint64) uint64 {
	if known < enough {
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

// countZone counts the answer of c, and detects a forged neighbourhood.
func (l *Lookup) countZone(c *candidate) {
	if distance(l.target, c.ID) >= l.cfg.Zone {
		return
	}
	l.zone++
	l.forged = l.forged || l.zone >= l.cfg.K
}

// Around returns the targets whose lookups lead to the honest nodes around a forged
// neighbourhood: one in each half, quarter and so on of the id space beside it. If asked
// for our target, those nodes name only forged ones. If asked for their own part of the
// space, they name their neighbours. Around returns nil if the neighbourhood is not forged
// or the lookup is not over.
func (l *Lookup) Around() (targets []id.ID) {
	if !l.forged || !l.done {
		return nil
	}
	zone := bits.LeadingZeros64(l.cfg.Zone)
	for bit := zone - 1; bit >= max(0, zone-around); bit-- {
		x := l.target
		x[bit/8] ^= 0x80 >> (bit % 8)
		targets = append(targets, x)
	}
	return targets
}

// Widen adds the nodes at which the lookups of Around ended, and continues until each of
// them has been asked too. An announcer and a searcher rarely agree on where the forged
// zone ends, but they find the same nodes in most of the parts beside it.
func (l *Lookup) Widen(now mono.Time, nodes []Node) {
	l.done = false
	for _, n := range nodes[:min(len(nodes), around*l.cfg.K)] {
		n.Token = nil
		l.insert(n, -1)
		if i := slices.IndexFunc(l.list, func(c *candidate) bool { return c.Addr == n.Addr && c.ID == n.ID }); i >= 0 {
			l.list[i].beside = true
		}
	}
	l.settle(now)
}
