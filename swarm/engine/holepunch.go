package engine

import (
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/swarm/wire"
)

// This file is the engine's side of hole punching (BEP 55), in all three roles.
//
// A peer behind a router cannot be dialed. A peer that is connected to both of us, the
// relay, tells each the address of the other. Both then connect over uTP at the same time,
// and each opens its own router for the other:
//
//	initiator ──rendezvous──▶ relay
//	initiator ◀──connect───── relay ──connect──▶ target
//	initiator ◀───────────uTP SYN──────────────▶ target
//
// A relay can lie. The packets that it makes us send to a third party are limited by the
// puncher and, for all torrents together, by the shell. They go only to addresses that PEX
// could name, and never to ports below 1024. Private addresses are accepted only from a
// relay that is in a private network itself, as in PEX: it can reach them anyway.
//
// If both connections succeed, the one with the smaller peer id survives, as after any two
// dials that cross. A hole punch that fails leaves no trace in the book: the peer may be
// dialed over TCP as before.

// Punches returns the numbers of hole punches so far.
func (e *Engine) Punches() PunchCounts { return e.punch.counts }

// usesHolepunch reports whether we offer ut_holepunch. A private torrent does not: only the
// tracker may name its peers (BEP 27).
func (e *Engine) usesHolepunch() bool { return e.cfg.Holepunch && !e.book.private && !e.stopped }

// expectPunch prepares a hole punch to c, which is being dialed or was dialed without success,
// if a dial is not likely to succeed.
func (e *Engine) expectPunch(c *candidate) {
	switch {
	case !e.usesHolepunch() || !c.needsPunch():
	case c.state == candDialing && !c.punch.worked:
		e.punch.watchDial(e.now, c.addr)
	default:
		e.askIntroducer(c.addr)
	}
}

// askLate requests hole punches to the peers that have not answered a dial so far.
func (e *Engine) askLate() {
	for {
		addr, ok := e.punch.takeLate(e.now)
		if !ok {
			return
		}
		e.askIntroducer(addr)
	}
}

// askIntroducer asks a connected peer that has named addr by PEX for a hole punch.
func (e *Engine) askIntroducer(addr netip.AddrPort) {
	c := e.book.find(addr)
	if c == nil || len(e.peers) == 0 || !e.usesHolepunch() || !e.book.mayRequestPunch(e.now, c) {
		return
	}
	start := e.rng.IntN(len(e.peers)) // a second request goes to another relay, if there are several
	for i := range e.peers {
		p := e.peers[(start+i)%len(e.peers)]
		if p.closing || p.ext.HolePunch == 0 || !p.pexIn.Announces(c.addr) || !e.punch.request(e.now, &p.punch, p.conn, c.addr) {
			continue
		}
		e.book.punchRequested(e.now, c)
		e.sendHolepunch(p, wire.HolepunchMsg{Type: wire.HolepunchRendezvous, Addr: c.addr})
		return
	}
}

func (e *Engine) sendHolepunch(p *peer, m wire.HolepunchMsg) {
	e.scratch = wire.AppendHolepunch(e.scratch[:0], m)
	e.sendExt(p, p.ext.HolePunch, e.scratch)
}

// onHolepunch handles a ut_holepunch message. BEP 55: messages of a peer that does not
// support the extension are ignored.
func (e *Engine) onHolepunch(p *peer, payload []byte) error {
	m, err := wire.ParseHolepunch(payload)
	if err != nil || p.ext.HolePunch == 0 || !e.usesHolepunch() {
		return err
	}
	switch m.Type {
	case wire.HolepunchRendezvous:
		e.onRendezvous(p, m.Addr)
	case wire.HolepunchConnect:
		e.onPunch(p, m.Addr)
	case wire.HolepunchError:
		e.onPunchRefused(p, m)
	}
	return nil
}

