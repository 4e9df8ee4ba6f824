// Package bootstrap is a public entry point to the DHT: what a node with a
// well-known address tells those that know nobody yet. It follows what
// bittorrent's bootstrap-dht learned in years of service.
//
// A Ring holds the nodes of one address family that have proven that they are
// there, one for each IPv4 address and IPv6 /48. Queries for nodes or peers
// are answered from a window that moves over the ring, whatever their target:
// who comes here needs any nodes, and a lookup goes on from them.
//
// Who asks is noted, and pinged some time later (Config.VerifyAfter): whoever
// still answers then is no passing guest and not hidden behind a NAT. The
// transaction id of that ping is a cookie, a keyed hash of the address and the
// time, so that nothing is kept for the ping and a forged source enters
// nothing. Nodes are asked again after a while, and leave the ring when they
// are silent, or come back under another id. No torrents and no peers are
// stored, and nobody is banned: who sends too much is limited, and a source that
// may be forged deserves no worse.
//
// The parts for a server with a loop for each socket:
//
//   - Shared is what all loops share: the rings, our ids and the key of the
//     cookies. Its caller guards it with a lock.
//   - A Responder belongs to one loop: its limits, its candidates and copies
//     (pages) of the rings. Sync, once a batch and under the lock, hands over
//     what was verified and takes fresh pages.
//
// A reply may so arrive at another loop than the one that asked. Nothing here
// allocates for a query.
package bootstrap

import (
	"math/rand/v2"
	"time"
)

const (
	// K is how many nodes of a family an answer has (BEP 5), and kSmall how
	// many that to a source that was answered lately.
	K      = 8
	kSmall = 3

	// MinRing is the size of a ring at the start.
	MinRing = 128

	// filled is the number of verified nodes from which VerifyAfter applies
	// whole.
	filled = 512
)

// Config is for all Responders of a server. Zero fields mean their defaults.
type Config struct {
	// V4 and V6 are the families that the server has sockets of.
	V4, V6 bool

	// Relaxed is for private networks, where many nodes share an address and
	// addresses are private: there a source is an address and port.
	Relaxed bool

	// SecureOnly keeps nodes whose id does not fit their address (BEP 42) out
	// of the rings.
	SecureOnly bool

	// VerifyAfter is how long after its first query a node is pinged; 15
	// minutes by default. It is shorter as long as the ring has few nodes, and
	// nothing while it is empty.
	VerifyAfter time.Duration

	// MaxNodes bounds each ring; 262,144 by default.
	MaxNodes int

	// Turn is how long a node stays in the ring at least before a newer one
	// takes its place: a ring that turns faster grows, up to MaxNodes. A node
	// that has been silent for as long is asked again. 15 minutes by default.
	Turn time.Duration

	// Rate is how many datagrams a second one source (an IPv4 address, an IPv6
	// /64) may send on the average, and Burst how many at once; 10 and 50 by
	// default.
	Rate, Burst float64

	// Repeat is how long after an answer a source gets smaller ones: it has
	// nodes to go on with. 10 minutes by default; in a private network and if
	// negative, never.
	Repeat time.Duration

	// Candidates bounds the nodes of a Responder that wait to be pinged;
	// 65,536 by default. Sources is how many a Responder remembers; 65,536 by
	// default.
	Candidates, Sources int

	// PingRate is how many nodes a second a Responder pings at most; 250 by
	// default.
	PingRate float64

	// Rand must be unpredictable outside of tests.
	Rand *rand.Rand
}

func (c *Config) validate() {
	if c.Rand == nil || !c.V4 && !c.V6 {
		panic("bootstrap: Config lacks what must be set")
	}
	setDefault(&c.VerifyAfter, 15*time.Minute)
	setDefault(&c.Turn, 15*time.Minute)
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

// delay is how long to wait with the ping of a node while the ring has n
// nodes: what the wait tells of a node is worth it once there are others.
func (c *Config) delay(n int) time.Duration {
	share := float64(min(n, filled)) / filled
	return time.Duration(share * share * float64(c.VerifyAfter))
}
