package node

import (
	"time"

	"seedbed/dht"
	"seedbed/internal/mono"
)

// pace decides when a torrent starts its next DHT lookup: often while it needs peers, less
// and less often while lookups find nothing, and at the announce interval once it has
// enough peers. It never gives up.
type pace struct {
	next  mono.Time     // of the next lookup
	wait  time.Duration // backoff after lookups without a result
	began mono.Time     // of the last lookup
}

const (
	paceFirst    = 2 * time.Second
	paceLongest  = 5 * time.Minute
	paceAnnounce = 15 * time.Minute // the interval of libtorrent and Transmission; nodes drop a peer after 30 minutes or more
	paceApart    = 5 * time.Second  // minimum between lookups of a torrent that needs peers
)

// outcome is the result of a lookup.
type outcome struct {
	found     int // peers
	fresh     int // peers that were not known before
	announced dht.AnnounceStats
}

// done schedules the next lookup after one that ended at now.
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

// lacking records that the swarm needs more peers. The next lookup then starts sooner than
// the next announce, with a backoff while lookups find nothing.
func (p *pace) lacking(now mono.Time) {
	wait := min(max(2*p.wait, paceApart), paceLongest)
	if at := max(now, p.began.Add(wait)); at < p.next {
		p.wait, p.next = wait, at
	}
}

// joined records that the DHT has found its first nodes, or that the network has changed. A torrent whose last lookup found
// nothing then starts the next one at once.
func (p *pace) joined(now mono.Time) {
	if p.wait > 0 {
		p.wait, p.next = 0, now
	}
}
