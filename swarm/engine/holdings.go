package engine

import (
	"slices"
	"time"

	"seedbed/internal/bitset"
)

// Limits on what a peer can make us remember.
const (
	maxAllowed   = 64   // allowed-fast pieces; BEP 6 recommends ten
	maxSuggested = 16   // suggestions
	maxRejects   = 1000 // consecutive rejects from a peer that does not choke us
)

// rejectPause is how long nothing is requested from a peer that rejects requests while it
// does not choke us.
const rejectPause = time.Second

// This file updates the requester's state of its peers.

// join adds a peer, which initially chokes us and has nothing.
func (r *requester) join(conn Conn, p *requestPeer) {
	*p = requestPeer{conn: conn, choked: true, slowStart: true, depth: firstDepth, weak: true}
	r.peers.all = append(r.peers.all, p)
}

// setOrigin sets the origin of the payload of p.
func (r *requester) setOrigin(p *requestPeer, origin uint32) { p.origin = origin }

// setReqq sets how many requests p queues (BEP 10); 0 means unknown.
func (r *requester) setReqq(p *requestPeer, reqq int) { p.reqq = reqq }

// close stops requesting from p. Its requests last until leave, because a block may still
// be arriving.
func (r *requester) close(p *requestPeer) {
	if p.closing {
		return
	}
	p.closing = true
	if r.isStarted() && p.has.Len() == r.n {
		if p.counted {
			r.peers.seeds--
		} else if p.nHas > 0 {
			r.pick.removeField(p.has)
		}
	}
	p.interested = false
	p.want = 0
	r.updateWeak(p)
}

// leave removes p, after close.
func (r *requester) leave(p *requestPeer) {
	r.release(p, true)
	for i, q := range r.peers.all {
		if q == p {
			r.peers.all = append(r.peers.all[:i], r.peers.all[i+1:]...)
			return
		}
	}
}

// hasNothing sets the pieces of p to the empty set.
func (r *requester) hasNothing(p *requestPeer) {
	p.has, p.shares = r.peers.none, true
	p.want = 0
}

// hasPieces sets the pieces of p, which had none.
func (r *requester) hasPieces(p *requestPeer, has bitset.Set) {
	p.has, p.shares = has, false
	p.nHas, p.nPadding = has.Count(), r.paddingIn(has)
	p.exhausted = false
	if p.nHas == r.n {
		r.hasAll(p)
	} else if p.nHas > 0 {
		r.pick.addField(p.has)
		p.want = r.need.CountAnd(p.has)
	}
}

// hasAll sets the pieces of p, which had none, to all.
func (r *requester) hasAll(p *requestPeer) {
	p.has, p.nHas, p.nPadding, p.counted, p.shares = r.peers.full, r.n, r.nPadding, true, false
	p.want = r.nNeed
	p.exhausted = false
	r.peers.seeds++
}

// ownPieces gives p a set of its own, which may be changed.
func (r *requester) ownPieces(p *requestPeer) {
	if p.shares {
		p.has, p.shares = bitset.New(r.n), false
	}
}

// addPiece records that p has one more piece.
func (r *requester) addPiece(p *requestPeer, index uint32) {
	r.ownPieces(p)
	p.has.Add(int(index))
	p.nHas++
	if r.isPadding(index) {
		p.nPadding++
	}
	r.pick.inc(index)
	if r.need.Has(int(index)) {
		p.want++
		p.exhausted = false
	}
}

// addPieces records that p has n more pieces, which it did not have before.
func (r *requester) addPieces(p *requestPeer, fresh bitset.Set, n int) {
	r.ownPieces(p)
	p.has.AddAll(fresh)
	p.nHas += n
	p.nPadding += r.paddingIn(fresh)
	r.pick.addField(fresh)
	if gained := r.need.CountAnd(fresh); gained > 0 {
		p.want += gained
		p.exhausted = false
	}
}

// removePiece records that p no longer has a piece.
func (r *requester) removePiece(p *requestPeer, index uint32) {
	if p.counted { // from now on the picker counts its pieces
		p.has, p.counted = r.peers.full.Clone(), false
		r.peers.seeds--
		r.pick.addField(r.peers.full)
	}
	p.has.Remove(int(index))
	p.nHas--
	if r.isPadding(index) {
		p.nPadding--
	}
	r.pick.dec(index)
	if r.need.Has(int(index)) {
		p.want--
	}
}

// isSeed reports whether p has every piece. Pieces of only padding do not count: nobody
// has to fetch them, and some clients never announce them.
func (r *requester) isSeed(p *requestPeer) bool { return p.nHas-p.nPadding == r.n-r.nPadding }

// isPadding reports whether a piece contains only padding.
func (r *requester) isPadding(piece uint32) bool {
	return r.nPadding > 0 && r.padding.Has(int(piece))
}

// paddingIn returns how many pieces of a set contain only padding.
func (r *requester) paddingIn(pieces bitset.Set) int {
	if r.nPadding == 0 {
		return 0
	}
	return r.padding.CountAnd(pieces)
}

// updateInterest updates whether we are interested in p, and reports whether that
// changed.
func (r *requester) updateInterest(p *requestPeer) bool {
	if want := p.want > 0; want != p.interested {
		p.interested = want
		return true
	}
	return false
}

// noteChoke records that p chokes us.
func (r *requester) noteChoke(p *requestPeer) {
	if !p.choked {
		p.choked, p.chokedAt = true, r.now
		r.updateWeak(p)
	}
}

// noteUnchoke records that p no longer chokes us.
func (r *requester) noteUnchoke(p *requestPeer) {
	if p.choked {
		p.choked, p.exhausted, p.crawls = false, false, false
		r.updateWeak(p)
	}
}

// noteReject handles a reject (BEP 6). It reports whether the block had been requested
// from p, and whether p rejects too much without choking us.
func (r *requester) noteReject(p *requestPeer, b Block) (known, tooMany bool) {
	l := r.find(p, b)
	if l == nil {
		return p.cancelled.take(r.now), false // a canceled request is answered too
	}
	r.forfeit(l, true)
	p.cancelled.take(r.now)
	if p.choked {
		p.allowed = slices.DeleteFunc(p.allowed, func(a uint32) bool { return a == b.Piece })
		return true, false
	}
	// Pause after a reject from an unchoked peer.
	p.pause = r.now.Add(rejectPause)
	p.rejects++
	return true, p.rejects > maxRejects
}

// noteSuggest records a piece suggested by p (BEP 6).
func (r *requester) noteSuggest(p *requestPeer, piece uint32) {
	if len(p.suggested) == maxSuggested {
		p.suggested = p.suggested[:copy(p.suggested, p.suggested[1:])]
	}
	p.suggested = append(p.suggested, piece)
}

// noteAllowed records a piece that may be requested from p while it chokes us (BEP 6).
func (r *requester) noteAllowed(p *requestPeer, piece uint32) {
	if len(p.allowed) < maxAllowed && !slices.Contains(p.allowed, piece) {
		p.allowed = append(p.allowed, piece)
		r.sortAllowed(p, true)
		p.exhausted = false
	}
}
