package engine

// A piece whose hash was wrong is on parole: it is requested from one peer only, so that
// the next bad hash identifies the sender.

// canFetchAlone reports whether pc, which is on parole, may be requested from p. It may not
// while the peer that it was last requested from serves us and is not late.
func (r *requester) canFetchAlone(p *requestPeer, pc *piece) bool {
	if pc.lastAsked == p {
		return !r.sink.isResting(p.origin, pc.index)
	}
	if q := pc.lastAsked; q != nil && r.canDeliverAlone(q, pc.index) && !r.isLate(q, p) {
		return false
	}
	return r.isTrusted(p, pc.index)
}

// isLate reports whether q has a request that p may take over.
func (r *requester) isLate(q, p *requestPeer) bool {
	l := q.outstanding.oldest
	return l != nil && l.at <= r.overdue(q, p)
}

// isTrusted reports whether a piece on parole may be requested from p alone. Peers that
// did not contribute to the bad copies come first.
func (r *requester) isTrusted(p *requestPeer, piece uint32) bool {
	if !r.sink.hasContributed(p.origin, piece) {
		return true
	}
	if r.sink.isResting(p.origin, piece) {
		return false
	}
	for _, q := range r.peers.all {
		if q != p && r.canDeliverAlone(q, piece) && r.mayOpenChunk(q) && !r.sink.hasContributed(q.origin, piece) {
			return false
		}
	}
	return true
}

// canDeliverAlone reports whether q is expected to deliver a complete piece soon.
func (r *requester) canDeliverAlone(q *requestPeer, piece uint32) bool {
	return r.isServing(q) && !q.crawls && q.has.Has(int(piece))
}
