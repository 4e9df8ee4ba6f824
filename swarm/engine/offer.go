package engine

import (
	"seedbed/swarm/wire"
)

// This file decides which of our pieces are announced to each peer: all of them, or those
// that the super-seeder chooses.

// sendBitfield announces our pieces to p. Only extension messages may precede it. A peer
// that connected before the metadata was known gets it afterwards, as in libtorrent.
func (e *Engine) sendBitfield(p *peer) {
	c := e.content
	p.sentBitfield = true
	if e.superSeeds(p) {
		if p.reserved.Fast() {
			e.send(p, wire.Msg{Type: wire.HaveNone})
		}
		c.super.limit(e.now, &p.super)
		e.offerPieces(p, false)
		return
	}
	switch {
	case p.reserved.Fast() && c.nHave == c.n: // BEP 6: have all, have none or a bitfield is mandatory
		e.send(p, wire.Msg{Type: wire.HaveAll})
	case p.reserved.Fast() && c.nHave == 0:
		e.send(p, wire.Msg{Type: wire.HaveNone})
	case c.nHave > 0:
		e.scratch = c.have.AppendTo(e.scratch[:0])
		e.send(p, wire.Msg{Type: wire.Bitfield, Payload: e.scratch})
	}
}

// superSeeds reports whether only some pieces should be announced to a new peer.
func (e *Engine) superSeeds(p *peer) bool {
	c := e.content
	if !e.maySuperSeed() || c.n <= 2*offerMin || c.n > superMaxPieces {
		return false
	}
	return e.cfg.SuperSeed == SuperOn || !e.uploader.isLimited() && e.interestedLeechers(p) >= superLeechers
}

// maySuperSeed reports whether super-seeding can help: we are the only seed of the swarm,
// and there are pieces that no leecher has.
func (e *Engine) maySuperSeed() bool {
	c := e.content
	return e.cfg.SuperSeed != SuperOff && c.complete && c.nHave == c.n && e.req.isScarce()
}

// interestedLeechers returns how many other leechers are connected and interested, or
// connected too recently to have told us.
func (e *Engine) interestedLeechers(p *peer) (n int) {
	for _, q := range e.peers {
		if q != p && !q.closing && q.sentBitfield && !q.down.counted && (q.choke.interested || e.now.Sub(q.since) < patienceShort) {
			n++
		}
	}
	return n
}

// offer announces or suggests further pieces to each peer, as the super-seeder decides.
func (e *Engine) offer() {
	s := &e.content.super
	s.beginTurns()
	if s.limited == 0 {
		return
	}
	room := e.choker.hasFree()
	for _, p := range e.peers {
		if !p.sentBitfield || p.closing {
			continue
		}
		if !p.super.limited && !p.super.guided && p.choke.unchoked && p.reserved.Fast() {
			s.guide(e.now, &p.super)
		}
		if p.super.limited || p.super.guided {
			e.offerPieces(p, room)
		}
	}
}

func (e *Engine) offerPieces(p *peer, room bool) {
	c := &p.choke
	offers, all := e.content.super.turn(e.now, &p.super, superFacts{
		interested: c.interested, unchoked: c.unchoked, slotFree: room, busy: p.up.isWithShell() || p.up.queue.Len() > 0,
		rate: c.rate.Rate(e.now), known: c.total >= provenBytes,
	})
	if all {
		e.offerAll(p)
		return
	}
	t := wire.Have
	if p.super.guided {
		t = wire.Suggest
	}
	for _, i := range offers {
		e.send(p, wire.Msg{Type: t, Index: i})
	}
}

// offerAll announces the remaining pieces to a limited peer.
func (e *Engine) offerAll(p *peer) {
	c := e.content
	for i := c.have.Next(0); i >= 0; i = c.have.Next(i + 1) {
		if !p.super.shown.Has(i) {
			e.send(p, wire.Msg{Type: wire.Have, Index: uint32(i)})
		}
	}
	c.super.release(&p.super, false)
	if c.complete {
		e.sendUploadOnly(p) // it had been withheld
	}
}

// endSuperSeeding announces every piece to every peer once the swarm no longer needs
// super-seeding.
func (e *Engine) endSuperSeeding() {
	c := e.content
	if c == nil || c.super.limited == 0 || e.maySuperSeed() && (e.cfg.SuperSeed == SuperOn || e.interestedLeechers(nil) > 1) {
		return
	}
	for _, p := range e.peers {
		if p.super.limited {
			e.offerAll(p)
		}
		c.super.release(&p.super, false)
	}
}
