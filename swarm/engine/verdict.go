package engine

import (
	"net/netip"
	"time"
)

// What the engine does with the verdicts of its blame, and what it tells it.

// blamed is the engine as its blame sees it.
type blamed struct{ e *Engine }

func (s blamed) isBanned(key netip.AddrPort) bool { return s.e.book.isBanned(s.e.now, key) }

func (s blamed) hasOtherSource(o, piece uint32) bool {
	for _, p := range s.e.peers {
		if !p.closing && p.origin != o && p.down.hasDelivered() && p.has.Has(int(piece)) {
			return true
		}
	}
	return false
}

func (s blamed) banOrigin(o uint32, key netip.AddrPort, d time.Duration) {
	e := s.e
	e.book.ban(e.now, key, e.now.Add(d))
	e.cmd(Command{Kind: CmdBan, Addr: key})
	for _, p := range e.peers {
		if !p.closing && p.origin == o {
			e.close(p, FaultBanned)
		}
	}
}

// punish bans the origin of p, which sent bad data.
func (e *Engine) punish(p *peer) { e.blame.punish(p.origin, blamed{e}) }

// sourcesOf returns the origin of each block of pc.
func (e *Engine) sourcesOf(pc *piece) []uint32 {
	e.sources = e.sources[:0]
	for i := range pc.block {
		e.sources = append(e.sources, pc.block[i].from)
	}
	return e.sources
}

// onGoodPiece tells the blame that pc came out right.
func (e *Engine) onGoodPiece(pc *piece, sums []uint64) {
	e.blame.credit(pc.block[0].from)
	if e.blame.isSuspect(pc.index) {
		e.blame.acquit(pc.index, e.sourcesOf(pc), sums, blamed{e})
	}
}

// onBadPiece has pc judged, which came out wrong.
func (e *Engine) onBadPiece(pc *piece, ev *EvVerified) {
	if e.blame.judge(e.now, pc.index, e.sourcesOf(pc), ev.Sums, ev.Leaves, blamed{e}) {
		e.askLeaves(pc.index)
	}
	pc.parole, pc.only = e.blame.isSuspect(pc.index), 0
}

// mayAlone reports whether p may be the one that pc, which is on parole, is asked
// of: as long as one serves us that is asked for it and is not late, nobody else may.
func (e *Engine) mayAlone(p *peer, pc *piece) bool {
	if pc.only == p.conn {
		return !e.blame.isResting(e.now, p.origin, pc.index)
	}
	if q := e.conns[pc.only]; q != nil && e.canGiveAlone(q, pc.index) && !e.isLate(q, p) {
		return false
	}
	return e.isTrusted(p, pc.index)
}

// isLate reports whether what q owes is overdue for p.
func (e *Engine) isLate(q, p *peer) bool {
	l := q.down.leases.oldest
	return l != nil && l.at <= e.overdue(q, p)
}

// isTrusted reports whether a piece on parole may be given to p alone: to one
// that had no part in the bad copies, if there is such a peer.
func (e *Engine) isTrusted(p *peer, piece uint32) bool {
	if !e.blame.isNamed(p.origin, piece) {
		return true
	}
	if e.blame.isResting(e.now, p.origin, piece) {
		return false
	}
	for _, q := range e.peers {
		if q != p && e.canGiveAlone(q, piece) && e.mayBegin(q) && !e.blame.isNamed(q.origin, piece) {
			return false
		}
	}
	return true
}

// canGiveAlone reports whether q can be expected to deliver a whole piece soon.
func (e *Engine) canGiveAlone(q *peer, piece uint32) bool {
	return e.serves(q) && !q.down.crawls && q.has.Has(int(piece))
}
