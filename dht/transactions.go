package dht

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/table"
	"seedbed/internal/addrs"
	"seedbed/internal/fifo"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	tokens "seedbed/internal/rate"
)

// All our queries take one path:
//
//   - enqueue adds a query to one queue for both families.
//   - dispatch, a goroutine, takes queries from the queue as the rate allows. It adds each
//     to the transaction table of its family, and sends them in batches.
//   - response finds the transaction of a response by its id and address, and deliver
//     passes the response to it.
//   - dispatch ends transactions that were not answered within hardTimeout.

// hardTimeout is the time after which a query counts as unanswered.
const hardTimeout = 3 * time.Second

// maxPending is the maximum size of the transaction table of a family.
const maxPending = 4096

var (
	errFull       = errors.New("dht: too many queries are pending")
	errNoNode     = errors.New("dht: not a possible address of a DHT node")
	errUnanswered = errors.New("dht: too many queries to that address were not answered")
)

// ErrNoAnswer is the error if a node does not answer in time.
var ErrNoAnswer = errors.New("dht: no answer")

// RemoteError is an error reply (BEP 5).
type RemoteError struct {
	Code int
	Text string // as the node sent it: it may contain control characters
}

func (e *RemoteError) Error() string { return fmt.Sprintf("error %d %q", e.Code, e.Text) }

// transaction is one of our queries, from the moment it is queued.
type transaction struct {
	to     netip.AddrPort
	method string
	args   *queryArgs
	named  bool            // the user gave the address: any port is allowed
	ctx    context.Context // if it ends before the query is sent, the query is not sent; may be nil
	// done is called with the outcome: a response, or an error reply and a *RemoteError, or
	// only an error. It is called once, without a lock, on the goroutine that reads or
	// sends. It is not called if ctx ended before the query was sent, or if the node
	// closes. It must not block. The message is valid until done returns. done may be nil.
	done func(m *krpc.Message, rtt time.Duration, err error)

	// Set by enqueue and dispatch; d.mu guards them.
	f    *family
	key  uint32 // the transaction id
	sent mono.Time
	over bool // answered, timed out, or not sent
}

func (tx *transaction) finish(m *krpc.Message, rtt time.Duration, err error) {
	if tx.done != nil {
		tx.done(m, rtt, err)
	}
}

// outbox holds the queries that dispatch sends and waits for. d.mu guards it.
type outbox struct {
	queue  fifo.Queue[*transaction] // not sent yet
	sent   fifo.Queue[*transaction] // oldest first, including answered ones, for the timeouts
	bucket tokens.Bucket
	wakeup chan struct{} // the queue has grown
}

// enqueue queues a query, which is sent as soon as the rate allows. The caller holds d.mu.
func (f *family) enqueue(tx *transaction) {
	tx.f = f
	f.useFlow(tx.to) // now, because the query may have to wait for the rate
	f.d.outbox.queue.Push(tx)
	nudge(f.d.outbox.wakeup)
}

// dispatch sends the queries of both families and ends those that were not answered in
// time, until the node closes.
func (d *DHT) dispatch() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-d.outbox.wakeup:
		case <-timer.C:
		}
		timer.Reset(d.sendDue())
	}
}

// failure is a transaction that ends without an answer.
type failure struct {
	tx  *transaction
	err error
}

// sendDue sends as many queries as the rate allows, at most one batch, and ends those that
// have timed out. It returns the time until it must be called again.
func (d *DHT) sendDue() time.Duration {
	var failed []failure
	d.mu.Lock()
	now := d.now()
	failed = d.expire(now, failed)
	failed = d.takeDue(now, failed)
	wait := d.untilNext(now)
	d.mu.Unlock()
	for _, f := range d.families {
		failed = f.writeQueries(failed)
	}
	for _, e := range failed {
		e.tx.finish(nil, 0, e.err)
	}
	return wait
}

