package engine

import (
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// While we download, peers share the uplink in proportion to what they send us. So a peer
// gains nothing if it spreads what it sends over several identities, or if it sends just
// enough to be unchoked (Levin et al., "BitTorrent is an Auction", 2008). A small part is
// shared equally: a newcomer needs a first piece before it can send anything.

const (
	// What a peer sent counts over a short time, so that it is rewarded soon, and over a
	// long time, so that it is not forgotten while it has nothing that we need.
	shortCredit = 10 * time.Second
	longCredit  = 2 * time.Minute
	// equalShare is the part of the uplink that is shared equally.
	equalShare = 0.05
)

// credit is how many bytes a peer sent us, as two sums that decay with time.
type credit struct{ short, long rate.Decay }

func (c *credit) add(now mono.Time, n int) {
	c.short.Add(now, shortCredit, float64(n))
	c.long.Add(now, longCredit, float64(n))
}

// rate returns bytes a second: the larger of the short and the long average.
func (c *credit) rate(now mono.Time) float64 {
	return max(c.short.Sum(now, shortCredit)/shortCredit.Seconds(), c.long.Sum(now, longCredit)/longCredit.Seconds())
}

// noteReceived counts bytes that p sent us.
func (c *choker) noteReceived(now mono.Time, p *chokePeer, n int) { p.credit.add(now, n) }

// setHost tells the choker which host a peer is on.
func (c *choker) setHost(p *chokePeer, host uint32) { p.host = host }

// measureCredit updates the average of what interested peers sent us, which merit is
// relative to, and counts those on each host. It is called once a second.
func (c *choker) measureCredit(now mono.Time) {
	total, n := 0.0, 0
	clear(c.onHost)
	for _, p := range c.peers {
		if p.interested {
			total += p.credit.rate(now)
			n++
			if p.host != 0 { // else it is unknown
				c.onHost[p.host]++
			}
		}
	}
	c.averageCredit = total / float64(max(n, 1))
}

// sharing returns how many interested peers are on the host of p. They share what one
// peer gets without giving.
func (c *choker) sharing(p *chokePeer) int { return max(c.onHost[p.host], 1) }

// merit returns the share of the uplink that p deserves for what it sent us: 1 for a peer
// that sends as much as the average. An absolute measure would lock out a peer that was
// served while nobody had sent us anything.
func (c *choker) merit(now mono.Time, p *chokePeer) float64 {
	shared := 1 / float64(c.sharing(p))
	if c.averageCredit == 0 {
		return shared
	}
	return equalShare*shared + (1-equalShare)*p.credit.rate(now)/c.averageCredit
}
