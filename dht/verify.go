package dht

import (
	"net/netip"

	"seedbed/dht/krpc"
	"seedbed/dht/respond"
)

// Verifying the signature of a put of a mutable item (BEP 44) takes hundreds of times as
// long as any other query. Separate goroutines do it, and the read loops never wait for
// them. If the queue is full, the put is dropped, as if the network had lost it. Only a put
// with a valid token gets into the queue.
const (
	verifiers  = 2
	maxWaiting = 64 // queued puts, which are some milliseconds of work
)

// waiting is a put to verify, and the family that it came from.
type waiting struct {
	f   *family
	put *respond.Deferred
}

// await queues a put for verification, and reports whether there was room.
func (a *answers) await(f *family, from netip.AddrPort, q *krpc.Query) bool {
	if len(a.waiting) == cap(a.waiting) {
		return false // before Defer copies the put
	}
	select {
	case a.waiting <- waiting{f, respond.Defer(from, q)}:
		return true
	default:
		return false
	}
}

// verify verifies the puts in the queue until the node closes.
func (d *DHT) verify(queue <-chan waiting) {
	buf := make([]byte, 0, krpc.MaxDatagram)
	for {
		select {
		case <-d.ctx.Done():
			return
		case w := <-queue:
			genuine := w.put.Verify()
			d.mu.Lock()
			out, _ := d.answers.Finish(buf, d.now(), w.put, genuine)
			w.f.counts.Answers++
			d.mu.Unlock()
			// BEP 45: reply from the socket on which the request was received.
			if err := w.f.conn.WriteTo(out, w.put.To()); err != nil {
				d.mu.Lock()
				w.f.counts.SendErrors++
				d.mu.Unlock()
			}
		}
	}
}
