package dht

import (
	"cmp"
	"context"
	"math"
	"net/netip"
	"slices"
	"time"

	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/internal/id"
)

// Scrape is an estimate of the size of a swarm, from the filters of the nodes to which its
// peers announce (BEP 33).
type Scrape struct {
	Seeds, Peers int // Peers does not include seeds
	Filters      int // nodes whose filters were counted
	Dropped      int // nodes whose filters were ignored as implausible
}

// PeersReport is the result of GetPeers and AnnouncePeer.
type PeersReport struct {
	Report
	Peers     int           // distinct peers found
	FirstPeer time.Duration // time until the first peer; 0: none
	Scrape    Scrape
	Nodes     []NodeResult // of AnnouncePeer
	Accepted  int
}

// GetPeers finds peers of an infohash as Lookup does. If scrape is true, it also estimates
// the number of peers. found may be nil.
func (d *DHT) GetPeers(ctx context.Context, infohash id.ID, scrape bool, found func([]netip.AddrPort)) (PeersReport, error) {
	_, out, err := d.findPeers(ctx, infohash, scrape, found)
	return out, err
}

// AnnouncePeer finds peers, and announces us to the closest nodes as a peer on the given
// TCP port; seed says that we are a seed (BEP 33). found may be nil.
func (d *DHT) AnnouncePeer(ctx context.Context, infohash id.ID, port uint16, seed bool, found func([]netip.AddrPort)) (PeersReport, error) {
	q, out, err := d.findPeers(ctx, infohash, false, found)
	if err != nil {
		return out, err
	}
	out.Nodes = q.sendToClosest(ctx, "announce_peer", func(_ netip.AddrPort, token []byte) *queryArgs {
		return announcement(infohash, port, seed, token)
	}, nil, nil)
	for _, n := range out.Nodes {
		if n.Accepted {
			out.Accepted++
		}
	}
	return out, ctx.Err()
}

func (d *DHT) findPeers(ctx context.Context, infohash id.ID, scrape bool, found func([]netip.AddrPort)) (*tracedLookup, PeersReport, error) {
	var out PeersReport
	q := d.newTracedLookup("get_peers", infohash)
	if scrape {
		q.args.Scrape = 1
	}
	begun := time.Now()
	q.onPeers = func(ps []netip.AddrPort) {
		if out.Peers == 0 {
			out.FirstPeer = time.Since(begun)
		}
		out.Peers += len(ps)
		if found != nil {
			found(ps)
		}
	}
	filters := make(map[netip.AddrPort]*akrpc.Return)
	if scrape {
		q.onAnswer = func(c Contact, r *akrpc.Return) {
			if r.BFsd != nil || r.BFpe != nil {
				filters[c.Addr] = r
			}
		}
	}
	r, err := q.run(ctx)
	out.Report = r
	var given []*akrpc.Return
	for _, c := range r.Closest {
		// Only the closest nodes count, because peers announce only to them.
		if f, ok := filters[c.Addr]; ok {
			given = append(given, f)
		}
	}
	out.Scrape = merge(given)
	return q, out, err
}

type bloom = akrpc.ScrapeBloomFilter

// merge estimates the size of a swarm from the filters of several nodes, combined with a
// bitwise OR (BEP 33). One node that sets every bit could make the result arbitrarily
// large, so merge leaves out filters whose own estimate is far above the median.
func merge(given []*akrpc.Return) (s Scrape) {
	var sizes []float64
	of := func(f *bloom) *bloom { return cmp.Or(f, new(bloom)) }
	size := func(r *akrpc.Return) float64 { return of(r.BFsd).EstimateCount() + of(r.BFpe).EstimateCount() }
	for _, r := range given {
		sizes = append(sizes, size(r))
	}
	limit := float64(math.MaxInt32) // the estimate of a full filter is infinite
	if len(sizes) > 2 {
		sorted := slices.Sorted(slices.Values(sizes))
		limit = min(limit, 3*sorted[(len(sorted)-1)/2]+50)
	}
	var seeds, peers bloom
	for i, r := range given {
		if sizes[i] > limit {
			s.Dropped++
			continue
		}
		s.Filters++
		for j, b := range of(r.BFsd) {
			seeds[j] |= b
		}
		for j, b := range of(r.BFpe) {
			peers[j] |= b
		}
	}
	count := func(f *bloom) int {
		n := f.EstimateCount()
		if n > 1<<16 { // the filter is full
			n = 1 << 16
		}
		return int(math.Round(n))
	}
	if s.Filters > 0 {
		s.Seeds, s.Peers = zeroIfEmpty(&seeds, count), zeroIfEmpty(&peers, count)
	}
	return s
}

// zeroIfEmpty returns 0 for an empty filter, for which the library's estimate is not 0.
func zeroIfEmpty(f *bloom, count func(*bloom) int) int {
	if *f == (bloom{}) {
		return 0
	}
	return count(f)
}

// Sampled describes the answer of one node to sample_infohashes.
type Sampled struct {
	Contact
	Samples  int           // infohashes in its answer
	Num      int64         // number of infohashes that it stores, according to itself
	Interval time.Duration // time after which it returns other samples
}

// SampleReport is the result of Sample.
type SampleReport struct {
	Report
	Infohashes []id.ID // distinct, in the order in which they arrived
	Nodes      []Sampled
	Dropped    int // infohashes beyond the maximum
}

// maxSamples is the maximum number of infohashes that one Sample returns.
const maxSamples = 8192

// Sample runs a lookup of target, and asks every node on the way for a sample of the
// infohashes for which it stores peers (BEP 51).
func (d *DHT) Sample(ctx context.Context, target id.ID) (out SampleReport, err error) {
	q := d.newTracedLookup("sample_infohashes", target)
	seen := make(map[id.ID]struct{})
	q.onAnswer = func(c Contact, r *akrpc.Return) {
		if r.Samples == nil {
			return
		}
		// BEP 51: interval is 0 to 21600 seconds.
		every := time.Duration(min(max(*r.Interval, 0), 21600)) * time.Second
		out.Nodes = append(out.Nodes, Sampled{c, len(*r.Samples), max(*r.Num, 0), every})
		for _, sample := range *r.Samples {
			x := id.ID(sample)
			if _, ok := seen[x]; ok {
				continue
			}
			if len(seen) == maxSamples {
				out.Dropped++
				continue
			}
			seen[x] = struct{}{}
			out.Infohashes = append(out.Infohashes, x)
		}
	}
	r, err := q.run(ctx)
	out.Report = r
	return out, err
}
