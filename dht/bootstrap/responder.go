package bootstrap

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/table"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// Responder is one loop's part of the server: it handles the datagrams of one
// socket of one family. Only one goroutine at a time may use it.
type Responder struct {
	cfg     Config
	family  int
	cookies cookies
	counts  Counts

	// As of the last Sync.
	pages [2]page
	ids   [2]id.ID
	delay time.Duration // time before a candidate is pinged

	sources       *rate.Sources
	pressure      pressure
	waiting       candidates
	silent        []netip.AddrPort // nodes of the ring to ping now
	verified      []verified       // since the last Sync
	pings         rate.Bucket
	candidateNext bool // the next ping goes to a candidate, not to a silent node

	// Buffers that are reused, so that a query allocates nothing.
	m     krpc.Message
	reply krpc.Reply
	nodes [K * krpc.NodeLen4]byte
	node6 [K * krpc.NodeLen6]byte
}

// verified is a node that returned its cookie.
type verified struct {
	addr netip.AddrPort
	id   id.ID
	ours netip.AddrPort // our address as the node reports it; zero if it does not
}

const (
	maxVerified = 1024 // maximum between two calls of Sync
	maxSilent   = 64

	// noteAgainAfter is the minimum time before a source that keeps asking becomes a
	// candidate again, because our ping or its reply may have been lost.
	noteAgainAfter = 10 * time.Second
)

// NewResponder returns a Responder for a socket of one family.
func NewResponder(s *Shared, now mono.Time, v6 bool) *Responder {
	r := &Responder{
		cfg: s.cfg, cookies: s.cookies,
		sources:  rate.NewSources(s.cfg.Rate, s.cfg.Burst, s.cfg.Sources, s.cfg.Rand),
		waiting:  newCandidates(v6, s.cfg.Candidates),
		silent:   make([]netip.AddrPort, 0, maxSilent),
		verified: make([]verified, 0, maxVerified),
		pings:    rate.NewBucket(now, s.cfg.PingRate, max(1, s.cfg.PingRate/4)),
	}
	for f := range r.pages {
		// The maximum size of a page, so that filling it never allocates.
		r.pages[f].nodes = make([]byte, 0, (pageNodes+K)*nodeLen(f == six))
	}
	if v6 {
		r.family = six
	}
	r.cfg.Rand = rand.New(rand.NewPCG(s.cfg.Rand.Uint64(), s.cfg.Rand.Uint64())) // not shared with other loops
	s.Sync(now, r)
	return r
}

// Sync adds the nodes that r has verified to the rings, and copies the changes of the rings
// to r. The caller calls it once for each batch.
func (s *Shared) Sync(now mono.Time, r *Responder) {
	for i := range r.verified {
		v := &r.verified[i]
		s.rings[r.family].Add(now, v.id, v.addr)
		s.vote(v.addr.Addr(), v.ours)
	}
	r.verified = r.verified[:0]
	for f := range r.pages {
		r.pages[f].fill(s.rings[f])
	}
	r.ids = s.ids
	ring := s.rings[r.family]
	r.delay = s.cfg.delay(ring.Len())
	for len(r.silent) < maxSilent {
		a, ok := ring.Silent(now)
		if !ok {
			break
		}
		r.silent = append(r.silent, a)
	}
}

// Pressure records how full the socket's buffer is, from 0 to 1.
func (r *Responder) Pressure(fill float64) { r.pressure.add(fill) }

// Counts returns the counters since the start.
func (r *Responder) Counts() Counts { return r.counts }

// Waiting returns the number of candidates.
func (r *Responder) Waiting() int { return r.waiting.n }

// HasVerified reports whether there are verified nodes that Sync has not added to the ring
// yet.
func (r *Responder) HasVerified() bool { return len(r.verified) > 0 }

// Unsent counts n replies or pings that the system did not send.
func (r *Responder) Unsent(n int) { r.counts.Dropped[Unsent] += uint64(n) }

// Ping appends the next ping that is due, if any, and returns the address to send it to. It
// alternates between candidates and silent nodes.
func (r *Responder) Ping(dst []byte, now mono.Time) (b []byte, to netip.AddrPort, ok bool) {
	n, due := len(r.silent), r.waiting.due(now)
	if n == 0 && !due || !r.pings.Take(now, 1) {
		return dst, to, false
	}
	if r.candidateNext = !r.candidateNext; due && (r.candidateNext || n == 0) {
		to = r.waiting.pop()
	} else {
		to = r.silent[n-1]
		r.silent = r.silent[:n-1]
	}
	t := r.cookies.cookie(now, to)
	b = krpc.AppendPing(dst, t[:], r.ids[r.family])
	r.counts.Pinged++
	r.count(len(b) - len(dst))
	return b, to, true
}

func (r *Responder) count(n int) {
	r.counts.Out++
	r.counts.OutBytes += uint64(n)
}

