package engine

import "seedbed/swarm/wire"

// This file connects the choker to the engine.

// rechoke reassigns the upload slots.
func (e *Engine) rechoke() {
	e.choker.round(e.now, e.content != nil && e.content.complete, chokes{e})
}

// chokes implements chokeSink.
type chokes struct{ e *Engine }

func (s chokes) choke(conn Conn) {
	e := s.e
	p := e.conns[conn]
	e.content.super.choked(&p.super)
	e.content.spread.withdraw(&p.spread)
	e.send(p, wire.Msg{Type: wire.Choke})
	for b, ok := e.uploader.take(&p.up.uploadPeer); ok; b, ok = e.uploader.take(&p.up.uploadPeer) {
		e.reject(p, b) // BEP 6: pending requests are rejected
	}
	// On a slow uplink the window takes many seconds to send.
	if p.up.inflight > 0 {
		e.cmd(Command{Kind: CmdWithdraw, Conn: conn})
	}
}

func (s chokes) unchoke(conn Conn) { s.e.send(s.e.conns[conn], wire.Msg{Type: wire.Unchoke}) }

func (s chokes) allowFast(conn Conn) { s.e.allowFast(s.e.conns[conn]) }

func (s chokes) snubs(conn Conn) bool { return s.e.conns[conn].down.snubbed }

func (s chokes) isSending(conn Conn) bool { return s.e.conns[conn].up.inflight > 0 }
