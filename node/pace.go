package node

import (
	"time"

	"seedbed/dht"
	"seedbed/internal/mono"
)

// pace decides when a torrent asks the DHT next: soon and often while it lacks
// peers, ever more slowly when asking brings nothing, and at the announce
// interval once it is well. It never gives up.
type pace struct {
	next  mono.Time     // of the next lookup
	wait  time.Duration // that fruitless lookups have earned
	began mono.Time     // of the last lookup
}

const (
	paceFirst    = 2 * time.Second
	paceLongest  = 5 * time.Minute
	paceAnnounce = 15 * time.Minute // what libtorrent and transmission keep, well under BEP 5's expiry of announces
	paceApart    = 5 * time.Second  // between lookups that want of peers alone calls for
)

// outcome is what a lookup brought.
type outcome struct {
	found     int // peers
	fresh     int // of these, not known before
	announced dht.AnnounceStats
}

// done plans the next lookup after one that ended at now.
func (p *pace) done(now mono.Time, o outcome) {
	if o.fresh > 0 {
		p.wait = 0
	}
	if o.found > 0 {
		p.next = now.Add(paceAnnounce)
		return
	}
	p.wait = min(max(2*p.wait, paceFirst), paceLongest)
	p.next = now.Add(p.wait)
}

// lacking says that the swarm has run short of peers: a torrent that would
// have waited for its next announce looks again sooner, backing off while that
// stays without effect.
func (p *pace) lacking(now mono.Time) {
	wait := min(max(2*p.wait, paceApart), paceLongest)
	if at := max(now, p.began.Add(wait)); at < p.next {
		p.wait, p.next = wait, at
	}
}

// joined says that the DHT has come to life, so that what failed for want of
// nodes is worth trying at once.
func (p *pace) joined(now mono.Time) {
	if p.wait > 0 {
		p.wait, p.next = 0, now
	}
}
