package engine

import (
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/addrs"
	"seedbed/pex"
	"seedbed/swarm/wire"
)

// sendExt sends an extension message (BEP 10). payload may be e.scratch.
func (e *Engine) sendExt(p *peer, ext uint8, payload []byte) {
	e.send(p, wire.Msg{Type: wire.Extended, Ext: ext, Payload: payload})
}

// sendExtHandshake sends our extension handshake (BEP 10). It is repeated when the
// metadata becomes known, which BEP 10 allows.
func (e *Engine) sendExtHandshake(p *peer) {
	if !p.reserved.Extended() {
		return
	}
	h := wire.ExtHandshake{
		UtMetadata: wire.ExtMetadata, LtDontHave: wire.ExtDontHave, UploadOnlyID: wire.ExtUploadOnly,
		Version: e.cfg.Version, Port: e.cfg.Ports.For(p.addr.Addr()), Reqq: ourReqq, YourIP: p.addr.Addr(),
	}
	if !e.book.private {
		h.UtPex = wire.ExtPex
		if e.cfg.Holepunch {
			h.HolePunch = wire.ExtHolepunch
		}
	}
	if e.cfg.DialBack {
		h.DialBack = wire.ExtDialBack
	}
	switch {
	case e.push.isOn():
		h.Item = wire.ExtItem
	case p.push != nil: // it was
		h.Named |= wire.HasItem
	}
	if c := e.content; c != nil {
		h.MetadataSize = int64(len(c.info.Raw))
		h.UploadOnly = c.complete && c.n > 0 && !p.super.limited // BEP 21
	}
	e.scratch = wire.AppendExtHandshake(e.scratch[:0], h)
	e.sendExt(p, wire.ExtHandshakeID, e.scratch)
}

// announceUploadOnly tells all peers that we have stopped downloading, or started again (BEP
// 21).
func (e *Engine) announceUploadOnly() {
	for _, p := range e.peers {
		e.sendUploadOnly(p)
	}
}

func (e *Engine) sendUploadOnly(p *peer) {
	if !p.closing && p.ext.UploadOnlyID != 0 && !p.super.limited {
		e.scratch = wire.AppendUploadOnly(e.scratch[:0], e.content.complete)
		e.sendExt(p, p.ext.UploadOnlyID, e.scratch)
	}
}

// onExtended handles an extension message. A message that we did not offer is ignored.
func (e *Engine) onExtended(p *peer, m *wire.Msg) {
	var err error
	switch m.Ext {
	case wire.ExtHandshakeID:
		err = e.onExtHandshake(p, m.Payload)
	case wire.ExtMetadata:
		err = e.onMetadata(p, m.Payload)
	case wire.ExtPex:
		err = e.onPex(p, m.Payload)
	case wire.ExtHolepunch:
		err = e.onHolepunch(p, m.Payload)
	case wire.ExtDontHave:
		var index uint32
		if index, err = wire.ParseDontHave(m.Payload); err == nil {
			e.onDontHave(p, index)
		}
	case wire.ExtUploadOnly:
		if p.ext.UploadOnly, err = wire.ParseUploadOnly(m.Payload); err == nil {
			e.dropUseless(p)
		}
	case wire.ExtDialBack:
		err = e.onDialBack(p, m.Payload)
	case wire.ExtItem:
		err = e.onItem(p, m.Payload)
	}
	if err != nil {
		e.close(p, FaultProtocol)
	}
}

func (e *Engine) onExtHandshake(p *peer, payload []byte) error {
	h, err := wire.ParseExtHandshake(payload)
	if err != nil {
		return err
	}
	had, couldDialBack := p.ext.YourIP, p.ext.DialBack != 0
	p.ext.Merge(h)
	if !p.gotExtended {
		p.gotExtended = true
		e.sendPexSoon()
	}
	e.req.setReqq(&p.down, p.ext.Reqq)
	e.learnListen(p, p.ext.Port)
	if ip := p.ext.YourIP; ip.IsValid() && ip != had {
		e.cmd(Command{Kind: CmdYourIP, Conn: p.conn, Addr: netip.AddrPortFrom(ip, 0)})
	}
	if e.cfg.DialBack && p.ext.DialBack != 0 && !couldDialBack {
		e.cmd(Command{Kind: CmdCanDialBack, Conn: p.conn, Addr: p.addr})
	}
	if p.ext.Item != 0 {
		e.sendItems(p)
	}
	if p.ext.UtMetadata != 0 {
		if err := e.meta.offer(&p.meta, p.ext.MetadataSize); err != nil {
			return err
		}
	}
	if h.UploadKnown || e.push.isOn() {
		e.dropUseless(p)
	}
	return nil
}

