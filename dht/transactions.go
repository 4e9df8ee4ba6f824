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
//   - dispatch, one goroutine, takes queries from the queue as the rate allows. It enters
//     each in the transaction table of its family, and writes them in batches.
//   - response finds the transaction of a response by its id and address, and deliver
//     passes the answer on.
//   - dispatch ends transactions that are not answered within hardTimeout.

// hardTimeout is how long a query waits for its answer.
const hardTimeout = 3 * time.Second

// maxPending bounds the transaction table of a family.
const maxPending = 4096

var (
	errFull   = errors.New("dht: too many queries are unanswered")
	errNoNode = errors.New("dht: no node can have that address")
	errSilent = errors.New("dht: that address has left too many queries unanswered")
)

// ErrNoAnswer is the error if a node did not answer in time.
var ErrNoAnswer = errors.New("dht: no answer")

// RemoteError is an error reply (BEP 5).
type RemoteError struct {
	Code int
	Text string // as the node sent it: it may contain control characters
}

func (e *RemoteError) Error() string { return fmt.Sprintf("error %d %q", e.Code, e.Text) }

// transaction is one of our queries, from the time that it is queued.
type transaction struct {
	to     netip.AddrPort
	method string
	args   *queryArgs
	named  bool            // the user named the address: any port may be asked
	ctx    context.Context // once it has ended, the query is not sent any more; may be nil
	// done gets the outcome: a response, or an error reply and a *RemoteError, or only an
	// error. It is called once, on the goroutine that reads or sends, without a lock. It is
	// not called if the query was not sent before ctx ended, or if the node closes. It must
	// not block. The message is valid until done returns. done may be nil.
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

// outbox is what dispatch works on; d.mu guards it.
type outbox struct {
	queue  fifo.Queue[*transaction] // not sent yet
	sent   fifo.Queue[*transaction] // oldest first, answered ones too, for their timeouts
	bucket tokens.Bucket
	poke   chan struct{} // the queue has grown
}

// enqueue queues a query, which is sent as soon as the rate allows. The caller holds d.mu.
func (f *family) enqueue(tx *transaction) {
	tx.f = f
	f.useFlow(tx.to) // at once: the query may have to wait for the rate
	f.d.outbox.queue.Push(tx)
	nudge(f.d.outbox.poke)
}

// dispatch sends the queries of both families and ends those that are not answered, until the
// node closes.
func (d *DHT) dispatch() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-d.outbox.poke:
		case <-timer.C:
		}
		timer.Reset(d.turn())
	}
}

// failure is a transaction that ends without an answer.
type failure struct {
	tx  *transaction
	err error
}

// turn sends as many queries as the rate allows, at most one batch, and ends those that have
// timed out. It returns the time until the next turn.
func (d *DHT) turn() time.Duration {
	var failed []failure
	d.mu.Lock()
	now := d.now()
	failed = d.expire(now, failed)
	failed = d.takeDue(now, failed)
	wait := d.nextTurn(now)
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

// nextTurn returns the time until a query can be sent or times out. The caller holds d.mu.
func (d *DHT) nextTurn(now mono.Time) time.Duration {
	o, wait := &d.outbox, time.Hour
	if o.queue.Len() > 0 {
		wait = o.bucket.Wait(now, 1)
	}
	if o.sent.Len() > 0 {
		wait = min(wait, hardTimeout-now.Sub((*o.sent.Front()).sent))
	}
	return max(0, wait)
}

// begin enters a query in the transaction table and adds it to the batch of its family,
// or returns why it cannot be sent. The caller holds d.mu.
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

// writeQueries writes the batch. If nothing could be sent, all its queries fail. If some could
// not be sent, the system does not say which, and these time out.
func (f *family) writeQueries(failed []failure) []failure {
	b := &f.batch
	if len(b.txs) == 0 {
		return failed
	}
	sent, err := f.conn.WriteBatch(b.out[:len(b.txs)])
	if err != nil {
		f.d.mu.Lock()
		f.counts.SendErrors += uint64(len(b.txs) - sent)
		for _, tx := range b.txs {
			if sent == 0 && !tx.over {
				f.end(tx)
				f.silence++
				failed = append(failed, failure{tx, err})
			}
		}
		f.d.mu.Unlock()
	}
	clear(b.txs)
	b.txs = b.txs[:0]
	return failed
}

// end takes a transaction out of the table. The caller holds d.mu.
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
	// If no node answers any more, the nodes are not to blame.
	if f.silence++; !f.offline() {
		f.table.Failed(now, tx.to)
	}
}

// answered is a transaction whose answer is in the batch that handle is processing.
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
	f.silence = 0
	rtt := now.Sub(tx.sent)
	if m.Y == 'r' {
		out := f.table.Replied(now, from, m.Response.ID, rtt)
		if out == table.Inserted {
			f.d.isReady.Do(func() { close(f.d.ready) })
		}
		if m.IP.IsValid() {
			f.voteLocked(now, from.Addr(), m.IP.Addr())
		}
	}
	if tx.done != nil {
		f.answered = append(f.answered, answered{tx, *m, rtt})
	}
}

// deliver passes the answers of the batch to the owners of their transactions.
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

// exchange asks one node and waits for its answer. An error reply is a *RemoteError.
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

// mayAsk reports whether queries may go to an address. Those that other nodes name must not
// have a port below 1024.
func (f *family) mayAsk(to netip.AddrPort) bool {
	return addrs.IsNode(to, f.relaxed) || f.d.boot.names(to)
}

// admit returns an error if a query cannot go to an address now. Nodes can name a victim again
// and again, with many ports, so each address has a budget of unanswered queries, which
// answers refill. The caller holds d.mu.
func (f *family) admit(now mono.Time, to netip.AddrPort) error {
	if len(f.pending) >= maxPending {
		return errFull
	}
	if !f.relaxed {
		if _, ok := f.d.asked.Take(now, tokens.SourceOf(to.Addr())); !ok {
			return errSilent
		}
	}
	return nil
}

// freeKey returns a transaction id that nobody can guess. The caller holds d.mu.
func (f *family) freeKey() uint32 {
	for {
		key := f.d.random.Uint32()
		if _, taken := f.pending[key]; !taken {
			return key
		}
	}
}
