package engine

import (
	"net/netip"
	"time"
)

// This file connects blame to the engine.

// blameAdapter implements blameSink.
type blameAdapter struct{ e *Engine }

func (s blameAdapter) isBanned(key netip.AddrPort) bool { return s.e.book.isBanned(s.e.now, key) }

func (s blameAdapter) hasOtherSource(o, piece uint32) bool {
	for _, p := range s.e.peers {
		if !p.closing && p.origin != o && p.down.hasDelivered() && p.down.has.Has(int(piece)) {
			return true
		}
	}
	return false
}

func (s blameAdapter) banOrigin(o uint32, key netip.AddrPort, d time.Duration) {
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
func (e *Engine) punish(p *peer) { e.blame.punish(p.origin, blameAdapter{e}) }

// onGoodPiece tells blame that a piece has been verified. sources are the origins of its
// blocks.
func (e *Engine) onGoodPiece(ev *EvVerified, sources []uint32) {
	e.blame.credit(sources[0])
	if e.blame.isSuspect(ev.Piece) {
		e.blame.resolveByCopy(ev.Piece, sources, ev.Sums, blameAdapter{e})
	}
}

// onBadPiece passes a piece that failed verification to blame.
func (e *Engine) onBadPiece(ev *EvVerified, sources []uint32) {
	if e.blame.addBadCopy(e.now, ev.Piece, sources, ev.Sums, ev.Leaves, blameAdapter{e}) {
		e.askLeaves(ev.Piece)
	}
}