// takeDue moves queries from the queue to the batches of their families. The caller
// holds d.mu.
func (d *DHT) takeDue(now mono.Time, failed []failure) []failure {
	o := &d.outbox
	for n := 0; n < netx.BatchLen && o.queue.Len() > 0; n++ {
		tx := *o.queue.Front()
		if tx.ctx == nil || tx.ctx.Err() == nil {
			if o.bucket.Wait(now, 1) > 0 {
				break
			}
			if err := tx.f.begin(now, tx); err != nil {
				failed = append(failed, failure{tx, err})
			} else {
				o.bucket.Take(now, 1)
			}
		}
		o.queue.Pop()
	}
	return failed
}

// untilNext returns the time until the next query can be sent or times out. The caller
// holds d.mu.
func (d *DHT) untilNext(now mono.Time) time.Duration {
	o, wait := &d.outbox, time.Hour
	if o.queue.Len() > 0 {
		wait = o.bucket.Wait(now, 1)
	}
	if o.sent.Len() > 0 {
		wait = min(wait, hardTimeout-now.Sub((*o.sent.Front()).sent))
	}
	return max(0, wait)
}

// begin adds a query to the transaction table and to the batch of its family. It returns an
// error if the query cannot be sent. The caller holds d.mu.
func (f *family) begin(now mono.Time, tx *transaction) error {
	if !tx.named && !f.mayAsk(tx.to) {
		return errNoNode
	}
	if err := f.admit(now, tx.to); err != nil {
		return err
	}
	tx.key, tx.sent = f.freeKey(), now
	f.pending[tx.key] = tx
	f.d.outbox.sent.Push(tx)
	f.useFlow(tx.to)
	if o := f.d.cfg.Observer; o != nil {
		o.Asked(tx.to.Addr())
	}
	f.counts.Out++
	f.batch.add(tx, f.table.ID(), f.d.cfg.ReadOnly)
	return nil
}

// queryBatch holds the queries that are sent together. Only dispatch uses it.
type queryBatch struct {
	txs []*transaction
	out []netx.Datagram // one for each of txs; the others keep their memory for reuse
}

func (b *queryBatch) add(tx *transaction, own id.ID, readOnly bool) {
	n := len(b.txs)
	if n == len(b.out) {
		b.out = append(b.out, netx.Datagram{})
	}
	var t [4]byte
	binary.BigEndian.PutUint32(t[:], tx.key)
	m := &b.out[n]
	m.Buf, m.Addr = appendQuery(m.Buf[:0], t[:], own, tx.method, tx.args, readOnly), tx.to
	b.txs = append(b.txs, tx)
}

// writeQueries sends the batch. A query that cannot be sent fails at once.
func (f *family) writeQueries(failed []failure) []failure {
	b := &f.batch
	if len(b.txs) == 0 {
		return failed
	}
	sent, err := f.conn.WriteBatch(b.out[:len(b.txs)])
	if err != nil {
		f.d.mu.Lock()
		f.counts.SendErrors += uint64(len(b.txs) - sent)
		for i, tx := range b.txs {
			if err := b.out[i].Err; err != nil && !tx.over {
				f.end(tx)
				f.failedInRow++
				failed = append(failed, failure{tx, err})
			}
		}
		f.d.mu.Unlock()
	}
	clear(b.txs)
	b.txs = b.txs[:0]
	return failed
}

// end removes a transaction from the table. The caller holds d.mu.
func (f *family) end(tx *transaction) {
	tx.over = true
	delete(f.pending, tx.key)
}

// expire ends the queries that were not answered in time. The caller holds d.mu.
func (d *DHT) expire(now mono.Time, failed []failure) []failure {
	sent := &d.outbox.sent
	for sent.Len() > 0 {
		tx := *sent.Front()
		if !tx.over {
			if now.Sub(tx.sent) < hardTimeout {
				break
			}
			tx.f.end(tx)
			tx.f.timedOut(now, tx)
			failed = append(failed, failure{tx, ErrNoAnswer})
		}
		sent.Pop()
	}
	return failed
}

// timedOut counts a timeout against the node that was asked. The caller holds d.mu.
func (f *family) timedOut(now mono.Time, tx *transaction) {
	f.counts.Timeouts++
	if tx.sent < f.back {
		return // lost while we were offline
	}
	// While we are offline, timeouts do not count against nodes.
	if f.failedInRow++; !f.offline() {
		f.table.Failed(now, tx.to)
	}
}

