package engine

import (
	"net/netip"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/pex"
	"seedbed/swarm/wire"
)

const (
	// keepAliveAfter is how long we may be silent: BEP 3 has two minutes.
	keepAliveAfter = 110 * time.Second
	// silentFor is how long a peer may be silent; twice what BEP 3 has it send.
	silentFor = 4 * time.Minute
	// staleAfter: a second connection of the same peer in the same direction
	// replaces one that has been silent for so long.
	staleAfter = time.Minute
)

// peer is one connection, from EvConnected to EvClosed.
type peer struct {
	conn      Conn
	addr      netip.AddrPort // the other end
	listen    netip.AddrPort // where it can be dialled, if known
	id        id.ID
	incoming  bool
	encrypted bool
	v2        bool // met by the v2 infohash (BEP 52)
	reserved  wire.Reserved
	origin    uint32 // whom its payload is blamed on; see blame.go
	ext       wire.ExtHandshake

	since   mono.Time
	lastIn  mono.Time
	lastOut mono.Time
	closing bool
	fault   Fault // why we are closing it
	revived bool  // since we began to close it, pieces are needed that were not needed before
	began   bool  // a message came that only a bitfield may precede
	fielded bool  // a bitfield, have all or have none came
	told    bool  // our bitfield was sent

	early  early
	down   requestPeer
	choke  chokePeer
	up     upload
	meta   metaPeer
	layer  layerPeer
	hash   hashPeer
	super  superPeer
	spread spreadPeer

	dhtPorts uint8 // messages of the kind that were heeded

	noise  rate.Bucket // of messages that had no use
	pexOut pex.Sender
	pexIn  pex.Intake
}

// onConnected handles EvConnected.
func (e *Engine) onConnected(ev *EvConnected) {
	if ev.Conn == 0 || e.conns[ev.Conn] != nil {
		panic("engine: a connection number was used twice")
	}
	p := &peer{
		conn: ev.Conn, addr: unmap(ev.Addr), id: ev.PeerID, incoming: ev.Incoming, reserved: ev.Reserved,
		encrypted: ev.Encrypted, v2: ev.V2 || e.v2alone, since: e.now, lastIn: e.now, lastOut: e.now,
	}
	e.conns[p.conn] = p
	e.peers = append(e.peers, p)
	e.req.join(p.conn, &p.down)
	if !p.incoming {
		p.listen = p.addr
		e.book.dialled(e.now, p.addr, ev.Encrypted)
	}
	if f := e.refuse(p, ev.Crowded); f != FaultNone {
		e.close(p, f)
		return
	}
	p.origin = e.blame.of(banKey(p.addr))
	e.req.setOrigin(&p.down, p.origin)
	e.open++
	if !p.incoming {
		e.cmd(Command{Kind: CmdKnown, Addr: p.listen, Encrypted: p.encrypted})
	}
	e.meta.join(e.now, p.conn, &p.meta)
	e.layer.join(p.conn, &p.layer)
	e.choker.join(e.now, p.conn, &p.choke)
	e.choker.setHost(&p.choke, p.origin)
	e.uploader.join(p.conn, &p.up.uploadPeer)
	e.sendFirstMessages(p)
}

// refuse returns the fault for which a new connection is closed, or FaultNone. crowded
// says that it must take the place of another.
//
// Two connections are of one peer if they show one id and are from one host. An id is
// no secret: a peer that shows the id of another neither replaces its connection nor
// keeps it out. But a peer that delivers by its address of one family is not connected
// by that of the other too.
func (e *Engine) refuse(p *peer, crowded bool) Fault {
	switch {
	case e.stopped:
		return FaultLocal
	case p.id == e.cfg.PeerID:
		return FaultSelf
	case e.book.isBanned(e.now, p.addr):
		return FaultBanned
	}
	for _, q := range e.peers {
		if q == p || q.closing || q.id != p.id {
			continue
		}
		switch fresh, old := addrs.Host(p.addr.Addr()), addrs.Host(q.addr.Addr()); {
		case fresh == old && e.survives(p, q):
			e.close(q, FaultDuplicate)
		case fresh == old, fresh.Is4() != old.Is4() && q.down.hasDelivered():
			return FaultDuplicate
		}
	}
	if (crowded || e.open >= e.cfg.MaxConns) && !e.makeRoom() {
		return FaultUseless
	}
	return FaultNone
}

// survives reports whether fresh, of two connections to one peer, is kept instead of
// old. When the two sides have dialled each other, both keep the connection that the
// smaller peer id dialled. When one side dialled twice, the first is kept unless it
// has gone silent.
func (e *Engine) survives(fresh, old *peer) bool {
	if fresh.incoming == old.incoming {
		return e.now.Sub(old.lastIn) > staleAfter
	}
	weAreSmaller := e.cfg.PeerID.Cmp(fresh.id) < 0
	return fresh.incoming != weAreSmaller
}

