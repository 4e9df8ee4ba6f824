package utpconn

import (
	"math/rand/v2"
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// Limits of the replies to packets whose source is not proved. It can be forged. So a host
// whose address is forged receives at most replyRate packets of 20 bytes a second from us,
// and no reply is larger than the packet that caused it.
const (
	replyRate    = 4 // replies a second to one IPv4 address or IPv6 /64
	replyBurst   = 16
	replySources = 4096 // maximum number of sources that are limited separately
	synTotal     = 500  // answers to a SYN a second to all addresses
	resetTotal   = 200  // answers to other packets a second to all addresses
)

// replyGate decides which packets of unknown connections are answered.
type replyGate struct {
	sources      *rate.Sources
	syns, resets rate.Bucket
}

func newReplyGate(now mono.Time, rng *rand.Rand) replyGate {
	return replyGate{
		sources: rate.NewSources(replyRate, replyBurst, replySources, rng),
		syns:    rate.NewBucket(now, synTotal, synTotal),
		resets:  rate.NewBucket(now, resetTotal, resetTotal),
	}
}

// mayAnswer reports whether to answer a SYN or another packet from this address, and counts
// it. No peer sends from a port below 1024: such a source is forged to make us send packets
// to a DNS or NTP server.
func (g *replyGate) mayAnswer(now mono.Time, from netip.AddrPort, syn bool) bool {
	if from.Port() < 1024 || !addrs.IsUsable(from, true) {
		return false
	}
	if !addrs.IsLocal(from.Addr()) { // the peers of a test network share an address
		if _, ok := g.sources.Take(now, rate.SourceOf(from.Addr())); !ok {
			return false
		}
	}
	if syn {
		return g.syns.Take(now, 1)
	}
	return g.resets.Take(now, 1)
}
