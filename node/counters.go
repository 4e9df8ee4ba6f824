package node

import (
	"net/netip"
	"sync/atomic"

	"seedbed/internal/traffic"
	"seedbed/node/lifecycle"
	"seedbed/swarm"
)

// Counters is what a node does with all its torrents. The numbers grow from the start of the node, except
// where they say what there is now.
type Counters struct {
	swarm.Counters
	Torrents [lifecycle.NumPhases]int64 // torrents that are in each phase now
	Blocked  int64                      // running torrents that an error of their files blocks now
	Incoming Incoming
	// ItemsDropped is the number of pushed items that were not looked at, because too many came.
	ItemsDropped int64
	UDP          traffic.ByFamily[traffic.Bytes] // bytes of the DHT and of refused connections of uTP
	HTTP         traffic.ByFamily[traffic.Bytes] // bytes of web seeds
}

// IncomingOutcome says what a node did with an incoming connection.
type IncomingOutcome uint8

const (
	Passed      IncomingOutcome = iota // to a torrent
	Unlisted                           // its address is on the blocklist
	NoHandshake                        // it sent no valid handshake
	NoTorrent                          // it asked for a torrent that the node does not have
	NodeFull                           // there are too many connections
	NotRunning                         // the torrent does not run
	NumIncomingOutcomes
)

// String returns the name of the outcome, as it is written in metrics.
func (o IncomingOutcome) String() string {
	return [...]string{"passed", "blocklist", "no_handshake", "no_torrent", "node_full", "not_running"}[o]
}

// Incoming is the number of incoming connections, by outcome.
type Incoming [NumIncomingOutcomes]int64

// counters are the Counters that the node itself counts.
type counters struct {
	torrents [lifecycle.NumPhases]atomic.Int64
	blocked  atomic.Int64

	itemsDropped atomic.Int64
	incoming     [NumIncomingOutcomes]atomic.Int64
	mirrors      traffic.ByFamily[traffic.Meter]
}

// move counts a torrent that goes from one phase to another.
func (c *counters) move(from, to lifecycle.Phase) {
	c.torrents[from].Add(-1)
	c.torrents[to].Add(1)
}

// Counters returns the current numbers. It waits for neither a disk nor a peer, and takes the same time for any
// number of torrents.
func (n *Node) Counters() Counters {
	c := Counters{Counters: n.shared.Counters(), Blocked: n.counters.blocked.Load(), ItemsDropped: n.counters.itemsDropped.Load(),
		HTTP: traffic.ByFamily[traffic.Bytes]{V4: n.counters.mirrors.V4.Bytes(), V6: n.counters.mirrors.V6.Bytes()}}
	for p := lifecycle.Queued; p < lifecycle.Ended; p++ { // others are not yet, or no longer, in the node
		c.Torrents[p] = n.counters.torrents[p].Load()
	}
	for i := range n.counters.incoming {
		c.Incoming[i] = n.counters.incoming[i].Load()
	}
	for _, s := range n.net.UDP() {
		sum, t := c.UDP.Of(s.LocalAddr().Addr()), s.Traffic()
		sum.In += t.In
		sum.Out += t.Out
	}
	return c
}

// mirrorMeter returns what counts the bytes of a mirror.
func (n *Node) mirrorMeter(ip netip.Addr) *traffic.Meter { return n.counters.mirrors.Of(ip) }