// sendFirstMessages sends what comes first on a connection.
func (e *Engine) sendFirstMessages(p *peer) {
	if e.content != nil {
		e.flushFresh()
		e.sendBitfield(p)
	}
	e.sendExtHandshake(p)
	if e.cfg.DHTPort != 0 && p.reserved.DHT() { // BEP 5: both must set the bit
		e.send(p, wire.Msg{Type: wire.Port, Port: e.cfg.DHTPort})
	}
	if e.content != nil {
		e.req.hasNothing(&p.down)
		e.content.spread.join(p.conn, p.origin, &p.spread)
	}
}

// close asks the shell to close p. Its leases are kept until EvClosed, as a block may
// still be arriving.
func (e *Engine) close(p *peer, f Fault) {
	if p.closing {
		return
	}
	p.closing, p.fault = true, f
	if p.origin != 0 {
		e.open--
	}
	e.leaveSwarm(p)
	e.cmd(Command{Kind: CmdClose, Conn: p.conn, Fault: f})
}

// leaveSwarm removes p from the state of every machine, and from all counts.
func (e *Engine) leaveSwarm(p *peer) {
	e.meta.leave(&p.meta)
	e.layer.leave(&p.layer)
	e.req.close(&p.down)
	if c := e.content; c != nil {
		if has := p.down.has; has.Len() == c.n && !p.down.counted {
			for i := has.Next(0); i >= 0 && c.super.limited > 0; i = has.Next(i + 1) {
				c.super.lost(uint32(i))
			}
		}
		c.super.release(&p.super, true)
		c.spread.leave(&p.spread)
	}
	e.early -= p.early.size()
	p.early = early{}
	e.uploader.leave(&p.up.uploadPeer)
	e.choker.leave(&p.choke)
}

// onClosed handles EvClosed.
func (e *Engine) onClosed(ev *EvClosed) {
	p := e.conns[ev.Conn]
	if p == nil {
		return
	}
	f := ev.Fault
	if p.closing {
		f = p.fault
	} else {
		p.closing = true
		e.open--
		e.leaveSwarm(p)
	}
	if p.origin != 0 { // it was taken in
		e.dropped.count(f)
	}
	e.req.leave(&p.down)
	delete(e.conns, p.conn)
	for i, q := range e.peers {
		if q == p {
			e.peers = append(e.peers[:i], e.peers[i+1:]...)
			break
		}
	}
	if p.origin != 0 {
		e.blame.release(p.origin)
	}
	if !e.connectedTo(p.listen) {
		seed := e.content != nil && e.content.n > 0 && e.req.isSeed(&p.down)
		good := e.now.Sub(p.since) > time.Minute || p.down.rate.Total() > 0
		e.book.parted(e.now, p.listen, f, good, seed)
		if p.revived {
			e.book.revive(e.now)
		}
	}
}

// connectedTo reports whether a live connection leads to addr.
func (e *Engine) connectedTo(addr netip.AddrPort) bool {
	for _, p := range e.peers {
		if !p.closing && p.listen == addr {
			return true
		}
	}
	return false
}

// learnListen notes where an incoming peer listens (BEP 10 p), so that it can
// be dialled later and told to others.
func (e *Engine) learnListen(p *peer, port uint16) {
	if !p.incoming || port == 0 || p.listen.IsValid() {
		return
	}
	addr := netip.AddrPortFrom(p.addr.Addr(), port)
	if !e.book.joined(e.now, addr) {
		return
	}
	p.listen = addr
	e.cmd(Command{Kind: CmdKnown, Addr: addr})
}

// dropUseless closes p if neither side can want anything of the other, as both have
// finished downloading (BEP 21).
func (e *Engine) dropUseless(p *peer) {
	c := e.content
	if p.closing || c == nil || !c.complete || c.n == 0 {
		return
	}
	if e.req.isSeed(&p.down) || (p.ext.UploadOnly && p.told) {
		e.close(p, FaultUseless)
	}
}

// upkeep is done once a second for each peer.
func (e *Engine) upkeep(p *peer) {
	if p.closing {
		return
	}
	if e.now.Sub(p.lastIn) > silentFor {
		e.close(p, FaultTimeout)
		return
	}
	if e.now.Sub(p.lastOut) >= keepAliveAfter {
		e.send(p, wire.Msg{Type: wire.KeepAlive})
	}
	e.req.measure(&p.down)
	// A peer that waits for its turn takes nothing because it is sent nothing.
	if p.choke.unchoked && !e.paused && p.down.rate.Rate(e.now) == 0 && !p.up.waitsForTurn() {
		e.choker.dropStalled(e.now, &p.choke, chokes{e})
	}
	e.req.checkDebts(&p.down)
}