// answered is a transaction whose response is in the batch that handle is processing.
type answered struct {
	tx  *transaction
	m   krpc.Message
	rtt time.Duration
}

// response processes a response or an error reply. The caller holds d.mu.
func (f *family) response(now mono.Time, from netip.AddrPort, m *krpc.Message) {
	if len(m.T) != 4 {
		f.counts.Dropped.Unasked++
		return
	}
	tx, ok := f.pending[binary.BigEndian.Uint32(m.T)]
	if !ok {
		f.counts.Dropped.Unasked++
		return
	}
	if tx.to != from {
		f.counts.Dropped.Spoofed++
		return
	}
	f.end(tx)
	if !f.relaxed {
		f.d.asked.Refund(now, tokens.SourceOf(from.Addr()))
	}
	f.counts.Replies++
	if f.offline() {
		f.back = now
	}
	f.failedInRow = 0
	rtt := now.Sub(tx.sent)
	if m.Y == 'r' {
		out := f.table.Replied(now, from, m.Response.ID, rtt)
		if out == table.Inserted {
			f.d.isReady.Do(func() { close(f.d.ready) })
		}
		if m.IP.IsValid() {
			f.voteLocked(now, from.Addr(), m.IP.Addr())
			if o := f.d.cfg.Observer; o != nil && m.IP.Addr().Is6() == f.v6 {
				o.SeenAs(from.Addr(), m.IP)
			}
		}
	}
	if tx.done != nil {
		f.answered = append(f.answered, answered{tx, *m, rtt})
	}
}

// deliver passes the responses of the batch to the done functions of their transactions.
func (f *family) deliver() {
	for i := range f.answered {
		a := &f.answered[i]
		var err error
		if a.m.Y == 'e' {
			err = &RemoteError{int(a.m.Error.Code), string(a.m.Error.Text)}
		}
		a.tx.done(&a.m, a.rtt, err)
	}
	clear(f.answered)
	f.answered = f.answered[:0]
}

// exchange sends a query to one node and waits for its response. For an error reply it
// returns a *RemoteError.
func (f *family) exchange(ctx context.Context, to netip.AddrPort, method string, args *queryArgs) (*krpc.Message, time.Duration, error) {
	return f.roundTrip(ctx, &transaction{to: to, method: method, args: args})
}

// roundTrip queues a query and waits for its outcome.
func (f *family) roundTrip(ctx context.Context, tx *transaction) (*krpc.Message, time.Duration, error) {
	type outcome struct {
		m   *krpc.Message
		rtt time.Duration
		err error
	}
	back := make(chan outcome, 1)
	tx.ctx = ctx
	tx.done = func(m *krpc.Message, rtt time.Duration, err error) {
		if m != nil {
			m = m.Clone()
		}
		back <- outcome{m, rtt, err}
	}
	f.d.mu.Lock()
	f.enqueue(tx)
	f.d.mu.Unlock()
	select {
	case o := <-back:
		return o.m, o.rtt, o.err
	case <-f.d.ctx.Done():
		return nil, 0, ErrClosed
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// mayAsk reports whether queries may go to an address. Addresses from other nodes must not
// have a port below 1024; bootstrap hosts may have any port.
func (f *family) mayAsk(to netip.AddrPort) bool {
	return addrs.IsNode(to, f.relaxed) || f.d.boot.contains(to)
}

// admit returns an error if a query cannot go to an address now. A node can return the
// address of a victim repeatedly, with many ports, so each address has a limit of
// unanswered queries, and answers do not count. The caller holds d.mu.
func (f *family) admit(now mono.Time, to netip.AddrPort) error {
	if len(f.pending) >= maxPending {
		return errFull
	}
	if !f.relaxed {
		if _, ok := f.d.asked.Take(now, tokens.SourceOf(to.Addr())); !ok {
			return errUnanswered
		}
	}
	return nil
}

// freeKey returns an unused, unpredictable transaction id. The caller holds d.mu.
func (f *family) freeKey() uint32 {
	for {
		key := f.d.random.Uint32()
		if _, taken := f.pending[key]; !taken {
			return key
		}
	}
}
