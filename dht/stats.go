package dht

import (
	"net/netip"

	"seedbed/internal/id"
)

// Stats is the state of a node.
type Stats struct {
	V4, V6         FamilyStats
	Nodes4, Nodes6 int        // good nodes
	External       netip.Addr // our address as other nodes see it, IPv4 if both are known
	Lookups        int        // lookups and announces that are running
	Asked          int        // nodes that these have asked so far
	Made           int64      // lookups and announces since the start
}

// FamilyStats is the state of our node in the DHT of one address family.
type FamilyStats struct {
	ID       id.ID
	External netip.Addr // our address as other nodes see it; zero while unknown
	Good     int        // good nodes in the table
	Nodes    int        // all nodes in the table
	Pending  int        // queries of ours under way
	Counts
}

// Counts are counters since the start.
type Counts struct {
	In         uint64 // datagrams received, dropped ones too
	Queries    uint64 // of these, queries to us
	Replies    uint64 // of these, replies to our queries
	Out        uint64 // queries that we sent
	Timeouts   uint64 // of these, those without an answer
	SendErrors uint64 // datagrams that the system did not send
	Dropped    Dropped
}

// Dropped counts the datagrams that were dropped, by reason.
type Dropped struct {
	NotKRPC   uint64 // not of a protocol that we speak
	Malformed uint64 // not a KRPC message
	Unasked   uint64 // a response to no query of ours, or too late
	Spoofed   uint64 // a response from another address than was asked
	Busy      uint64 // a put that found the verification queue full
	Limited   uint64 // a query from a source that asks too often, or from an impossible address
}

// Stats returns the current state of the node.
func (d *DHT) Stats() Stats {
	s := Stats{
		Lookups: int(d.lookups.running.Load()),
		Asked:   int(d.lookups.asked.Load()),
		Made:    d.lookups.made.Load(),
	}
	now := d.now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.families {
		fs := FamilyStats{
			ID: f.table.ID(), External: f.external,
			Good: f.table.Good(now), Nodes: f.table.Len(), Pending: len(f.pending),
			Counts: f.counts,
		}
		strays := f.conn.Strays()
		fs.In += strays
		fs.Dropped.NotKRPC += strays
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
