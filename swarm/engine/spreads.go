package engine

import "seedbed/swarm/wire"

// What the engine does with the decisions of spread, and what it tells it.

// spreading is the engine as its spread sees it.
type spreading struct{ e *Engine }

func (s spreading) nobodyHas(piece uint32) bool { return s.e.req.pick.nobodyHas(piece) }

func (s spreading) awaits(conn Conn, piece uint32) bool {
	p := s.e.conns[conn]
	return p != nil && s.e.uploader.awaits(&p.up.uploadPeer, piece)
}

// isOnlySeed reports whether we have everything, and some piece is at no other peer.
func (e *Engine) isOnlySeed() bool {
	c := e.content
	return c.complete && c.nHave == c.n && e.req.isScarce()
}

// spreadSlots is how many peers may request pieces of the only seed of a limited uplink.
// It sends one piece at a time all the same: the slots let it choose to whom.
const spreadSlots = 200

// setSlots sets the number of upload slots for what the swarm needs now.
func (e *Engine) setSlots() {
	slots := e.cfg.Uploads + 1
	if e.uploader.isLimited() && e.content != nil && e.isOnlySeed() {
		slots = max(slots, spreadSlots)
	}
	e.choker.setSlots(e.now, slots)
}

// suggestFresh suggests pieces that no leecher has to the peers that may request them.
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
