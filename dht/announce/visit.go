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
	startNodes = 16 // nodes of the window that a visit starts at

	// softTimeout is how long an answer may take while no round trip is known.
	softTimeout = 600 * time.Millisecond
)

// visit is one announce of one infohash: a sparing lookup, which ends when the 8 closest
// nodes have given a token, and then announce_peer to these nodes.
type visit struct {
	item    uint32
	key     id.ID
	port    uint16
	seed    bool // we have all of it
	extra   bool // out of turn
	isReady bool // in Scheduler.ready
	gone    bool // it has ended: answers to its queries are ignored

	lookup   *lookup.Lookup
	due      mono.Time     // when the lookup must be called again although no reply has come
	takers   []lookup.Node // once the lookup is over: the nodes to announce to
	told     int           // of takers, those that were sent announce_peer
	telling  int           // of these queries, those under way
	accepted int
}

func newVisit(now mono.Time, item uint32, r *record, cfg *Config, start []lookup.Node) *visit {
	return &visit{
		item: item, key: r.key, port: r.port, seed: r.seed, due: mono.Never,
		lookup: lookup.New(lookup.Config{
			Own: cfg.Own, Soft: softTimeout, Hard: cfg.Timeout, MaxQueries: maxAsked, Relaxed: cfg.Relaxed, Sparing: true,
		}, r.key, start, now),
	}
}

// next returns the packet that the visit wants sent now.
func (v *visit) next(now mono.Time) (Query, bool) {
	if !v.lookup.Done() {
		if n, ok := v.lookup.Next(now); ok {
			return Query{Kind: GetPeers, Infohash: v.key, Addr: n.Addr}, true
		}
		if v.due = v.lookup.Deadline(); !v.lookup.Done() {
			return Query{}, false
		}
	}
	if v.takers == nil {
		v.takers = v.lookup.Takers()
	}
	if v.told == len(v.takers) {
		return Query{}, false
	}
	n := v.takers[v.told]
	v.told++
	v.telling++
	return Query{Kind: AnnouncePeer, Infohash: v.key, Addr: n.Addr, Port: v.port, Seed: v.seed, Token: n.Token}, true
}

// over reports whether nothing is left to do or to wait for.
func (v *visit) over() bool { return v.lookup.Done() && v.told == len(v.takers) && v.telling == 0 }

// remember stores the nodes that were announced to for the next visit.
func (v *visit) remember(s *seeds) {
	var addrs []netip.AddrPort
	for _, n := range v.takers {
		addrs = append(addrs, n.Addr)
	}
	s.set(addrs)
}
