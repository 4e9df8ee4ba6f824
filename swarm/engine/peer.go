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
	// keepAliveAfter is how long we may stay silent: BEP 3 says two minutes.
	keepAliveAfter = 110 * time.Second
	// silentFor is how long a peer may stay silent: twice what BEP 3 says.
	silentFor = 4 * time.Minute
	// staleAfter is how long a connection must have been silent for a second one of the
	// same peer in the same direction to replace it.
	staleAfter = time.Minute
)

// peer is one connection, from EvConnected to EvClosed.
type peer struct {
	conn      Conn
	addr      netip.AddrPort // the remote end
	listen    netip.AddrPort // where it can be dialed, if known
	id        id.ID
	incoming  bool
	encrypted bool
	utp       bool // connected over uTP (BEP 29)
	punched   bool // connected by a hole punch (BEP 55)
	v2        bool // connected by the v2 infohash (BEP 52)
	reserved  wire.Reserved
	origin    uint32 // identifies the peer when its payload is bad; see blame.go
	ext       wire.ExtHandshake

	since        mono.Time
	lastIn       mono.Time
	lastOut      mono.Time
	closing      bool
	fault        Fault // why we are closing it
	revived      bool  // pieces became needed again after we began to close it
	pastBitfield bool  // a message was received that must not precede a bitfield
	gotExtended  bool  // an extension handshake was received
	neighbour    bool  // see keepsNeighbour
	gotBitfield  bool  // a bitfield, have all or have none was received
	sentBitfield bool  // our bitfield was sent

	early   early
	down    requestPeer
	choke   chokePeer
	up      upload
	meta    metaPeer
	layer   layerPeer
	hash    hashPeer
	compare comparePeer
	super   superPeer
	spread  spreadPeer
	punch   punchPeer
	push    *pushPeer // nil if it was never needed

	dhtPorts   uint8     // PORT messages that were used
	dialBackAt mono.Time // when it may ask us again to dial back

	noise  rate.Bucket // charged for messages without a use
	pexOut pex.Sender
	pexIn  pex.Intake
}

// onConnected handles EvConnected.
func (e *Engine) onConnected(ev *EvConnected) {
	if ev.Conn == 0 || e.conns[ev.Conn] != nil {
		panic("engine: connection number reused")
	}
	p := &peer{
		conn: ev.Conn, addr: unmap(ev.Addr), id: ev.PeerID, incoming: ev.Incoming, reserved: ev.Reserved,
		encrypted: ev.Encrypted, utp: ev.UTP, v2: ev.V2 || e.v2Only, since: e.now, lastIn: e.now, lastOut: e.now,
	}
	e.conns[p.conn] = p
	e.peers = append(e.peers, p)
	e.req.join(p.conn, &p.down)
	// The other side's attempt, or a dial that had begun before, may be the one that gets through.
	p.punched = ev.Punched || p.utp && e.punch.isPending(e.now, p.addr)
	if ev.Punched {
		e.punch.end(p.addr)
	}
	switch {
	case p.incoming:
	case p.punched:
		p.listen = p.addr
		e.book.punched(e.now, p.addr)
	default:
		p.listen = p.addr
		e.book.dialSucceeded(e.now, p.addr, ev.Encrypted)
	}
	if f := e.refuse(p, ev.NodeFull); f != FaultNone {
		e.close(p, f)
		return
	}
	p.origin = e.blame.of(banKey(p.addr))
	e.req.setOrigin(&p.down, p.origin)
	e.open++
	if !p.incoming && !p.punched {
		e.cmd(Command{Kind: CmdKnown, Addr: p.listen, Encrypted: p.encrypted})
	}
	e.meta.join(e.now, p.conn, &p.meta)
	e.layer.join(p.conn, &p.layer)
	e.choker.join(e.now, p.conn, &p.choke)
	e.choker.setHost(&p.choke, p.origin)
	e.punch.join(e.now, &p.punch)
	if p.punched {
		e.punch.connected()
	}
	e.uploader.join(p.conn, &p.up.uploadPeer)
	e.sendFirstMessages(p)
}

