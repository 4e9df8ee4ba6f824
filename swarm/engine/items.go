package engine

import (
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/swarm/wire"
)

// extensionWait is how long a connection is kept that may turn out to be one for new versions: until the
// extension handshake.
const extensionWait = 10 * time.Second

// setPublications handles EvPublications. Peers that are connected learn that we support sb_item now,
// or no longer.
func (e *Engine) setPublications(ev *EvPublications) {
	was := e.push.isOn()
	e.push.set(e.now, ev.Publications)
	if e.push.isOn() == was {
		return
	}
	for _, p := range e.peers {
		if !p.closing {
			e.sendExtHandshake(p)
			e.dropUseless(p)
		}
	}
}

// pushState returns what the pusher knows about p. It is allocated when it is needed first, because most
// connections belong to no publication.
func (p *peer) pushState() *pushPeer {
	if p.push == nil {
		p.push = &pushPeer{}
	}
	return p.push
}

// sendItem sends the newest item of a publication to p, unless p has it.
func (e *Engine) sendItem(p *peer, x *pushed) {
	if p.closing || p.ext.Item == 0 || !e.push.lacks(p.pushState(), x) {
		return
	}
	e.items[ItemSent]++
	e.scratch = wire.AppendItem(e.scratch[:0], x.item)
	e.sendExt(p, p.ext.Item, e.scratch)
}

// sendItems sends the newest items to a peer that has just told us that it supports sb_item.
func (e *Engine) sendItems(p *peer) {
	for _, x := range e.push.list {
		e.sendItem(p, x)
	}
}

// pushItems sends the items that are due to every peer.
func (e *Engine) pushItems() {
	for _, x := range e.push.list {
		if !e.push.takeDue(e.now, x) {
			continue
		}
		for _, p := range e.peers {
			e.sendItem(p, x)
		}
	}
}

// onItem handles an sb_item message. The shell checks the signature of the few that are news.
func (e *Engine) onItem(p *peer, payload []byte) error {
	if !e.push.isOn() || p.ext.Item == 0 {
		return nil
	}
	if !e.push.mayReceive(e.now, p.pushState()) {
		e.refuseItem(p, ItemTooMany)
		return nil
	}
	m, err := wire.ParseItem(payload)
	if err != nil {
		return err
	}
	switch v := e.push.receive(p.push, &m); v {
	case itemNews, itemFork:
		e.wasUseful = true
		e.items[ItemChecked]++
		if v == itemFork {
			e.charge(p, noisyItem)
		}
		e.cmd(Command{Kind: CmdItem, Conn: p.conn, Addr: p.addr, Item: m.Clone()})
	case itemKnown:
		e.wasUseful = true
		e.items[ItemKnown]++
	case itemForeign:
		e.refuseItem(p, ItemForeign)
	case itemStale:
		e.refuseItem(p, ItemOld)
	}
	return nil
}

// refuseItem charges a peer for an item that nobody needs. Repeated ones get it banned.
func (e *Engine) refuseItem(p *peer, o ItemOutcome) {
	e.items[o]++
	e.wasUseful = true // it is charged here
	e.charge(p, noisyItem)
}

// onForgedItem handles EvForgedItem. Honest peers check what they pass on.
func (e *Engine) onForgedItem(ev *EvForgedItem) {
	e.items[ItemForged]++
	if p := e.conns[ev.Conn]; p != nil && !p.closing {
		e.book.ban(e.now, banKey(p.addr), e.now.Add(firstBan))
		e.close(p, FaultProtocol)
	}
}

// keepsNeighbour reports whether a connection on which neither side wants data stays, because new
// versions are pushed over it.
func (e *Engine) keepsNeighbour(p *peer) bool {
	switch {
	case !e.push.isOn():
		return false
	case p.reserved.Extended() && !p.gotExtended:
		return e.now.Sub(p.since) < extensionWait
	case p.ext.Item == 0:
		return false
	case p.neighbour:
		return true
	}
	if p.incoming && e.hostNeighbours(p) >= maxHostNeighbours {
		return false
	}
	p.neighbour = e.push.takePlace(p.incoming)
	return p.neighbour
}

// hostNeighbours counts the incoming connections of p's host that are kept. A host has a network of IPv6 addresses. On
// loopback, where all peers of a lab share an address, each port is a host.
func (e *Engine) hostNeighbours(p *peer) (n int) {
	isSame := func(o *peer) bool { return addrs.ClientNet(o.addr.Addr()) == addrs.ClientNet(p.addr.Addr()) }
	if p.addr.Addr().IsLoopback() {
		isSame = func(o *peer) bool { return o.addr == p.addr }
	}
	for _, o := range e.peers {
		if o.neighbour && o.incoming && !o.closing && isSame(o) {
			n++
		}
	}
	return n
}

// wantsNeighbours reports whether a complete torrent dials complete peers. Those that it is dialing may
// become neighbours.
func (e *Engine) wantsNeighbours() bool {
	return e.push.isOn() && e.push.dialed+e.book.dialing < maxDialedNeighbours
}

// Items counts the sb_item messages so far.
func (e *Engine) Items() ItemCounts { return e.items }

// ItemPeers returns the ids of the connected peers to which new versions are pushed.
func (e *Engine) ItemPeers() (ids []id.ID) {
	if !e.push.isOn() {
		return nil
	}
	for _, p := range e.peers {
		if !p.closing && p.ext.Item != 0 {
			ids = append(ids, p.id)
		}
	}
	return ids
}
