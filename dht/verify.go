package dht

import (
	"net/netip"

	"seedbed/dht/krpc"
	"seedbed/dht/respond"
)

// Puts of mutable items whose signatures are still to be verified (BEP 44).
// That takes some hundred times as long as any other query, so it happens
// beside the read loops, which never wait for it: a put that finds the queue
// full is dropped, as if the network had lost it. Only who proved its address
// with a token gets so far.
const (
	verifiers  = 2
	maxWaiting = 64 // some milliseconds of work
)

// waiting is a put and the family whose socket it came through.
type waiting struct {
	f   *family
	put *respond.Deferred
}

// await queues what is left to do of a put, if there is room.
func (a *answers) await(f *family, from netip.AddrPort, q *krpc.Query) bool {
	if len(a.waiting) == cap(a.waiting) {
		return false // not worth the copy
	}
	select {
	case a.waiting <- waiting{f, respond.Defer(from, q)}:
		return true
	default:
		return false
	}
}

// verify works off the queue for as long as the node lives.
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
			d.mu.Unlock()
			// BEP 45: from the socket on which the request was received.
			if err := w.f.conn.WriteTo(out, w.put.To()); err != nil {
				d.mu.Lock()
				w.f.counts.SendErrors++
				d.mu.Unlock()
			}
		}
	}
}
