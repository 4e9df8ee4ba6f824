package dht

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/dht/krpc"
	"seedbed/dht/respond"
	"seedbed/dht/table"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	tokens "seedbed/internal/rate"
)

var (
	errNoReturn = errors.New("dht: a response without return values")
	errEngine   = errors.New("dht: the query engine wrote what we cannot read")
	errFull     = errors.New("dht: too many queries under way")
	errNoNode   = errors.New("dht: no node is at that port")
	errSilent   = errors.New("dht: that address leaves too many queries unanswered")
)

// family is our node in the DHT of one address family.
type family struct {
	d       *DHT
	conn    *netx.Socket
	v6      bool
	relaxed bool

	// Of handle alone, which is one call at a time.
	message krpc.Message
	out     []netx.Datagram
	replies []byte

	// d.mu guards everything below.
	table    *table.Table
	former   []table.Node // of a time when the table was full enough
	votes    table.Votes
	external netip.Addr
	engine   *engine
	retired  []retired // engines of former ids that still have queries under way
	pending  map[uint32]pending
	pings    tokens.Bucket // for nodes that asked us: anybody can forge these
	hints    tokens.Bucket // for nodes that peers and users named
	pinging  map[netip.AddrPort]struct{}
	counts   Counts
	silence  int       // queries in a row that came to nothing
	back     mono.Time // when an answer ended the last time offline
}

// pending is a query of ours that is under way.
type pending struct {
	addr   netip.AddrPort
	sent   mono.Time
	inner  string // the engine's transaction id
	engine *engine
	answer chan<- answer // of a query that bypassed the engine: has room for one
}

type retired struct {
	engine *engine
	until  mono.Time
}

const (
	maxPending = 4096
	maxPinging = 128
	pingRate   = 10 // pings a second of nodes that we only heard of, on the average
	pingBurst  = 64

	// Queries that one IPv4 address or IPv6 /64 may leave unanswered.
	silentRate    = 1 // a second
	silentBurst   = 32
	silentSources = 8192 // addresses that are told apart
)

