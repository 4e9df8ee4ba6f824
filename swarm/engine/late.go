package engine

import "time"

// This file requests late blocks of urgent pieces from a second peer. Otherwise a slow peer, or one that
// never sends them, would hold up what a reader or an urgent file needs, while faster peers fetch the
// rest.

const (
	// duplicateAfter is the age at which an outstanding block of an urgent piece is requested from a
	// second peer too.
	duplicateAfter = time.Second
	// maxDuplicates is how many blocks may be requested a second time from one peer at once.
	maxDuplicates = 8
)

// duplicateLate requests from p blocks of urgent pieces that have been outstanding at slower peers for a
// while. When one peer delivers, the others get a cancel. It reports whether it requested any.
func (r *requester) duplicateLate(p *requestPeer, limit int, isUrgent func(piece uint32) bool) bool {
	if p.choked || p.isDoubtful() {
		return false
	}
	mine := p.rate.Rate(r.now)
	asked := 0
	for _, q := range r.peers.all {
		if q == p || (!q.weak && q.rate.Rate(r.now) >= mine) {
			continue
		}
		for l := q.outstanding.oldest; l != nil; l = l.next {
			if p.out() >= limit || asked == maxDuplicates {
				return asked > 0
			}
			pc := l.chunk.piece
			if r.now.Sub(l.at) < duplicateAfter {
				break // the following requests are newer
			}
			if !r.canFetch(p, pc) || !isUrgent(pc.index) || r.isContested(pc, l.block, p, q) {
				continue
			}
			r.grant(p, l.chunk, l.block)
			asked++
		}
	}
	return asked > 0
}

// duplicateUrgent requests late blocks of the classes before class from p, which can begin nothing else
// in these: the endgame of an urgent file does not wait for that of the torrent.
func (r *requester) duplicateUrgent(p *requestPeer, limit int, class uint8) {
	if r.focus.on {
		return // the reader comes first
	}
	r.duplicateLate(p, limit, func(piece uint32) bool { return r.pick.classOf(piece) < class })
}
