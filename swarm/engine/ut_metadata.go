package engine

import "seedbed/swarm/wire"

// This file connects the metadata phase to the engine, and handles ut_metadata messages
// (BEP 9).

// metaAdapter implements metaSink.
type metaAdapter struct{ e *Engine }

func (s metaAdapter) requestMetadata(conn Conn, block int) {
	s.e.sendMetadata(s.e.conns[conn], wire.MetadataMsg{Type: wire.MetadataRequest, Piece: block})
}

func (e *Engine) sendMetadata(p *peer, m wire.MetadataMsg) {
	e.scratch = wire.AppendMetadata(e.scratch[:0], m)
	e.sendExt(p, p.ext.UtMetadata, e.scratch)
}

// onMetadata handles a ut_metadata message.
func (e *Engine) onMetadata(p *peer, payload []byte) error {
	m, err := wire.ParseMetadata(payload)
	if err != nil {
		return err
	}
	switch m.Type {
	case wire.MetadataRequest:
		e.serveMetadata(p, m.Piece)
	case wire.MetadataData:
		return e.onMetadataBlock(p, &m)
	case wire.MetadataReject:
		if e.meta.noteReject(e.now, &p.meta, m.Piece) {
			e.wasUseful = true
		}
	}
	return nil
}

func (e *Engine) onMetadataBlock(p *peer, m *wire.MetadataMsg) error {
	r := e.meta.received(e.now, &p.meta, m.Piece, m.Data)
	e.wasUseful = r.wasAsked
	for _, l := range r.liars {
		if q := e.conns[l]; q != nil {
			e.punish(q)
		}
	}
	switch {
	case r.broken != nil:
		e.broken = r.broken
		e.cmd(Command{Kind: CmdBroken, Err: r.broken})
	case r.info != nil:
		if !e.needLayers(r.info) {
			e.cmd(Command{Kind: CmdMetadata, Info: r.info})
		}
		if r.info.Private {
			e.goPrivate() // existing data may take long to check
		}
	}
	return r.err
}

// serveMetadata answers a request for a block of the info dictionary.
func (e *Engine) serveMetadata(p *peer, block int) {
	if p.ext.UtMetadata == 0 {
		return
	}
	var raw []byte
	if c := e.content; c != nil {
		raw = c.info.Raw
	}
	m := p.meta.answer(e.now, raw, block)
	e.wasUseful = e.wasUseful || m.Type == wire.MetadataData
	e.sendMetadata(p, m)
}

// metaUpkeep is called once per second.
func (e *Engine) metaUpkeep() {
	nearlyFull := e.open >= e.cfg.MaxConns*3/4
	for _, p := range e.peers {
		if p.closing || e.meta.done {
			continue
		}
		if f := e.meta.upkeep(e.now, &p.meta, nearlyFull); f != FaultNone {
			e.close(p, f)
		}
	}
}