// onPex adds the addresses that a peer sent (BEP 11). PEX is not offered in a private
// torrent, and ignored there.
func (e *Engine) onPex(p *peer, payload []byte) error {
	if e.book.private {
		return nil
	}
	u, err := pex.Parse(payload)
	if err != nil {
		return err
	}
	p.pexIn.Rules = e.pexRules(p)
	news, err := p.pexIn.Accept(e.now, u)
	if err != nil {
		return err
	}
	for _, n := range news {
		e.book.add(e.now, Candidate{Addr: n.Addr, Source: FromPEX, From: p.addr.Addr()})
		e.book.describe(n.Addr, n.Flags)
		if c := e.book.find(n.Addr); c != nil && (c.state == candDialing || c.fails > 0) {
			e.expectPunch(c)
		}
	}
	return nil
}

func (e *Engine) pexRules(p *peer) pex.Rules {
	r := pex.Rules{Peer: p.listen}
	if !r.Peer.IsValid() {
		r.Peer = p.addr
	}
	r.Own = e.ownAddr[:0]
	for _, ip := range e.book.self {
		if ip.IsValid() {
			r.Own = append(r.Own, netip.AddrPortFrom(ip, e.cfg.Ports.Of(ip.Is6())))
		}
	}
	return r
}

// sendPex sends the addresses of the connected peers to every peer that supports PEX (BEP
// 11). It runs every ten seconds; the Sender of each peer enforces the interval between
// two messages.
func (e *Engine) sendPex() {
	if e.book.private {
		return
	}
	list := e.pexList[:0]
	for _, p := range e.peers {
		if p.closing || !p.listen.IsValid() {
			continue
		}
		if p.reserved.Extended() && !p.gotExtended && e.now.Sub(p.since) < pexEvery {
			continue // its flags are sent once, so they must be known
		}
		var f pex.Flags
		if !p.incoming {
			if !p.punched {
				f |= pex.Reachable
			}
			if p.encrypted {
				f |= pex.PrefersEncryption
			}
		}
		if p.ext.UploadOnly || p.down.counted {
			f |= pex.Seed
		}
		if p.utp || p.ext.HolePunch != 0 { // BEP 55 connects over uTP
			f |= pex.UTP
		}
		if p.ext.HolePunch != 0 {
			f |= pex.Holepunch
		}
		list = append(list, pex.Peer{Addr: p.listen, Flags: f})
	}
	// Shuffle, so that not every peer receives the same first fifty.
	e.rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	list = e.addPartners(list)
	e.pexList = list
	for _, p := range e.peers {
		if p.closing || p.ext.UtPex == 0 || e.now < p.pexOut.Due() {
			continue
		}
		p.pexOut.Rules = e.pexRules(p)
		if u, ok := p.pexOut.Next(e.now, list); ok {
			e.scratch = pex.Append(e.scratch[:0], u)
			e.sendExt(p, p.ext.UtPex, e.scratch)
			e.cmds[len(e.cmds)-1].Timed = true // the interval starts when the message has been written
		}
	}
}

// pexSoonPeers is the number of connections up to which a new peer is sent to others at once.
// With many, sending often costs much, and each peer knows enough others.
const pexSoonPeers = 50

// sendPexSoon makes the next round of sendPex due soon: a peer that cannot be dialed waits for
// others to learn of it from us.
func (e *Engine) sendPexSoon() {
	if len(e.peers) <= pexSoonPeers {
		e.pexAt = min(e.pexAt, e.now.Add(time.Second))
	}
}

// goPrivate disables DHT and PEX and drops the peers found by them, as BEP 27 requires.
func (e *Engine) goPrivate() {
	e.book.setPrivate()
	for _, p := range slices.Clone(e.peers) {
		if p.incoming || p.closing {
			continue
		}
		if e.book.isForbidden(p.addr) {
			e.close(p, FaultUseless)
		}
	}
}

// setPorts changes the ports that we send to peers, at which they reach us and our DHT node.
func (e *Engine) setPorts(ports addrs.Ports) {
	e.cfg.Ports = ports
	e.book.setPorts(ports)
}
