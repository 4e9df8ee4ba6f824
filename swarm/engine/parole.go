package engine

// A piece whose hash was wrong is on parole: it is asked of one peer alone, so that
// the next verdict on it names one sender.

// mayAlone reports whether p may be the one that pc is asked of, which is on parole.
// As long as another one serves us that was asked for it and is not late, p may not.
func (r *requester) mayAlone(p *requestPeer, pc *piece) bool {
	if pc.only == p {
		return !r.sink.isResting(p.origin, pc.index)
	}
	if q := pc.only; q != nil && r.canGiveAlone(q, pc.index) && !r.isLate(q, p) {
		return false
	}
	return r.isTrusted(p, pc.index)
}

// isLate reports whether what q owes is overdue for p.
func (r *requester) isLate(q, p *requestPeer) bool {
	l := q.leases.oldest
	return l != nil && l.at <= r.overdue(q, p)
}

// isTrusted reports whether a piece on parole may be given to p alone: to one that
// had no part in the bad copies, if there is such a peer.
func (r *requester) isTrusted(p *requestPeer, piece uint32) bool {
	if !r.sink.isNamed(p.origin, piece) {
		return true
	}
	if r.sink.isResting(p.origin, piece) {
		return false
	}
	for _, q := range r.peers.all {
		if q != p && r.canGiveAlone(q, piece) && r.mayBegin(q) && !r.sink.isNamed(q.origin, piece) {
			return false
		}
	}
	return true
}

// canGiveAlone reports whether q can be expected to deliver a whole piece soon.
func (r *requester) canGiveAlone(q *requestPeer, piece uint32) bool {
	return r.serves(q) && !q.crawls && q.has.Has(int(piece))
}