func newFamily(d *DHT, conn *netx.Socket) (*family, error) {
	local := conn.LocalAddr()
	ip := local.Addr().Unmap()
	f := &family{
		d: d, conn: conn, v6: ip.Is6(),
		relaxed: d.cfg.private() || addrs.IsLocal(ip),
		pending: make(map[uint32]pending),
		pinging: make(map[netip.AddrPort]struct{}),
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
	var err error
	f.engine, err = f.newEngine(own)
	if err != nil {
		return nil, fmt.Errorf("dht: %w", err)
	}
	return f, nil
}

func (f *family) newEngine(own id.ID) (*engine, error) {
	var e *engine
	e, err := newEngine(own, f.d.cfg.ReadOnly, f.d.limiter, f.conn.LocalAddr(), func(b []byte, to netip.AddrPort) error {
		return f.send(e, b, to)
	})
	return e, err
}

// send puts a query of the engine on the wire.
func (f *family) send(e *engine, b []byte, to netip.AddrPort) error {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if !f.mayAsk(to) {
		return errNoNode
	}
	f.d.mu.Lock()
	if err := f.admit(to); err != nil {
		f.d.mu.Unlock()
		return err
	}
	key := f.freeKey()
	var t [4]byte
	binary.BigEndian.PutUint32(t[:], key)
	out, inner, ok := outbound(make([]byte, 0, 192), b, t[:])
	if !ok {
		f.d.mu.Unlock()
		return errEngine
	}
	f.pending[key] = pending{addr: to, sent: f.d.now(), inner: inner, engine: e}
	f.useFlow(to)
	f.counts.Out++
	f.d.mu.Unlock()
	err := f.conn.WriteTo(out, to)
	if err != nil {
		f.d.mu.Lock()
		f.unsent(key)
		f.d.mu.Unlock()
	}
	return err
}

// mayAsk reports whether queries go to an address: not to a port below 1024 that others
// named.
func (f *family) mayAsk(to netip.AddrPort) bool {
	return addrs.IsNode(to, f.relaxed) || f.d.boot.names(to)
}

// admit says why a query cannot go to an address now. What nodes tell can name a victim
// over and over, under many ports: queries that an address leaves unanswered use up
// what it gets, and answers give it back. The caller holds d.mu.
func (f *family) admit(to netip.AddrPort) error {
	if len(f.pending) >= maxPending {
		return errFull
	}
	if !f.relaxed {
		if _, ok := f.d.asked.Take(f.d.now(), tokens.SourceOf(to.Addr())); !ok {
			return errSilent
		}
	}
	return nil
}

// unsent forgets a query that could not be sent. The caller holds d.mu.
func (f *family) unsent(key uint32) {
	delete(f.pending, key)
	f.counts.SendErrors++
	f.silence++
}

// freeKey is a transaction id that nobody can guess. The caller holds d.mu.
func (f *family) freeKey() uint32 {
	for {
		key := f.d.random.Uint32()
		if _, taken := f.pending[key]; !taken {
			return key
		}
	}
}

// query asks the node at addr.
func (f *family) query(ctx context.Context, to netip.AddrPort, method string, args akrpc.MsgArgs) (*akrpc.Return, error) {
	f.d.mu.Lock()
	e := f.engine
	f.d.mu.Unlock()
	return e.query(ctx, to, method, args)
}

// handle takes a batch of datagrams. The replies leave as a batch.
func (f *family) handle(in []netx.Datagram) {
	out, replies := f.out[:0], f.replies[:0]
	f.d.mu.Lock()
	now := f.d.now()
	for i := range in {
		from := netip.AddrPortFrom(in[i].Addr.Addr().Unmap(), in[i].Addr.Port())
		begin := len(replies)
		replies = f.datagram(now, replies, in[i].Buf[:in[i].N], from, &f.message)
		if end := len(replies); end > begin {
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
}

// datagram takes one datagram, and appends the reply to it if it has one. The
// caller holds d.mu, for a whole batch: it is some microseconds.
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

// response takes a response or an error reply. The caller holds d.mu.
func (f *family) response(now mono.Time, from netip.AddrPort, m *krpc.Message) {
	if len(m.T) != 4 {
		f.counts.Dropped.Unasked++
		return
	}
	key := binary.BigEndian.Uint32(m.T)
	p, ok := f.pending[key]
	if !ok {
		f.counts.Dropped.Unasked++
		return
	}
	if p.addr != from {
		f.counts.Dropped.Spoofed++
		return
	}
	delete(f.pending, key)
	if !f.relaxed {
		f.d.asked.Refund(now, tokens.SourceOf(from.Addr()))
	}
	f.counts.Replies++
	if f.offline() {
		f.back = now
	}
	f.silence = 0
	if m.Y == 'r' {
		out := f.table.Replied(now, from, m.Response.ID, now.Sub(p.sent))
		if out == table.Inserted {
			f.d.isReady.Do(func() { close(f.d.ready) })
		}
		if m.IP.IsValid() {
			f.voteLocked(now, from.Addr(), m.IP.Addr())
		}
	}
	if p.answer != nil {
		p.answer <- answer{bytes.Clone(m.Raw), now.Sub(p.sent)}
		return
	}
	if !p.engine.pipe.deliver(inbound(m, p.inner), from) {
		f.counts.Dropped.Busy++
	}
}

// vote counts what voter says our address is.
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
	if !ok || settled == f.external {
		return
	}
	f.external = settled
	f.d.log.Info("our address, as others see it", "address", settled)
	// BEP 42: once the external address is known, the node id must fit it.
	if f.relaxed || table.Secure(f.table.ID(), settled) {
		return
	}
	own := table.SecureID(randomID(), settled)
	e, err := f.newEngine(own)
	if err != nil {
		f.d.log.Warn("keeping a node id that does not fit our address", "error", err)
		return
	}
	f.retired = append(f.retired, retired{f.engine, now.Add(2 * hardTimeout)})
	f.engine = e
	f.table.Rebase(now, own)
}

// closeEngines ends the query engines; nothing uses them any more.
func (f *family) closeEngines() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.engine.close()
	for _, r := range f.retired {
		r.engine.close()
	}
	f.retired = nil
}
