package announce

import (
	"net/netip"
	"time"

	"seedbed/dht/lookup"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

const (
	maxAsked   = 32 // get_peers queries of one visit
	startNodes = 16 // number of nodes of the window that a visit starts at

	// softTimeout is the soft timeout of a lookup while no round trip is known.
	softTimeout = 600 * time.Millisecond
)

// visit is one announce of one infohash: a sparing lookup, which ends when the 8 closest
// nodes have given a token, and then announce_peer to these nodes.
type visit struct {
	item    uint32
	key     id.ID
	port    uint16
	seed    bool // we are a seed
	extra   bool // out of turn
	isReady bool // in Scheduler.ready
	gone    bool // it has ended, and answers to its queries are ignored

	lookup       *lookup.Lookup
	due          mono.Time     // time at which the lookup must be called again if no reply comes before
	targets      []lookup.Node // once the lookup is over: the nodes to announce to
	announceSent int           // number of targets to which announce_peer was sent
	announcing   int           // number of these queries that are pending
	accepted     int
}

func newVisit(now mono.Time, item uint32, r *record, cfg *Config, start []lookup.Node) *visit {
	return &visit{
		item: item, key: r.key, port: r.port, seed: r.seed, due: mono.Never,
		lookup: lookup.New(lookup.Config{
			Own: cfg.Own, Soft: softTimeout, Hard: cfg.Timeout, MaxQueries: maxAsked, Relaxed: cfg.Relaxed, Sparing: true,
		}, r.key, start, now),
	}
}

// next returns the next packet of the visit, if it can send one now.
func (v *visit) next(now mono.Time) (Query, bool) {
	if !v.lookup.Done() {
		if n, ok := v.lookup.Next(now); ok {
			return Query{Kind: GetPeers, Infohash: v.key, Addr: n.Addr}, true
		}
		if v.due = v.lookup.Deadline(); !v.lookup.Done() {
			return Query{}, false
		}
	}
	if v.targets == nil {
		v.targets = v.lookup.ClosestWithToken()
	}
	if v.announceSent == len(v.targets) {
		return Query{}, false
	}
	n := v.targets[v.announceSent]
	v.announceSent++
	v.announcing++
	return Query{Kind: AnnouncePeer, Infohash: v.key, Addr: n.Addr, Port: v.port, Seed: v.seed, Token: n.Token}, true
}

// isOver reports whether nothing is left to do or to wait for.
func (v *visit) isOver() bool {
	return v.lookup.Done() && v.announceSent == len(v.targets) && v.announcing == 0
}

// remember stores the nodes to which the visit announced. The next visit starts there.
func (v *visit) remember(s *seeds) {
	var addrs []netip.AddrPort
	for _, n := range v.targets {
		addrs = append(addrs, n.Addr)
	}
	s.set(addrs)
}
