// Package respond answers the queries of other nodes (BEP 5, 32, 33, 42, 43, 44, 45 and
// 51): it decides which queries get an answer, stores announced peers and items, and
// encodes the reply.
//
// Handle takes a query that dht/krpc has parsed and appends the reply, or nothing. It uses
// the routing tables and the store in its Config. It allocates memory only to store an
// item. It is not safe for concurrent use, because a query changes the store, the tokens
// and the limiter.
//
// Only one step takes too long for Handle: verifying the signature of a mutable item.
// Handle checks everything else, including the token, and returns Verify. Then Defer copies
// the put, Deferred.Verify checks the signature on any goroutine, and Finish stores the
// item and appends the reply.
//
// The source address of a query can be forged. So no query makes us do much more work than
// it cost its sender, except for the reply that BEP 5 requires. Replies have at most 1024
// bytes (BEP 32), except for a large item (BEP 44). A source that asks more often than
// Config.Rate gets no answer, which limits reflection attacks. A source can be banned only
// for false signatures, after it has proved its address with a token.
//
// A node with several sockets has a Responder with its own tables for each (BEP 45: it
// should appear to the outside world as separate, independent nodes). They may share one
// Store, and then share its limits.
package respond

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/store"
	"seedbed/dht/table"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// K is the maximum number of nodes of one family in a reply (BEP 5: "the K (8) closest good
// nodes").
const K = 8

// Table is what the Responder needs of the routing table of one address family.
type Table interface {
	// ID returns our node id in this DHT.
	ID() id.ID
	// AppendClosest appends the compact node info of the k closest good nodes
	// to target, the closest first.
	AppendClosest(dst []byte, now mono.Time, target id.ID, k int) []byte
	// Asked records a node that sent a query and may be added to the table.
	Asked(now mono.Time, addr netip.AddrPort, node id.ID)
}

// Config is fixed for the life of a Responder.
type Config struct {
	// Table4 and Table6 are the tables of the DHTs that we take part in (BEP 32: two
	// distinct DHTs). If a table is nil, queries over that family get no answer, and
	// replies contain no nodes of it.
	Table4, Table6 Table

	// Store and Tokens accept announces and puts. If both are nil, nothing is stored:
	// replies contain no token, and no token is valid.
	Store  *store.Store
	Tokens *store.Tokens

	// EnforceID answers a node whose id does not fit its address with an error (BEP 42).
	// Otherwise such nodes are served, and the table prefers others.
	EnforceID bool

	// Rate is the average number of queries a second that one source (an IPv4 address or an
	// IPv6 /64) may send, and Burst the number that it may send at once. Zero means
	// DefaultRate and DefaultBurst. With a negative Rate, no source is limited or banned,
	// which suits private networks where many nodes share an address.
	Rate, Burst float64

	// Rand must be unpredictable outside of tests.
	Rand *rand.Rand
}

// The defaults of Config. A single node has no reason to send more than one query a second,
// but many nodes may share a source behind a NAT.
const (
	DefaultRate  = 25
	DefaultBurst = 100
)

// Outcome says what Handle did with a query.
type Outcome uint8

const (
	Answered Outcome = iota // with a response
	Refused                 // with an error
	Limited                 // dropped: its source asks too often, or is banned
	Martian                 // dropped: not a possible address of a node
	Verify                  // not answered yet: call Defer
)

func (o Outcome) String() string {
	return [...]string{"answered", "refused", "limited", "martian", "verify"}[o]
}

// maxSources is the maximum number of sources with their own rate limit. Together they take
// 384 KiB.
const maxSources = 16384

// Responder answers queries.
type Responder struct {
	cfg     Config
	sources *rate.Sources
	bans    bans

	// Buffers that are reused, so that Handle allocates nothing.
	nodes4 [K * krpc.NodeLen4]byte
	nodes6 [K * krpc.NodeLen6]byte
	token  [store.TokenLen]byte
	values [krpc.MaxDatagram]byte
}

// New returns a Responder. It panics if cfg has no Rand, no table, or only one of Store and
// Tokens.
func New(cfg Config) *Responder {
	if (cfg.Store == nil) != (cfg.Tokens == nil) || cfg.Rand == nil || cfg.Table4 == nil && cfg.Table6 == nil {
		panic("respond: Config needs Rand, a table, and both or neither of Store and Tokens")
	}
	if cfg.Rate == 0 {
		cfg.Rate = DefaultRate
	}
	if cfg.Burst == 0 {
		cfg.Burst = DefaultBurst
	}
	return &Responder{
		cfg:     cfg,
		sources: rate.NewSources(cfg.Rate, cfg.Burst, maxSources, cfg.Rand),
		bans:    newBans(),
	}
}

