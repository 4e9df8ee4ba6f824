package engine

import "seedbed/swarm/wire"

// This file connects spread to the engine. upload.go uses its urgencies and weights.

// spreadAdapter implements spreadFacts.
type spreadAdapter struct{ e *Engine }

func (s spreadAdapter) nobodyHas(piece uint32) bool { return s.e.req.pick.nobodyHas(piece) }

func (s spreadAdapter) awaits(conn Conn, piece uint32) bool {
	p := s.e.conns[conn]
	return p != nil && s.e.uploader.awaits(&p.up.uploadPeer, piece)
}

// isOnlySeed reports whether we have everything and some piece is at no other peer.
func (e *Engine) isOnlySeed() bool {
	c := e.content
	return c.complete && c.nHave == c.n && e.req.isScarce()
}

// spreadSlots is how many peers the only seed unchokes if its uplink is limited. It still
// sends one piece at a time, but it can choose only among unchoked peers.
const spreadSlots = 200

// setSlots sets the number of upload slots that the swarm needs now.
func (e *Engine) setSlots() {
	slots := e.cfg.Uploads + 1
	if e.uploader.isLimited() && e.content != nil && e.isOnlySeed() {
		slots = max(slots, spreadSlots)
	}
	e.choker.setSlots(e.now, slots)
}

// suggestFresh suggests pieces that no leecher has to unchoked peers with the fast
// extension.
func (e *Engine) suggestFresh() {
	c := e.content
	if !e.isOnlySeed() || c.super.isOn() {
		return
	}
	for _, p := range e.peers {
		if p.closing || !p.choke.unchoked || !p.choke.interested || !p.reserved.Fast() {
			continue
		}
		if i, ok := c.spread.suggest(&p.spread); ok {
			e.send(p, wire.Msg{Type: wire.Suggest, Index: i})
		}
	}
}
