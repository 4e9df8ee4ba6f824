package lsd

import (
	"math/rand/v2"
	"net/netip"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// Limits of received messages. A client that announces each of its torrents in a message of its own
// sends bursts.
const (
	sourceRate  = 10 // messages a second of one IPv4 address or IPv6 /64
	sourceBurst = 100
	maxSources  = 256
	totalRate   = 100 // of all sources
	totalBurst  = 500
)

// intake decides which received messages are used.
type intake struct {
	cookie  string // of our own messages
	sources *rate.Sources
	total   rate.Bucket
}

func newIntake(now mono.Time, cookie string, rng *rand.Rand) *intake {
	return &intake{
		cookie:  cookie,
		sources: rate.NewSources(sourceRate, sourceBurst, maxSources, rng),
		total:   rate.NewBucket(now, totalRate, totalBurst),
	}
}

// accept returns the announce in a datagram. ok is false if it is invalid, is our own or exceeds a
// limit.
func (i *intake) accept(now mono.Time, from netip.AddrPort, b []byte) (m Message, ok bool) {
	if _, ok := i.sources.Take(now, rate.SourceOf(from.Addr())); !ok || !i.total.Take(now, 1) {
		return m, false
	}
	m, err := Parse(b)
	if err != nil || m.Cookie == i.cookie {
		return Message{}, false
	}
	return m, true
}
