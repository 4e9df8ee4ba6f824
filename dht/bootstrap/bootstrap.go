// Package bootstrap implements a public DHT bootstrap node: a node with a
// well-known address from which new nodes get their first nodes. The design
// follows BitTorrent's bootstrap-dht, which has years of operation.
//
// A Ring holds the verified nodes of one address family, at most one for each
// IPv4 address and IPv6 /48. Queries for nodes or peers are answered from a window
// that moves over the ring, independent of their target: a new node needs any
// nodes, from which its lookups continue.
//
// A node that sends a query is pinged some time later (Config.VerifyAfter): a node that
// still answers then is long-lived and not hidden behind a NAT. The transaction id of that
// ping is a cookie, a keyed hash of the address and the time. We therefore store no state
// for the ping, and a forged source cannot enter the ring. Nodes in the ring are pinged
// again at intervals. They leave the ring if they do not answer or change their id. The
// server stores no torrents and no peers, and bans no address. It only limits the rate of
// each source, because a source may be forged.
//
// A server has a loop for each socket, and these parts:
//
//   - Shared is what all loops share: the rings, our ids and the key of the cookies. The
//     caller protects it with a lock.
//   - A Responder belongs to one loop: its limits, its candidates and copies
//     (pages) of the rings. Sync, called once for each batch and under the lock,
//     adds the verified nodes to the rings and copies fresh pages.
//
// So a reply may arrive at another loop than the one that sent the ping. Handling a query
// allocates no memory.
package bootstrap

import (
	"math/rand/v2"
	"time"
)

const (
	// K is how many nodes of a family a reply contains (BEP 5), and kSmall how many
	// for a source that recently got a reply.
	K      = 8
	kSmall = 3

	// MinRing is the initial size of a ring.
	MinRing = 128

	// fullDelay is the number of verified nodes from which the full VerifyAfter applies.
	fullDelay = 512
)

// Config configures all Responders of a server. Zero fields mean their defaults.
type Config struct {
	// V4 and V6 are the families for which the server has sockets.
	V4, V6 bool

	// Relaxed is for private networks, where many nodes share an address and
	// addresses are private: a source is then an address and port.
	Relaxed bool

	// SecureOnly keeps nodes whose id does not match their address (BEP 42) out
	// of the rings.
	SecureOnly bool

	// VerifyAfter is the time after its first query at which a node is pinged; 15 minutes
	// by default. It is shorter while the ring has few nodes, and zero while the ring is
	// empty.
	VerifyAfter time.Duration

	// MaxNodes limits each ring; 262,144 by default.
	MaxNodes int

	// MinStay is the minimum time that a node stays in the ring before a newer one replaces
	// it. If nodes would be replaced earlier, the ring grows, up to MaxNodes. A node that
	// has been silent for this time is pinged again. 15 minutes by default.
	MinStay time.Duration

	// Rate is the average number of datagrams a second that one source (an IPv4 address or
	// an IPv6 /64) may send, and Burst the number that it may send at once; 10 and 50 by
	// default.
	Rate, Burst float64

	// Repeat is the time after a reply during which the same source gets smaller replies,
	// because it already has nodes. 10 minutes by default; never in a private network or if
	// negative.
	Repeat time.Duration

	// Candidates limits the nodes of a Responder that wait to be pinged;
	// 65,536 by default. Sources limits the sources that a Responder remembers;
	// 65,536 by default.
	Candidates, Sources int

	// PingRate is the maximum number of nodes that a Responder pings a second; 250
	// by default.
	PingRate float64

	// Rand must be unpredictable except in tests.
	Rand *rand.Rand
}

func (c *Config) validate() {
	if c.Rand == nil || !c.V4 && !c.V6 {
		panic("bootstrap: Config needs Rand, and V4 or V6")
	}
	setDefault(&c.VerifyAfter, 15*time.Minute)
	setDefault(&c.MinStay, 15*time.Minute)
	setDefault(&c.MaxNodes, 1<<18)
	setDefault(&c.Rate, 10)
	setDefault(&c.Burst, 50)
	setDefault(&c.Repeat, 10*time.Minute)
	setDefault(&c.Candidates, 1<<16)
	setDefault(&c.Sources, 1<<16)
	setDefault(&c.PingRate, 250)
	c.MaxNodes = max(c.MaxNodes, MinRing)
	if c.Relaxed {
		c.Repeat = -1
	}
}

func setDefault[T int | float64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// delay returns the time before a new node is pinged if the ring has n nodes. A node that
// answers after a longer time is more likely to stay, but an almost empty ring needs nodes
// soon.
func (c *Config) delay(n int) time.Duration {
	share := float64(min(n, fullDelay)) / fullDelay
	return time.Duration(share * share * float64(c.VerifyAfter))
}
