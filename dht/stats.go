package dht

import (
	"net/netip"

	"seedbed/internal/id"
)

// counts are a family's counters since its start.
type counts struct {
	In, Out    uint64 // datagrams taken, queries sent
	Queries    uint64 // of those taken, queries to us
	Replies    uint64 // and replies to queries of ours
	Timeouts   uint64 // queries of ours that nobody answered
	SendErrors uint64

	// Datagrams that were dropped, by reason.
	NotKRPC   uint64 // first byte is not 'd'
	Malformed uint64 // no KRPC message
	Unasked   uint64 // a response without a question, or too late
	Spoofed   uint64 // a response from another address than was asked
	Busy      uint64 // the query engine could not keep up
	Limited   uint64 // a query whose source asks too often, or cannot be one
}

// FamilyStats is the state of our node in the DHT of one address family.
type FamilyStats struct {
	ID         id.ID
	External   netip.Addr // our address as others see it; zero while unsettled
	Good       int        // good nodes in the table
	Nodes      int        // all nodes in the table
	Pending    int        // queries of ours under way
	In, Out    uint64     // datagrams taken, queries sent
	Queries    uint64     // of those taken, queries to us
	Replies    uint64     // and replies to us
	Timeouts   uint64
	SendErrors uint64
	Dropped    Dropped
}

// Dropped counts the datagrams that were dropped, by reason.
type Dropped struct {
	NotKRPC   uint64 // the first byte is not 'd'
	Malformed uint64 // no KRPC message
	Unasked   uint64 // a response without a question, or too late
	Spoofed   uint64 // a response from another address than was asked
	Busy      uint64 // the query engine could not keep up
	Limited   uint64 // a query whose source asks too often, or cannot be one
}

// Stats is a snapshot for people and programs that watch the node.
type Stats struct {
	V4, V6   FamilyStats
	Nodes4   int // good nodes
	Nodes6   int
	Lookups  int        // get_peers lookups that are running
	Asked    int        // nodes that these have asked so far
	Made     int64      // lookups since the start
	External netip.Addr // of the first family that knows it
}

// Stats is the state of the node now.
func (d *DHT) Stats() Stats {
	s := Stats{
		Lookups: int(d.lookups.running.Load()),
		Asked:   int(d.lookups.asked.Load()),
		Made:    d.lookups.made.Load(),
	}
	for _, f := range d.families {
		fs := f.stats()
		if f.v6 {
			s.V6, s.Nodes6 = fs, fs.Good
		} else {
			s.V4, s.Nodes4 = fs, fs.Good
		}
		if !s.External.IsValid() {
			s.External = fs.External
		}
	}
	return s
}

func (f *family) stats() FamilyStats {
	now := f.d.now()
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	c := &f.counts
	return FamilyStats{
		ID: f.table.ID(), External: f.external,
		Good: f.table.Good(now), Nodes: f.table.Len(), Pending: len(f.pending),
		In: c.In, Out: c.Out, Queries: c.Queries, Replies: c.Replies,
		Timeouts: c.Timeouts, SendErrors: c.SendErrors,
		Dropped: Dropped{NotKRPC: c.NotKRPC, Malformed: c.Malformed, Unasked: c.Unasked, Spoofed: c.Spoofed, Busy: c.Busy, Limited: c.Limited},
	}
}
