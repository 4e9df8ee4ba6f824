package engine

import "seedbed/swarm/wire"

// What the engine does with the decisions of its choker, and what it tells it.

// rechoke has the choker hand out the upload slots anew.
func (e *Engine) rechoke() {
	e.choker.round(e.now, e.content != nil && e.content.complete, chokes{e})
}

// chokes is the engine as its choker sees it.
type chokes struct{ e *Engine }

func (s chokes) choke(conn Conn) {
	e := s.e
	p := e.conns[conn]
	e.content.super.choked(&p.super)
	e.content.spread.withdraw(&p.spread)
	e.send(p, wire.Msg{Type: wire.Choke})
	for b, ok := e.uploader.take(&p.up.uploadPeer); ok; b, ok = e.uploader.take(&p.up.uploadPeer) {
		e.reject(p, b) // BEP 6: what is pending is rejected
	}
	// Behind a slow uplink the window is many seconds long.
	if p.up.inflight > 0 {
		e.cmd(Command{Kind: CmdWithdraw, Conn: conn})
	}
}

func (s chokes) unchoke(conn Conn) { s.e.send(s.e.conns[conn], wire.Msg{Type: wire.Unchoke}) }

func (s chokes) allowFast(conn Conn) { s.e.allowFast(s.e.conns[conn]) }

func (s chokes) snubs(conn Conn) bool { return s.e.conns[conn].down.snubbed }

func (s chokes) isSending(conn Conn) bool { return s.e.conns[conn].up.inflight > 0 }
