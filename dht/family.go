package dht

import (
	"net/netip"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/respond"
	"seedbed/dht/table"
	"seedbed/internal/addrs"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	tokens "seedbed/internal/rate"
)

// family is the part of the node in one address family.
type family struct {
	d       *DHT
	conn    *netx.Socket
	v6      bool
	relaxed bool

	// Only handle uses these. Its calls do not overlap.
	message  krpc.Message
	out      []netx.Datagram
	replies  []byte
	answered []answered

	// d.mu guards everything below.
	table       *table.Table
	former      []table.Node // the nodes of the table when it last had minNodes
	votes       table.Votes
	external    netip.Addr
	pending     map[uint32]*transaction // the transaction table, by transaction id
	pings       tokens.Bucket           // limits pings of nodes that asked us, whose addresses can be forged
	hints       tokens.Bucket           // limits pings of nodes that peers and users gave us
	pinging     map[netip.AddrPort]struct{}
	counts      Counts
	failedInRow int       // queries in a row that failed
	back        mono.Time // the last time we came back online
	observeAt   mono.Time // when Observer is told of the next query

	batch queryBatch // only dispatch uses it

	rejoin chan struct{} // signals upkeep to join again; capacity 1
}

const (
	maxPinging = 128
	pingRate   = 10 // average number of pings a second to nodes that we have not asked before
	pingBurst  = 64

	// The maximum of unanswered queries to one IPv4 address or IPv6 /64.
	silentRate    = 1 // a second
	silentBurst   = 32
	silentSources = 8192 // maximum number of addresses that are counted separately

	// observeEvery is the time between two queries that Observer is told of.
	observeEvery = time.Second
)

func newFamily(d *DHT, conn *netx.Socket) *family {
	local := conn.LocalAddr()
	ip := local.Addr().Unmap()
	f := &family{
		d: d, conn: conn, v6: ip.Is6(),
		relaxed: d.cfg.private() || addrs.IsLocal(ip),
		pending: make(map[uint32]*transaction),
		pinging: make(map[netip.AddrPort]struct{}),
		rejoin:  make(chan struct{}, 1),
		out:     make([]netx.Datagram, 0, netx.BatchLen), replies: make([]byte, 0, netx.BatchLen*krpc.MaxDatagram),
		pings: tokens.NewBucket(d.now(), pingRate, pingBurst),
		hints: tokens.NewBucket(d.now(), pingRate, pingBurst),
	}
	own := d.cfg.ID4
	if f.v6 {
		own = d.cfg.ID6
	}
	if own.IsZero() {
		own = randomID()
	}
	f.table = table.New(table.Config{ID: own, Relaxed: f.relaxed, Now: d.now()})
	return f
}

// handle processes a batch of datagrams, and sends the replies as a batch.
func (f *family) handle(in []netx.Datagram) {
	out, replies := f.out[:0], f.replies[:0]
	f.d.mu.Lock()
	now := f.d.now()
	for i := range in {
		from := netip.AddrPortFrom(in[i].Addr.Addr().Unmap(), in[i].Addr.Port())
		begin := len(replies)
		replies = f.datagram(now, replies, in[i].Buf[:in[i].N], from, &f.message)
		if end := len(replies); end > begin {
			f.counts.Answers++
			out = append(out, netx.Datagram{Buf: replies[begin:end:end], Addr: from})
		}
	}
	f.d.mu.Unlock()
	if len(out) > 0 {
		if sent, err := f.conn.WriteBatch(out); err != nil {
			f.d.mu.Lock()
			f.counts.SendErrors += uint64(len(out) - sent)
			f.d.mu.Unlock()
		}
	}
	f.out, f.replies = out, replies
	f.deliver()
}

// datagram processes one datagram and appends the reply to out, if there is one. The caller
// holds d.mu for the whole batch, which takes some microseconds.
func (f *family) datagram(now mono.Time, out, b []byte, from netip.AddrPort, m *krpc.Message) []byte {
	f.counts.In++
	if err := krpc.Parse(b, m); err != nil {
		f.counts.Dropped.Malformed++
		return out
	}
	if m.Y != 'q' {
		f.response(now, from, m)
		return out
	}
	f.counts.Queries++
	if o := f.d.cfg.Observer; o != nil && now >= f.observeAt {
		f.observeAt = now.Add(observeEvery)
		o.Queried(from.Addr())
	}
	if f.d.cfg.ReadOnly {
		return out // BEP 43: a read-only node does not answer
	}
	q := &m.Query
	out, outcome := f.d.answers.Handle(out, now, from, q)
	switch outcome {
	case respond.Limited, respond.Martian:
		f.counts.Dropped.Limited++
	default:
		if outcome == respond.Verify && !f.d.answers.await(f, from, q) {
			f.counts.Dropped.Busy++
		}
		if !q.ReadOnly && f.table.Wants(from, q.ID) {
			f.tryPing(now, from, &f.pings)
		}
	}
	return out
}

// vote counts voter's vote that our address is ours.
func (f *family) vote(voter, ours netip.Addr) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.voteLocked(f.d.now(), voter, ours)
}

func (f *family) voteLocked(now mono.Time, voter, ours netip.Addr) {
	if ours.Is6() != f.v6 || !addrs.IsUsable(netip.AddrPortFrom(ours, 1), f.relaxed) {
		return
	}
	settled, ok := f.votes.Add(voter, ours)
	if ok {
		f.settle(now, settled)
	}
}

// settle sets our external address. The caller holds d.mu.
func (f *family) settle(now mono.Time, external netip.Addr) {
	if external == f.external {
		return
	}
	f.external = external
	f.d.log.Info("external address found", "address", external)
	// BEP 42: our id must match our external address.
	if f.relaxed || table.Secure(f.table.ID(), external) {
		return
	}
	f.table.Rebase(now, table.SecureID(randomID(), external))
	nudge(f.rejoin) // so that the nodes next to the new id know us
}
