package lookup

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Whoever wants to own an infohash puts nodes of his closer to it than all
// others, and then there are more in that little space than chance allows.
// Config.Zone says how little: there k nodes are forged. These count for
// nothing: neither do they end the lookup, nor do they keep others from being
// asked. Some are asked and announced to all the same, for an honest node may be
// among them.

// around is how many parts of the space beside a forged zone are looked up: with
// the zone itself they hold the 8 closest honest nodes and more.
const around = 5

// Neighbours is which neighbour of ours Zone wants the distance of: the farthest
// of those that every node keeps to know.
const Neighbours = 8

// enough is how many nodes one must know to judge of spacing: a network of fewer
// is asked whole.
const enough = 32

// Zone is Config.Zone for who knows so many nodes, the 8th of them that far from
// himself; 0, for no such judgement, where they are few. Three honest nodes are to be
// expected in the zone; that there are eight happens in a few lookups of a
// hundred, and costs them some queries.
func Zone(known int, distance uint64) uint64 {
	if known < enough {
		return 0
	}
	return distance / 8 * 3
}

// distance is the first 64 bits of the distance between two ids: all that
// matters in a network of fewer than some 2^50 nodes.
func distance(a, b id.ID) uint64 {
	return binary.BigEndian.Uint64(a[:]) ^ binary.BigEndian.Uint64(b[:])
}

// inZone reports whether the candidate belongs to a neighbourhood that has
// proved to be forged.
func (l *Lookup) inZone(c *candidate) bool {
	return l.forged && distance(l.target, c.ID) < l.cfg.Zone
}

// watch looks for a forged neighbourhood when c has answered.
func (l *Lookup) watch(c *candidate) {
	if distance(l.target, c.ID) >= l.cfg.Zone {
		return
	}
	l.zone++
	l.forged = l.forged || l.zone >= l.cfg.K
}

// Around is the targets whose lookups lead to the honest nodes around a forged
// neighbourhood: the halves, quarters and so on of the id space beside it. Those
// nodes take the forged ones for the closest to our target and name nobody else,
// but ask them for their own part of the space and they name their neighbours.
// It is nil if the neighbourhood is as it should be, and before the lookup is
// over.
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

// Widen takes the nodes that the lookups of Around ended at, and goes on until
// each of them has been asked too. Whoever announces and whoever looks for him
// rarely agree where exactly the forged zone ends, but they come to the same
// nodes in most of the parts beside it.
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