// Handle answers the query q from the address from. Unless the query is dropped, it appends
// the datagram to send there to dst.
func (r *Responder) Handle(dst []byte, now mono.Time, from netip.AddrPort, q *krpc.Query) ([]byte, Outcome) {
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	own := r.cfg.Table4
	if from.Addr().Is6() {
		own = r.cfg.Table6
	}
	// Private addresses are allowed here: a node that can reach us from one can be
	// answered. Public addresses with a port below 1024 are not: nodes do not use such
	// ports, and the answer to a forged source would go to a DNS or NTP server.
	if !addrs.IsNode(from, true) || own == nil {
		return dst, Martian
	}
	source := rate.SourceOf(from.Addr())
	if r.bans.banned(now, source) {
		return dst, Limited
	}
	if _, ok := r.sources.Take(now, source); !ok {
		return dst, Limited
	}
	// BEP 42: a node whose id does not fit its address may be answered with an error. The
	// text is libtorrent's, where this is off by default too.
	if r.cfg.EnforceID && !table.Secure(q.ID, from.Addr()) {
		return krpc.AppendError(dst, from, q.T, krpc.CodeProtocol, "invalid node ID"), Refused
	}
	// BEP 43: if ro is found, the node should not be added to the routing table. The query
	// is answered as usual.
	if !q.ReadOnly {
		own.Asked(now, from, q.ID)
	}
	if q.Bad != "" {
		return krpc.AppendError(dst, from, q.T, q.BadCode, q.Bad), Refused
	}
	// BEP 45: each socket address has its own node id.
	reply := krpc.Reply{To: from, T: q.T, ID: own.ID()}
	switch {
	case q.Kind == krpc.Ping:
	case q.Kind == krpc.GetPeers:
		r.closest(&reply, now, q)
		r.peers(&reply, now, q)
	case q.Kind == krpc.AnnouncePeer:
		if code, text := r.announce(now, from, q); code != 0 {
			return krpc.AppendError(dst, from, q.T, code, text), Refused
		}
	case q.Kind == krpc.Get:
		r.closest(&reply, now, q)
		r.item(&reply, now, q)
	case q.Kind == krpc.Put:
		verify, code, text := r.put(now, from, q)
		if verify {
			return dst, Verify
		}
		if code != 0 {
			return krpc.AppendError(dst, from, q.T, code, text), Refused
		}
	case q.Kind == krpc.SampleInfohashes:
		r.closest(&reply, now, q)
		r.sample(&reply, now)
	// An unknown method: nodes are what a traversal needs from a node that does not support
	// it. libtorrent answers the same.
	case q.HasTarget:
		r.closest(&reply, now, q)
	default:
		return krpc.AppendError(dst, from, q.T, krpc.CodeUnknown, "method unknown"), Refused
	}
	return reply.Append(dst), Answered
}

// closest adds the closest nodes of the families that the query asks for.
func (r *Responder) closest(reply *krpc.Reply, now mono.Time, q *krpc.Query) {
	// BEP 32: in the absence of a "want" parameter, the reply should include
	// "nodes" if the request was sent over IPv4, and "nodes6" if over IPv6.
	want4, want6 := q.WantV4, q.WantV6
	if !q.HasWant {
		want6 = reply.To.Addr().Is6()
		want4 = !want6
	}
	if want4 && r.cfg.Table4 != nil {
		reply.Nodes = r.cfg.Table4.AppendClosest(r.nodes4[:0], now, q.Target, K)
	}
	if want6 && r.cfg.Table6 != nil {
		reply.Nodes6 = r.cfg.Table6.AppendClosest(r.nodes6[:0], now, q.Target, K)
	}
}

// peers adds a token, filters if the query asks for them, and as many peers as fit beside
// the nodes.
func (r *Responder) peers(reply *krpc.Reply, now mono.Time, q *krpc.Query) {
	if r.cfg.Store == nil {
		return
	}
	addr := reply.To.Addr()
	// BEP 33: a node that does not return a token indicates that it currently
	// cannot accept announces for this infohash.
	if !r.cfg.Store.Full(now, q.Target, addr) {
		reply.Token = r.cfg.Tokens.Append(r.token[:0], now, addr, q.Target)
	}
	if q.Scrape {
		reply.BloomPeers, reply.BloomSeeds = r.cfg.Store.Blooms(now, q.Target, addr.Is6())
	}
	// BEP 32: 6-octet strings if the request was sent over IPv4, 18-octet strings over
	// IPv6, whatever its "want" says.
	reply.Values = r.cfg.Store.Sample(r.values[:0], now, q.Target, addr.Is6(), reply.MaxValues(), q.NoSeed)
}

// announce stores the announcing peer, or returns the code and text of an error.
func (r *Responder) announce(now mono.Time, from netip.AddrPort, q *krpc.Query) (code int, text string) {
	// BEP 5: the queried node must verify that the token was previously sent
	// to the same IP address as the querying node.
	if !r.valid(now, q.Token, from, q.Target) {
		return krpc.CodeProtocol, badToken
	}
	port := q.Port
	if q.ImpliedPort {
		// BEP 5: the source port of the UDP packet should be used instead.
		port = from.Port()
	}
	if !r.cfg.Store.Announce(now, q.Target, netip.AddrPortFrom(from.Addr(), port), q.Seed) {
		return krpc.CodeServer, "no room for more peers of this infohash"
	}
	return 0, ""
}

const badToken = "bad token"

// valid reports whether the token was given to from for the target.
func (r *Responder) valid(now mono.Time, token []byte, from netip.AddrPort, target id.ID) bool {
	return r.cfg.Tokens != nil && r.cfg.Tokens.Valid(now, token, from.Addr(), target)
}

// sample adds a sample of our infohashes (BEP 51).
func (r *Responder) sample(reply *krpc.Reply, now mono.Time) {
	reply.Interval = int(store.SampleInterval / time.Second)
	reply.Samples = []byte{}
	if r.cfg.Store != nil {
		reply.Samples, reply.Num = r.cfg.Store.Infohashes(now, reply.To.Addr().Is6())
	}
}
