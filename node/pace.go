package node

import (
	"time"

	"seedbed/dht"
	"seedbed/internal/mono"
)

// pace decides when a torrent asks the DHT next: soon and often while it needs
// peers, more slowly when lookups find nothing, and at the announce interval
// once it has enough. It never gives up.
type pace struct {
	next  mono.Time     // of the next lookup
	wait  time.Duration // backoff after lookups without a result
	began mono.Time     // of the last lookup
}

const (
	paceFirst    = 2 * time.Second
	paceLongest  = 5 * time.Minute
	paceAnnounce = 15 * time.Minute // as libtorrent and transmission, well below the expiry of announces in BEP 5
	paceApart    = 5 * time.Second  // between lookups that only need peers
)

// outcome is the result of a lookup.
type outcome struct {
	found     int // peers
	fresh     int // of these, previously unknown
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

// lacking records that the swarm needs more peers. A torrent that waits for its next
// announce then starts a lookup sooner, with a backoff while lookups find
// nothing.
func (p *pace) lacking(now mono.Time) {
	wait := min(max(2*p.wait, paceApart), paceLongest)
	if at := max(now, p.began.Add(wait)); at < p.next {
		p.wait, p.next = wait, at
	}
}

// joined records that the DHT has its first nodes, so that a lookup that failed
// without nodes is repeated at once.
func (p *pace) joined(now mono.Time) {
	if p.wait > 0 {
		p.wait, p.next = 0, now
	}
}