// onRendezvous acts as the relay between p and the peer at addr.
func (e *Engine) onRendezvous(p *peer, addr netip.AddrPort) {
	if !e.punch.mayRelay(e.now, &p.punch) {
		return
	}
	e.wasUseful = true
	q, err := e.punchTarget(p, addr)
	if err != 0 {
		e.sendHolepunch(p, wire.HolepunchMsg{Type: wire.HolepunchError, Addr: addr, Err: err})
		return
	}
	if e.punch.relay(e.now, &q.punch) {
		e.sendHolepunch(q, wire.HolepunchMsg{Type: wire.HolepunchConnect, Addr: p.punchAddr()})
		e.sendHolepunch(p, wire.HolepunchMsg{Type: wire.HolepunchConnect, Addr: q.punchAddr()})
	}
}

// punchTarget returns the peer at addr, if both it and p can be told to connect to each other.
func (e *Engine) punchTarget(p *peer, addr netip.AddrPort) (*peer, wire.HolepunchErr) {
	if addr.Port() == 0 || addrs.ScopeOf(addr.Addr()) == addrs.Never {
		return nil, wire.NoSuchPeer
	}
	if e.book.isSelf(addr) {
		return nil, wire.NoSelf
	}
	var q *peer
	for _, x := range e.peers {
		if x != p && !x.closing && (x.listen == addr || x.addr == addr) {
			q = x
			break
		}
	}
	switch {
	case q == nil:
		return nil, wire.NotConnected
	case q.ext.HolePunch == 0:
		return nil, wire.NoSupport
	case !e.mayIntroduce(p, q) || !e.mayIntroduce(q, p):
		return nil, wire.NotConnected
	}
	return q, 0
}

// mayIntroduce reports whether q may be told to connect to p. A peer of a private network is
// not introduced to one of the internet, because neither can reach the other.
func (e *Engine) mayIntroduce(p, q *peer) bool {
	return e.mayPunch(q, p.punchAddr())
}

// punchAddr returns the address at which p receives uTP, or the zero address. Over uTP that
// is the remote address, as p's router maps it, because a peer has one socket for uTP. The
// remote port of a TCP connection is useless, so it is the port on which p listens.
func (p *peer) punchAddr() netip.AddrPort {
	if p.utp {
		return p.addr
	}
	return p.listen
}

// mayPunch reports whether a hole punch to addr may be arranged between addr and p, or at the
// request of p.
func (e *Engine) mayPunch(p *peer, addr netip.AddrPort) bool {
	r := e.pexRules(p)
	return addr.Port() >= MinUnprovenPort && r.Allow(addr)
}

// onPunch begins a hole punch to addr, as the relay p tells us. BEP 55: it is ignored
// silently if we are connected to addr or do not wish to connect.
func (e *Engine) onPunch(p *peer, addr netip.AddrPort) {
	if !e.mayPunch(p, addr) || e.book.isBanned(e.now, addr) || e.hasConnection(addr) ||
		e.open >= e.cfg.MaxConns+e.replaceable || !e.punch.begin(e.now, &p.punch, p.conn, addr) {
		return
	}
	e.wasUseful = true
	c := e.book.find(addr)
	e.cmd(Command{Kind: CmdPunch, Addr: addr, Encrypted: c != nil && c.encrypted})
}

// hasConnection reports whether a live connection leads to addr or comes from there.
func (e *Engine) hasConnection(addr netip.AddrPort) bool {
	for _, p := range e.peers {
		if !p.closing && (p.addr == addr || p.listen == addr) {
			return true
		}
	}
	return false
}

// onPunchRefused handles the answer of a relay that cannot arrange a hole punch. Then another
// one may be asked.
func (e *Engine) onPunchRefused(p *peer, m wire.HolepunchMsg) {
	if !e.punch.refused(e.now, p.conn, m.Addr) {
		return
	}
	e.wasUseful = true
	p.pexIn.Drop(m.Addr) // it is not connected to it, or cannot help
	e.book.punchRefused(e.now, m.Addr, m.Err != wire.NoSupport)
	e.askIntroducer(m.Addr)
}
