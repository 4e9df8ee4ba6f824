package engine

import "seedbed/swarm/wire"

// The engine's side of spread: the facts that it asks for, and what becomes of its
// suggestions. upload.go asks it for urgencies and weights.

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

// spreadSlots is how many peers the only seed unchokes if its uplink is limited. It still
// sends one piece at a time: it can choose to whom only among peers that may request.
const spreadSlots = 200

// setSlots sets the number of upload slots by what the swarm needs now.
func (e *Engine) setSlots() {
	slots := e.cfg.Uploads + 1
	if e.uploader.isLimited() && e.content != nil && e.isOnlySeed() {
		slots = max(slots, spreadSlots)
	}
	e.choker.setSlots(e.now, slots)
}

// suggestFresh suggests pieces that no leecher has to peers that may request them. Only
// peers with the fast extension understand a suggestion.
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
