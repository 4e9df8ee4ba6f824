package engine

import (
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// While we download, peers share the uplink in proportion to what they send us. So a peer
// gains nothing by splitting what it sends over several identities, or by sending just
// enough to be unchoked (Levin et al., "BitTorrent is an Auction", 2008). A small part is
// shared equally, because a new peer needs a first piece before it can send anything.

const (
	// The short average rewards a peer soon; the long one keeps its credit while it has
	// nothing that we need.
	shortCredit = 10 * time.Second
	longCredit  = 2 * time.Minute
	// equalShare is the fraction of the uplink that is shared equally.
	equalShare = 0.05
)

// credit measures the bytes a peer sent us, as two sums that decay with time.
type credit struct{ short, long rate.Decay }

func (c *credit) add(now mono.Time, n int) {
	c.short.Add(now, shortCredit, float64(n))
	c.long.Add(now, longCredit, float64(n))
}

// rate returns the larger of the short and the long average, in bytes per second.
func (c *credit) rate(now mono.Time) float64 {
	return max(c.short.Sum(now, shortCredit)/shortCredit.Seconds(), c.long.Sum(now, longCredit)/longCredit.Seconds())
}

// noteReceived counts bytes that p sent us.
func (c *choker) noteReceived(now mono.Time, p *chokePeer, n int) { p.credit.add(now, n) }

// setHost sets the host that a peer is on.
func (c *choker) setHost(p *chokePeer, host uint32) { p.host = host }

// measureCredit updates the average of what interested peers sent us, which merit is
// relative to, and counts the peers on each host. It is called once per second.
func (c *choker) measureCredit(now mono.Time) {
	total, n := 0.0, 0
	clear(c.onHost)
	for _, p := range c.peers {
		if p.interested {
			total += p.credit.rate(now)
			n++
			if p.host != 0 { // 0 means unknown
				c.onHost[p.host]++
			}
		}
	}
	c.averageCredit = total / float64(max(n, 1))
}

// sharing returns how many interested peers are on the host of p. Together they get the
// equal share of one peer.
func (c *choker) sharing(p *chokePeer) int { return max(c.onHost[p.host], 1) }

// merit returns the share of the uplink that p has earned by what it sent us; 1 is the
// average. With an absolute measure, a peer that was served before anyone had sent us
// anything would be locked out.
func (c *choker) merit(now mono.Time, p *chokePeer) float64 {
	shared := 1 / float64(c.sharing(p))
	if c.averageCredit == 0 {
		return shared
	}
	return equalShare*shared + (1-equalShare)*p.credit.rate(now)/c.averageCredit
}