// Datagram handles a datagram and appends the reply, if there is one. The address
// must not be in the IPv4-mapped form.
func (r *Responder) Datagram(dst []byte, now mono.Time, from netip.AddrPort, b []byte) []byte {
	r.counts.In++
	r.counts.InBytes += uint64(len(b))
	if isMartian(from) || family(from.Addr()) != r.family {
		r.counts.Dropped[Martian]++
		return dst
	}
	// A source above its limit costs us only the check of its address.
	src, ok := r.sources.Take(now, r.source(from))
	if !ok {
		r.counts.Dropped[Limited]++
		return dst
	}
	if krpc.Parse(b, &r.m) != nil {
		r.counts.Dropped[Malformed]++
		return dst
	}
	if r.m.Y != 'q' {
		r.response(now, from)
		return dst
	}
	q := &r.m.Query
	begin := len(dst)
	dst, outcome := r.query(dst, now, from, src, q)
	r.counts.Queries[q.Kind][outcome]++
	if n := len(dst) - begin; n > 0 {
		r.count(n)
	}
	return dst
}

func (r *Responder) source(from netip.AddrPort) uint64 {
	if r.cfg.Relaxed {
		return placeKey(from, true)
	}
	return rate.SourceOf(from.Addr())
}

// response handles a response or error, which may be the reply to one of our pings.
func (r *Responder) response(now mono.Time, from netip.AddrPort) {
	m := &r.m
	switch {
	case m.Y != 'r' || !r.cookies.valid(now, from, m.T):
		r.counts.Dropped[Unasked]++
	case !isReturnable(from, r.cfg.Relaxed):
		r.counts.Dropped[Unroutable]++
	case r.cfg.SecureOnly && !table.Secure(m.Response.ID, from.Addr()):
		r.counts.Dropped[Insecure]++
	default:
		r.counts.Verified++
		if len(r.verified) < maxVerified {
			r.verified = append(r.verified, verified{from, m.Response.ID, m.IP})
		}
	}
}

func (r *Responder) query(dst []byte, now mono.Time, from netip.AddrPort, src *rate.Source, q *krpc.Query) ([]byte, Outcome) {
	// BEP 43: if ro is found, the node should not be added.
	if !q.ReadOnly && q.Bad == "" {
		r.note(now, from, src)
	}
	nodes := q.HasTarget && q.Kind != krpc.AnnouncePeer && q.Kind != krpc.Put && q.Bad == ""
	repeats := r.cfg.Repeat > 0 && since(now, src.Answered) < r.cfg.Repeat
	w := errorReply
	switch {
	case nodes && !repeats:
		w = needsNodes
	case nodes:
		w = gotNodes
	case q.Kind == krpc.Ping:
		w = pingOnly
	}
	if w < r.pressure.min {
		return dst, Shed
	}
	switch {
	case q.Bad != "":
		return krpc.AppendError(dst, from, q.T, q.BadCode, q.Bad), Refused
	case q.Kind == krpc.AnnouncePeer, q.Kind == krpc.Put:
		// We store nothing, so no token is valid.
		return krpc.AppendError(dst, from, q.T, krpc.CodeProtocol, "bad token"), Refused
	case w == errorReply:
		return krpc.AppendError(dst, from, q.T, krpc.CodeUnknown, "method unknown"), Refused
	}
	reply := &r.reply
	*reply = krpc.Reply{To: from, T: q.T, ID: r.ids[r.family]}
	outcome := Answered
	if nodes {
		k := K
		if repeats {
			k, outcome = kSmall, Small
		} else {
			src.Answered = seconds(now)
		}
		r.fill(reply, q, k)
	}
	if q.Kind == krpc.SampleInfohashes {
		// BEP 51: we store nothing, so we ask the querying node to wait as long as possible.
		reply.Samples, reply.Interval = none, sampleInterval
	}
	return reply.Append(dst), outcome
}

var none = []byte{}

// sampleInterval is the maximum that BEP 51 allows, in seconds.
const sampleInterval = 21600

// fill adds k nodes of each family that the query asks for to the reply.
//
// BEP 33 and BEP 44: without a token in the reply to get_peers, no node announces
// here. But aria2 discards a reply to get_peers without a token, including its
// nodes, so we send an empty one.
func (r *Responder) fill(reply *krpc.Reply, q *krpc.Query, k int) {
	// BEP 32: in the absence of a "want" parameter, the reply should include
	// "nodes" if the request was sent over IPv4, and "nodes6" if over IPv6.
	want4, want6 := q.WantV4, q.WantV6
	if !q.HasWant {
		want4, want6 = r.family == four, r.family == six
	}
	if want4 && r.cfg.V4 {
		reply.Nodes = r.window(r.nodes[:0], four, k, reply.To)
	}
	if q.Kind == krpc.GetPeers {
		reply.Token = none
	}
	if want6 && r.cfg.V6 {
		reply.Nodes6 = r.window(r.node6[:0], six, k, reply.To)
	}
}

// window returns the next k nodes of a family. While the ring has few nodes, the querying
// node may well be one of them, and is left out.
func (r *Responder) window(buf []byte, f, k int, from netip.AddrPort) []byte {
	p := &r.pages[f]
	w := p.window(k)
	if len(w) == 0 {
		return buf
	}
	if f != r.family || p.ring > fullDelay {
		return w
	}
	var a [krpc.PeerLen6]byte
	return without(buf, w, addrs.Append(a[:0], from))
}

// note adds the node at from to the candidates, if it could be returned to other nodes.
func (r *Responder) note(now mono.Time, from netip.AddrPort, src *rate.Source) {
	if since(now, src.Noted) < max(r.delay, noteAgainAfter) {
		return
	}
	src.Noted = seconds(now)
	if isReturnable(from, r.cfg.Relaxed) && r.waiting.add(now.Add(r.delay), from, r.cfg.Rand) {
		r.counts.Noted++
	}
}
