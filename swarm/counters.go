package swarm

import (
	"net/netip"
	"sync/atomic"

	"seedbed/internal/traffic"
	"seedbed/swarm/engine"
)

// Counters is what the torrents of a Shared do together, including those that have stopped. The numbers
// grow from the start of the process, except where they say what there is now.
type Counters struct {
	Uploaded, Downloaded int64 // bytes of payload
	Wasted               int64 // bytes of what was downloaded, discarded
	HashFailures         int64 // pieces whose hash was wrong
	Bans                 int64 // addresses that were banned because of bad data

	TCP      traffic.ByFamily[traffic.Bytes] // bytes of peer connections after their handshakes
	Peers    traffic.ByFamily[PeerCounts]    // connected now
	WebSeeds int64                           // connected now
	Dials    traffic.ByFamily[Dials]
	Punches  engine.PunchCounts // hole punches (BEP 55)
	Items    engine.ItemCounts  // pushed items of publications

	Read, Written   int64 // bytes of torrents' files, without hashing of existing data
	Reads, Writes   int64 // reads for uploads and chunks to store: waiting or being served now
	StorageFailures int64 // failed attempts to open, read, write, sync or recover files
	Memory, Held    int64 // bytes of piece buffers: the limit, and what is allocated now
}

// PeerCounts is the number of connected peers, by who has dialed.
type PeerCounts struct{ Incoming, Outgoing int64 }

// DialOutcome says how a dial has ended.
type DialOutcome uint8

const (
	Connected   DialOutcome = iota // with a handshake
	Refused                        // nothing listens
	TimedOut                       // no answer to the dial or the handshake
	Unreachable                    // no route
	HungUp                         // closed or reset during the handshake
	NoPeer                         // no handshake of this torrent
	NotTried                       // we stopped, lack a socket, or dialed ourselves
	NumDialOutcomes
)

// String returns the name of the outcome, as it is written in metrics.
func (o DialOutcome) String() string {
	return [...]string{"connected", "refused", "timed_out", "unreachable", "hung_up", "no_peer", "not_tried"}[o]
}

// Dials is the number of dials that have ended, by outcome.
type Dials [NumDialOutcomes]int64

// counters are the Counters of a Shared that are counted as things happen.
type counters struct {
	uploaded, downloaded, wasted atomic.Int64
	hashFailures, bans           atomic.Int64

	tcp      traffic.ByFamily[traffic.Meter]
	peers    traffic.ByFamily[peerGauges]
	webSeeds atomic.Int64
	dials    traffic.ByFamily[dialCounters]

	punchesBegun, punchesConnected, punchesRelayed atomic.Int64
	items                                          [engine.NumItemOutcomes]atomic.Int64

	read, written, reads, writes, storageFailures atomic.Int64
}

type peerGauges struct{ incoming, outgoing atomic.Int64 }

type dialCounters [NumDialOutcomes]atomic.Int64

// connKind says how a connection was made.
type connKind uint8

const (
	outgoing connKind = iota
	incoming
	punched // like outgoing, by a hole punch (BEP 55)
	joined  // with Join
)

// ofConn returns the meter of a new connection, which is nil for a peer in this process, and the number of open
// connections of its kind.
func (c *counters) ofConn(peer netip.Addr, kind connKind) (*traffic.Meter, *atomic.Int64) {
	switch kind {
	case joined:
		return nil, &c.webSeeds
	case incoming:
		return c.tcp.Of(peer), &c.peers.Of(peer).incoming
	}
	return c.tcp.Of(peer), &c.peers.Of(peer).outgoing
}

// outcomeOf returns the outcome of a dial that ended because of a fault.
func outcomeOf(f engine.Fault) DialOutcome {
	switch f {
	case engine.FaultNone:
		return Connected
	case engine.FaultRefused:
		return Refused
	case engine.FaultTimeout:
		return TimedOut
	case engine.FaultUnreach:
		return Unreachable
	case engine.FaultHandshake, engine.FaultProtocol:
		return NoPeer
	case engine.FaultLocal, engine.FaultSelf:
		return NotTried
	}
	return HungUp
}

// countTraffic adds what the engine has counted since the last call. engMu is held.
func (t *Torrent) countTraffic() {
	t.countPunches()
	t.countItems()
	var now Traffic
	now.Uploaded, now.Downloaded, now.Wasted, _ = t.eng.Traffic()
	c, last := &t.cfg.Shared.counters, &t.counted
	if now == *last {
		return
	}
	c.uploaded.Add(now.Uploaded - last.Uploaded)
	c.downloaded.Add(now.Downloaded - last.Downloaded)
	c.wasted.Add(now.Wasted - last.Wasted)
	*last = now
}

// countPunches is countTraffic for hole punches.
func (t *Torrent) countPunches() {
	now, c, last := t.eng.Punches(), &t.cfg.Shared.counters, &t.countedPunches
	if now == *last {
		return
	}
	c.punchesBegun.Add(now.Begun - last.Begun)
	c.punchesConnected.Add(now.Connected - last.Connected)
	c.punchesRelayed.Add(now.Relayed - last.Relayed)
	*last = now
}

// countItems is countTraffic for pushed items.
func (t *Torrent) countItems() {
	now := t.eng.Items()
	if now == t.countedItems {
		return
	}
	for o := range now {
		t.cfg.Shared.counters.items[o].Add(now[o] - t.countedItems[o])
	}
	t.countedItems = now
}

// Counters returns the current numbers. It waits for neither a disk nor a peer.
func (s *Shared) Counters() Counters {
	c := &s.counters
	out := Counters{
		Uploaded: c.uploaded.Load(), Downloaded: c.downloaded.Load(), Wasted: c.wasted.Load(),
		HashFailures: c.hashFailures.Load(), Bans: c.bans.Load(), WebSeeds: c.webSeeds.Load(),
		TCP:   traffic.ByFamily[traffic.Bytes]{V4: c.tcp.V4.Bytes(), V6: c.tcp.V6.Bytes()},
		Peers: traffic.ByFamily[PeerCounts]{V4: c.peers.V4.counts(), V6: c.peers.V6.counts()},
		Dials: traffic.ByFamily[Dials]{V4: c.dials.V4.counts(), V6: c.dials.V6.counts()},
		Read:  c.read.Load(), Written: c.written.Load(), Reads: c.reads.Load(), Writes: c.writes.Load(),
		StorageFailures: c.storageFailures.Load(), Memory: s.pool.Limit(),
		Punches: engine.PunchCounts{Begun: c.punchesBegun.Load(), Connected: c.punchesConnected.Load(), Relayed: c.punchesRelayed.Load()},
	}
	_, out.Held = s.pool.Held()
	for o := range out.Items {
		out.Items[o] = c.items[o].Load()
	}
	return out
}

func (g *peerGauges) counts() PeerCounts { return PeerCounts{g.incoming.Load(), g.outgoing.Load()} }

func (d *dialCounters) counts() (out Dials) {
	for i := range d {
		out[i] = d[i].Load()
	}
	return out
}
