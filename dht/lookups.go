package dht

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
)

// LookupStats counts what a lookup did, in both families together.
type LookupStats struct {
	Asked    int           // queries sent
	Answered int           // nodes that answered
	Failed   int           // nodes that did not answer while the lookup ran
	Closest  int           // nodes closest to the infohash that answered
	Peers    int           // distinct peers found
	Took     time.Duration // time until the closest nodes were known
}

// AnnounceStats counts what an announce did, in both families together.
type AnnounceStats struct {
	LookupStats
	Sent      int // announce_peer queries
	Accepted  int // announce_peer queries that were accepted
	Accepted6 int // of these, those over IPv6
}

type lookupCounters struct {
	running, asked, made atomic.Int64
	ended                endedLookups
}

// Found is called with the peers that the node at from returned. For peers that were
// announced to our own node, from is the zero AddrPort. It must not block.
type Found func(from netip.AddrPort, peers []netip.AddrPort)

// Lookup finds peers of an infohash in the DHT. It calls found with peers as they arrive,
// one call at a time. A peer that several nodes return is passed several times. Lookup
// returns when the closest nodes have answered. If no node is known, Asked is 0.
func (d *DHT) Lookup(ctx context.Context, infohash id.ID, found Found) (LookupStats, error) {
	s, err := d.peers(ctx, infohash, addrs.Ports{}, false, found)
	return s.LookupStats, err
}

// Announce finds peers as Lookup does, and announces us to the closest nodes as a peer on
// the given TCP ports (BEP 5); seed says that we are a seed (BEP 33). Each family announces
// as soon as its closest nodes are known. found may be nil.
func (d *DHT) Announce(ctx context.Context, infohash id.ID, ports addrs.Ports, seed bool, found Found) (AnnounceStats, error) {
	return d.peers(ctx, infohash, ports, seed, found)
}

func (d *DHT) peers(ctx context.Context, infohash id.ID, ports addrs.Ports, seed bool, found Found) (AnnounceStats, error) {
	slots := d.searching
	if ports != (addrs.Ports{}) { // port 0 cannot be announced: it is a lookup only
		slots = d.announcing
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
	t.ports, t.seed = ports, seed
	if found != nil {
		t.found = func(from netip.AddrPort, peers []netip.AddrPort, _ int) { found(from, peers) }
	}
	for _, f := range d.families {
		t.addLeg(f)
		if port := ports.Of(f.v6); port != 0 {
			f.storeOwnAnnounce(d.now(), infohash, port, seed)
		}
	}
	d.lookups.made.Add(1)
	d.lookups.running.Add(1)
	defer d.lookups.running.Add(-1)
	defer func() { d.lookups.asked.Add(-int64(t.counted)) }()
	err := t.run(ctx)
	return t.stats(), err
}

// findNodes looks up a target in one family to fill its table. If all is true, it asks the
// nodes of the other family too, because they may know nodes of this one (BEP 32).
func (d *DHT) findNodes(ctx context.Context, f *family, target id.ID, all bool) {
	t := newTraversal(d, "find_node", target)
	for _, g := range d.families {
		if g == f || all {
			t.addLeg(g)
		}
	}
	_ = t.run(ctx) // it fails only if the node closes
}
