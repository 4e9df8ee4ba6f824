package respond

import (
	"bytes"
	"net/netip"

	"seedbed/dht/krpc"
	"seedbed/dht/store"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// item adds a token and the item at the target to the reply (BEP 44).
func (r *Responder) item(reply *krpc.Reply, now mono.Time, q *krpc.Query) {
	if r.cfg.Store == nil {
		return
	}
	// There is always a token, because there is always room: a new item replaces the least
	// recently used one.
	reply.Token = r.cfg.Tokens.Append(r.token[:0], now, reply.To.Addr(), q.Target)
	it := r.cfg.Store.Item(now, q.Target)
	if it == nil {
		return
	}
	if it.Mutable {
		reply.Seq, reply.HasSeq = it.Seq, true
		// BEP 44: if its sequence number is less than or equal to the seq field
		// then k, v, and sig should be omitted from the response.
		if q.HasSeq && it.Seq <= q.Seq {
			return
		}
		reply.K, reply.Sig = it.K[:], it.Sig[:]
	}
	reply.V = it.V
}

// impliedTarget returns the target of the item of a put, which the query does not contain
// (BEP 44).
func impliedTarget(q *krpc.Query) id.ID {
	if q.K != nil {
		return store.MutableTarget(q.K, q.Salt)
	}
	return store.ImmutableTarget(q.V)
}

// asItem returns the item of a put. Its value points into the datagram.
func asItem(q *krpc.Query) store.Item {
	it := store.Item{V: q.V}
	if q.K != nil {
		it.Mutable, it.Seq = true, q.Seq
		copy(it.K[:], q.K)
		copy(it.Sig[:], q.Sig)
	}
	return it
}

// put stores the item of a put. It returns verify if the signature must be verified first,
// or the code and text of an error.
func (r *Responder) put(now mono.Time, from netip.AddrPort, q *krpc.Query) (verify bool, code int, text string) {
	at := impliedTarget(q)
	if !r.valid(now, q.Token, from, at) {
		return false, krpc.CodeProtocol, badToken
	}
	it := asItem(q)
	var cas *int64
	if q.HasCAS {
		cas = &q.CAS
	}
	outcome := r.cfg.Store.CheckPut(now, at, &it, cas)
	switch {
	case outcome == store.Known:
		r.cfg.Store.Renew(now, at)
	case outcome == store.Fresh && it.Mutable:
		return true, 0, ""
	case outcome == store.Fresh:
		it.V = bytes.Clone(it.V)
		r.cfg.Store.Put(now, at, it)
	}
	code, text = putError(outcome)
	return false, code, text
}

// putError returns the error that BEP 44 defines for an outcome, or code 0 if the put is
// accepted.
func putError(v store.PutOutcome) (code int, text string) {
	switch v {
	case store.CASMismatch:
		return krpc.CodeCASMismatch, "the CAS number does not match: re-read the value and try again"
	case store.OldSeq:
		return krpc.CodeOldSeq, "sequence number not greater than the current one"
	}
	return 0, ""
}

// Deferred is a put of a mutable item whose signature has not been verified yet. It does
// not point into the datagram.
type Deferred struct {
	to     netip.AddrPort
	t      []byte
	target id.ID
	item   store.Item
	salt   []byte
	cas    *int64
}

// Defer copies a put for which Handle returned Verify. The caller may drop the copy; then
// it is as if the datagram had been lost.
func Defer(from netip.AddrPort, q *krpc.Query) *Deferred {
	d := &Deferred{
		to:     netip.AddrPortFrom(from.Addr().Unmap(), from.Port()),
		t:      bytes.Clone(q.T),
		target: impliedTarget(q),
		item:   asItem(q),
		salt:   bytes.Clone(q.Salt),
	}
	d.item.V = bytes.Clone(q.V)
	if q.HasCAS {
		cas := q.CAS
		d.cas = &cas
	}
	return d
}

// To returns the address to reply to.
func (d *Deferred) To() netip.AddrPort { return d.to }

// Verify reports whether the signature is valid. It takes about a tenth of a millisecond,
// and may run on any goroutine.
func (d *Deferred) Verify() bool { return d.item.Verify(d.salt) }

// Finish stores the item of a put that has been verified, and appends the reply to the put.
// It refuses the put if verified is false. BEP 44: on the storage node, the signature must
// be verified before accepting the store command.
func (r *Responder) Finish(dst []byte, now mono.Time, d *Deferred, verified bool) ([]byte, Outcome) {
	if !verified {
		if r.cfg.Rate >= 0 {
			r.bans.fault(now, d.to.Addr())
		}
		return krpc.AppendError(dst, d.to, d.t, krpc.CodeBadSig, "invalid signature"), Refused
	}
	// Another put may have been accepted in the meantime, so the item is checked again.
	outcome := r.cfg.Store.CheckPut(now, d.target, &d.item, d.cas)
	if code, text := putError(outcome); code != 0 {
		return krpc.AppendError(dst, d.to, d.t, code, text), Refused
	}
	r.cfg.Store.Put(now, d.target, d.item)
	own := r.cfg.Table4
	if d.to.Addr().Is6() {
		own = r.cfg.Table6
	}
	reply := krpc.Reply{To: d.to, T: d.t, ID: own.ID()}
	return reply.Append(dst), Answered
}
