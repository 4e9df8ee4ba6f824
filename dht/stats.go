package dht

import (
	"net/netip"

	"seedbed/internal/id"
)

// Stats is the state of our node.
type Stats struct {
	V4, V6         FamilyStats
	Nodes4, Nodes6 int        // good nodes
	External       netip.Addr // our address as other nodes see it, IPv4 if both are known
	Lookups        int        // lookups and announces that are running now
	Asked          int        // nodes that they have asked so far
	Made           int64      // lookups and announces since the start
}

// FamilyStats is the state of our node in the DHT of one address family.
type FamilyStats struct {
	Has      bool // we have a socket of this family
	ID       id.ID
	External netip.Addr // our address as other nodes see it; zero until enough of them agree
	Good     int        // good nodes in the table
	Nodes    int        // all nodes in the table
	Pending  int        // our queries that are pending
	Counts
}

// Counts are counters since the start.
type Counts struct {
	In         uint64 // datagrams received, including dropped ones
	Queries    uint64 // queries received
	Answers    uint64 // responses and errors that we sent
	Replies    uint64 // replies to our queries received
	Out        uint64 // queries that we sent
	Timeouts   uint64 // our queries that were not answered
	SendErrors uint64 // datagrams that the system did not send
	Dropped    Dropped
}

// Dropped counts the datagrams that were dropped, by reason.
type Dropped struct {
	NotKRPC   uint64 // neither KRPC nor uTP
	Malformed uint64 // not a KRPC message
	Unasked   uint64 // a response that matches no pending query
	Spoofed   uint64 // a response from another address than the one that was asked
	Busy      uint64 // a put that arrived while the verification queue was full
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
			Has: true, ID: f.table.ID(), External: f.external,
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

// Held is what we store for other nodes now.
type Held struct {
	Infohashes, Peers, Items int
}

// Held returns what we store for other nodes now.
func (d *DHT) Held() (h Held) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h.Infohashes, h.Peers = d.answers.store.Len()
	h.Items = d.answers.store.Items()
	return h
}

// Votes returns how many networks see us at each address, at most 32 of them.
func (d *DHT) Votes(v6 bool) map[netip.Addr]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.families {
		if f.v6 == v6 {
			return f.votes.Tally()
		}
	}
	return nil
}