// refuse returns the fault for which a new connection is closed, or FaultNone. nodeFull
// says that it must replace another.
//
// Two connections belong to the same peer if they have the same id and the same host.
// Anyone can copy an id, so a peer that uses the id of another neither replaces that
// connection nor is refused for it. However, a second connection over the other address
// family is refused if the first one delivers.
func (e *Engine) refuse(p *peer, nodeFull bool) Fault {
	switch {
	case e.stopped:
		return FaultLocal
	case p.id == e.cfg.PeerID:
		return FaultSelf
	case e.book.isBanned(e.now, p.addr):
		return FaultBanned
	case !p.incoming && (e.book.isForbidden(p.addr) || p.punched && e.book.private): // it began before goPrivate
		return FaultUseless
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
	if (nodeFull || e.open >= e.cfg.MaxConns) && !e.replaceWorst() && !e.replaceLowest(p) {
		return FaultUseless
	}
	return FaultNone
}

// survives reports whether fresh is kept instead of old, where both connect to the same
// peer. If each side has dialed the other, both keep the connection that the smaller
// peer id dialed. If one side has dialed twice, the first is kept unless it has gone
// silent.
func (e *Engine) survives(fresh, old *peer) bool {
	if fresh.incoming == old.incoming {
		return e.now.Sub(old.lastIn) > staleAfter
	}
	weAreSmaller := e.cfg.PeerID.Cmp(fresh.id) < 0
	return fresh.incoming != weAreSmaller
}

// sendFirstMessages sends the messages that start a connection.
func (e *Engine) sendFirstMessages(p *peer) {
	if e.content != nil {
		e.flushFresh()
		e.sendBitfield(p)
	}
	e.sendExtHandshake(p)
	if e.cfg.HasDHT && p.reserved.DHT() { // BEP 5: both must set the bit
		e.send(p, wire.Msg{Type: wire.Port, Port: e.cfg.Ports.For(p.addr.Addr())})
	}
	if e.content != nil {
		e.req.hasNothing(&p.down)
		e.content.spread.join(p.conn, p.origin, &p.spread)
	}
}

// close asks the shell to close p. Its leases last until EvClosed, because a block may
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

// leaveSwarm removes p from the state of every machine and from all counts.
func (e *Engine) leaveSwarm(p *peer) {
	if p.neighbour {
		e.push.freePlace(p.incoming)
	}
	e.meta.leave(&p.meta)
	e.layer.leave(&p.layer)
	e.stopAsking(p)
	e.req.close(&p.down)
	if c := e.content; c != nil {
		if has := p.down.has; has.Len() == c.n && !p.down.counted {
			for i := has.Next(0); i >= 0 && c.super.limited > 0; i = has.Next(i + 1) {
				c.super.noteLost(uint32(i))
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
	if p.origin != 0 { // it had been accepted
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
		e.book.disconnected(e.now, p.listen, f, good, seed, seed && e.push.isOn() && p.ext.Item != 0)
		if p.neighbour {
			e.book.wake(e.now) // another seed may take its place
		}
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

// learnListen records where an incoming peer listens (BEP 10 p), so that it can be
// dialed later and sent to other peers.
func (e *Engine) learnListen(p *peer, port uint16) {
	if !p.incoming || port == 0 || p.listen.IsValid() {
		return
	}
	addr := netip.AddrPortFrom(p.addr.Addr(), port)
	if !e.book.addIncoming(e.now, addr) {
		return
	}
	p.listen = addr
	e.cmd(Command{Kind: CmdKnown, Addr: addr})
}

// dropUseless closes p if neither side can want anything from the other because both have
// finished downloading (BEP 21).
func (e *Engine) dropUseless(p *peer) {
	c := e.content
	if p.closing || c == nil || !c.complete || c.n == 0 {
		return
	}
	if (e.req.isSeed(&p.down) || (p.ext.UploadOnly && p.sentBitfield)) && !e.keepsNeighbour(p) {
		e.close(p, FaultUseless)
	}
}

// upkeep checks one peer; it is called once per second.
func (e *Engine) upkeep(p *peer) {
	if p.closing {
		return
	}
	if e.now.Sub(p.lastIn) > silentFor {
		e.close(p, FaultTimeout)
		return
	}
	if e.push.isOn() {
		if e.dropUseless(p); p.closing {
			return
		}
	}
	if e.now.Sub(p.lastOut) >= keepAliveAfter {
		e.send(p, wire.Msg{Type: wire.KeepAlive})
	}
	e.rejectAway(p)
	e.req.measure(&p.down)
	// A peer that waits for its turn, or for data from elsewhere, takes nothing because we send it nothing.
	if p.choke.unchoked && !e.paused && p.down.rate.Rate(e.now) == 0 && !p.up.waitsForUs() {
		e.choker.dropStalled(e.now, &p.choke, chokeAdapter{e})
	}
	e.req.checkOverdue(&p.down)
}
