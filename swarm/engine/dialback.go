package engine

import (
	"time"

	"seedbed/swarm/wire"
)

const (
	// dialBackPause is the time between two requests of a peer to dial back. Requests that
	// come earlier are ignored.
	dialBackPause = 3 * time.Minute
	// hastyDialBack is the number of useless messages that count for such a request.
	hastyDialBack = 64
)

// onDialBack handles an sb_dialback message.
func (e *Engine) onDialBack(p *peer, payload []byte) error {
	if !e.cfg.DialBack {
		return nil
	}
	m, err := wire.ParseDialBack(payload)
	if err != nil {
		return err
	}
	switch m.Type {
	case wire.DialBackRequest:
		if p.ext.DialBack == 0 { // it could not read the answer
			return nil
		}
		if e.now < p.dialBackAt {
			e.charge(p, hastyDialBack)
			return nil
		}
		p.dialBackAt, e.wasUseful = e.now.Add(dialBackPause), true
	case wire.DialBackResult:
	default:
		return nil
	}
	e.cmd(Command{Kind: CmdDialBack, Conn: p.conn, Addr: p.addr, DialBack: &m})
	return nil
}

// sendDialBack handles EvDialBack.
func (e *Engine) sendDialBack(ev *EvDialBack) {
	p := e.conns[ev.Conn]
	if p == nil || p.closing || p.ext.DialBack == 0 {
		return
	}
	e.scratch = wire.AppendDialBack(e.scratch[:0], ev.Msg)
	e.sendExt(p, p.ext.DialBack, e.scratch)
}
