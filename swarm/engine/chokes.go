package engine

import "seedbed/swarm/wire"

// This file connects the choker to the engine.

// rechoke reassigns the upload slots.
func (e *Engine) rechoke() {
	e.choker.round(e.now, e.content != nil && e.content.complete, chokeAdapter{e})
}

// chokeAdapter implements chokeSink.
type chokeAdapter struct{ e *Engine }

func (s chokeAdapter) choke(conn Conn) {
	e := s.e
	p := e.conns[conn]
	e.content.super.noteChoke(&p.super)
	e.content.spread.withdraw(&p.spread)
	e.send(p, wire.Msg{Type: wire.Choke})
	for b, ok := e.uploader.take(&p.up.uploadPeer); ok; b, ok = e.uploader.take(&p.up.uploadPeer) {
		e.reject(p, b) // BEP 6: pending requests are rejected
	}
	// On a slow uplink the window takes many seconds to send.
	if p.up.isWithShell() {
		e.cmd(Command{Kind: CmdWithdraw, Conn: conn})
	}
}

func (s chokeAdapter) unchoke(conn Conn) { s.e.send(s.e.conns[conn], wire.Msg{Type: wire.Unchoke}) }

func (s chokeAdapter) allowFast(conn Conn) { s.e.allowFast(s.e.conns[conn]) }

func (s chokeAdapter) snubs(conn Conn) bool { return s.e.conns[conn].down.snubbed }

func (s chokeAdapter) isSending(conn Conn) bool { return s.e.conns[conn].up.inflight > 0 }
