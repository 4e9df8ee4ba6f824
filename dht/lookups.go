package dht

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"seedbed/internal/id"
)

// LookupStats is what a lookup did, over both families.
type LookupStats struct {
	Asked    int           // queries sent
	Answered int           // nodes that answered
	Failed   int           // nodes that did not, as far as we waited
	Closest  int           // of the closest nodes to the infohash, those that answered
	Peers    int           // distinct peers found
	Took     time.Duration // until the closest were known
}

// AnnounceStats is what an announce did.
type AnnounceStats struct {
	LookupStats
	Sent      int // announce_peer queries
	Accepted  int // of these, accepted by the node
	Accepted6 int // of these, by nodes of IPv6
}

type lookupCounters struct {
	running, asked, made atomic.Int64
}

// Found takes peers that a node named; from is not valid for those that were
// announced to ourselves. It must not block.
type Found func(from netip.AddrPort, peers []netip.AddrPort)

// Lookup finds peers of an infohash in the DHT. found is called with peers as
// they arrive, never at the same time; a peer that several nodes name comes as
// often. Lookup returns when the closest nodes have answered. Asked is
// 0 when no node is known at all.
func (d *DHT) Lookup(ctx context.Context, infohash id.ID, found Found) (LookupStats, error) {
	s, err := d.peers(ctx, infohash, 0, false, found)
	return s.LookupStats, err
}

// Announce finds peers as Lookup does, and tells the closest nodes that
// we are one, on the TCP port given (BEP 5), and whether we have all of it
// (BEP 33). Each family announces as soon as its own closest nodes are known.
// found may be nil.
func (d *DHT) Announce(ctx context.Context, infohash id.ID, port uint16, seed bool, found Found) (AnnounceStats, error) {
	return d.peers(ctx, infohash, port, seed, found)
}

func (d *DHT) peers(ctx context.Context, infohash id.ID, port uint16, seed bool, found Found) (AnnounceStats, error) {
	slots := d.searching
	if port != 0 { // port 0 cannot be announced, so that it is a mere lookup
		slots = d.telling
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return AnnounceStats{}, ctx.Err()
	case <-d.ctx.Done():
		return AnnounceStats{}, ErrClosed
	}
	t := newTraversal(d, "get_peers", infohash)
	t.port, t.seed = port, seed
	if found != nil {
		t.found = func(from netip.AddrPort, peers []netip.AddrPort, _ int) { found(from, peers) }
	}
	for _, f := range d.families {
		t.addLeg(f)
		if port != 0 {
			f.announceSelf(d.now(), infohash, port, seed)
		}
	}
	d.lookups.made.Add(1)
	d.lookups.running.Add(1)
	defer d.lookups.running.Add(-1)
	defer func() { d.lookups.asked.Add(-int64(t.counted)) }()
	err := t.run(ctx)
	return t.stats(), err
}

// findNodes looks a target up in one family, for the sake of its table. With
// all, the nodes of the other family are asked too: they may know the first
// nodes of this one (BEP 32).
func (d *DHT) findNodes(ctx context.Context, f *family, target id.ID, all bool) {
	t := newTraversal(d, "find_node", target)
	for _, g := range d.families {
		if g == f || all {
			t.addLeg(g)
		}
	}
	_ = t.run(ctx) // it ends early only with the node
}
