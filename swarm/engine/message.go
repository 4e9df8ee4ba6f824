package engine

import (
	"net/netip"
	"slices"

	"seedbed/internal/bitset"
	"seedbed/internal/rate"
	"seedbed/swarm/wire"
)

// Limits on what a peer can make us remember.
const (
	maxEarly     = 8 << 20 // bytes of bitfields of all peers until the number of pieces is known
	maxEarlyList = 1 << 14 // haves of one peer until then
	maxDHTPorts  = 4       // DHT ports of one peer
)

// Some short messages cost much work. Each of these amounts of work is charged like one
// useless message.
const (
	piecesMoved   = 1 << 10 // pieces whose availability changes
	piecesLooked  = 1 << 14 // pieces scanned, 64 at a time
	requestsMoved = 16      // blocks that must be requested again
)

// early is what a peer has announced before the number of pieces is known.
type early struct {
	all   bool
	bits  []byte
	haves []uint32
}

func (x *early) size() int { return len(x.bits) + 4*cap(x.haves) }

// handleMessage handles EvMessage.
func (e *Engine) handleMessage(p *peer, m *wire.Msg) {
	switch m.Type {
	case wire.Suggest, wire.HaveAll, wire.HaveNone, wire.Reject, wire.AllowedFast:
		if !p.reserved.Fast() { // BEP 6: both must set the bit
			e.close(p, FaultProtocol)
			return
		}
	}
	switch m.Type {
	case wire.KeepAlive:

	case wire.Choke:
		e.req.noteChoke(&p.down)
		if !p.reserved.Fast() { // BEP 6: with the fast extension a choke does not reject requests
			e.charge(p, float64(p.down.out())/requestsMoved)
			e.req.release(&p.down, true)
		}
	case wire.Unchoke:
		e.req.noteUnchoke(&p.down)

	case wire.Interested:
		e.choker.setInterested(e.now, &p.choke, chokeAdapter{e})
	case wire.NotInterested:
		e.choker.setNotInterested(&p.choke)

	case wire.Bitfield, wire.HaveAll, wire.HaveNone:
		// BEP 3: the bitfield is sent only as the first message; BEP 6 says the same of
		// have all and have none. We allow extension messages, chokes, unchokes and
		// messages about hashes before it: clients that start from a magnet link send the
		// bitfield once they know its length, for which they may need the hashes (BEP
		// 52). aria2 sends a bitfield or have all later too, when it is shorter than the
		// pending haves.
		switch {
		case !p.gotBitfield && !p.pastBitfield:
			p.gotBitfield = true
			e.onField(p, m)
		case m.Type == wire.HaveNone:
			e.close(p, FaultProtocol)
		default:
			e.onLateField(p, m)
		}
	case wire.Have:
		p.pastBitfield = true
		e.onHave(p, m.Index)

	case wire.Request:
		p.pastBitfield = true
		e.onRequest(p, Block{m.Index, m.Begin, m.Length})
	case wire.Cancel:
		p.pastBitfield = true
		e.onCancel(p, Block{m.Index, m.Begin, m.Length})
	case wire.Reject:
		p.pastBitfield = true
		e.onReject(p, Block{m.Index, m.Begin, m.Length})

	case wire.Suggest:
		if e.inRange(p, m.Index) {
			e.req.noteSuggest(&p.down, m.Index)
		}
	case wire.AllowedFast:
		if e.inRange(p, m.Index) {
			e.req.noteAllowed(&p.down, m.Index)
		}

	case wire.Port:
		if m.Port != 0 && p.dhtPorts < maxDHTPorts { // BEP 5
			p.dhtPorts++
			e.cmd(Command{Kind: CmdDHTNode, Addr: netip.AddrPortFrom(p.addr.Addr(), m.Port)})
		}
	case wire.HashRequest, wire.Hashes, wire.HashReject:
		e.onHash(p, m)
	case wire.Extended:
		e.onExtended(p, m)
	}
}

// inRange reports whether index can be used now. An index that cannot exist is a protocol
// violation.
func (e *Engine) inRange(p *peer, index uint32) bool {
	if e.content == nil {
		return false
	}
	if int64(index) >= int64(e.content.n) {
		e.close(p, FaultProtocol)
		return false
	}
	return true
}

func (e *Engine) onField(p *peer, m *wire.Msg) {
	if e.content != nil {
		e.setField(p, m.Type == wire.HaveAll, m.Payload)
		return
	}
	switch {
	case m.Type == wire.HaveAll:
		p.early.all = true
	case len(m.Payload) > maxEarly-e.early:
		e.close(p, FaultUseless) // no space left to remember it
	default:
		p.early.bits = slices.Clone(m.Payload)
		e.early += len(p.early.bits)
	}
}

// onLateField treats a bitfield or have all as the haves it stands for.
func (e *Engine) onLateField(p *peer, m *wire.Msg) {
	switch c := e.content; {
	case c != nil:
		e.addPieces(p, m)
	case p.early.all:
	case m.Type == wire.HaveAll || p.early.bits == nil:
		e.onField(p, m)
	case len(m.Payload) != len(p.early.bits):
		e.close(p, FaultProtocol)
	default:
		for i, b := range m.Payload {
			p.early.bits[i] |= b
		}
	}
}

// addPieces adds the pieces of a late bitfield or have all to those of p.
func (e *Engine) addPieces(p *peer, m *wire.Msg) {
	c := e.content
	var fresh bitset.Set
	if m.Type == wire.Bitfield {
		var err error
		if fresh, err = bitset.Parse(m.Payload, c.n); err != nil {
			e.close(p, FaultProtocol)
			return
		}
	}
	if p.down.nHas == c.n {
		return
	}
	if m.Type == wire.HaveAll {
		fresh = bitset.New(c.n)
		fresh.Fill()
		e.charge(p, float64(c.n)/piecesLooked)
	}
	fresh.RemoveAll(p.down.has)
	n := fresh.Count()
	if n == 0 || p.closing {
		return
	}
	e.wasUseful = true
	e.req.addPieces(&p.down, fresh, n)
	for i := fresh.Next(0); i >= 0 && p.super.shown.Len() > 0; i = fresh.Next(i + 1) {
		c.super.noteRequest(&p.super, uint32(i))
	}
	e.updateInterest(p)
	if e.req.isSeed(&p.down) {
		e.dropUseless(p)
	}
}

// decodeEarly applies what p announced before the number of pieces was known.
func (e *Engine) decodeEarly(p *peer) {
	e.req.hasNothing(&p.down)
	x := p.early
	e.early -= x.size()
	p.early = early{}
	if x.all || x.bits != nil {
		e.setField(p, x.all, x.bits)
	}
	for _, i := range x.haves {
		if p.closing {
			return
		}
		e.onHave(p, i)
	}
	e.dropUseless(p)
}

// Counting the pieces of a large bitfield is work that a peer can cause again with each
// connection. An IP address may cause fieldBurst units of fieldPieces pieces at once, and
// fieldRate units per second. Torrents with fewer than fieldPieces pieces are not
// limited.
const (
	fieldPieces = 1 << 16
	fieldRate   = 8
	fieldBurst  = 256
	fieldPlaces = 1 << 10 // addresses remembered
)

// mayCountBitfield charges the address of p for a bitfield and reports whether the bitfield may
// be counted.
func (e *Engine) mayCountBitfield(p *peer) bool {
	blocks := e.content.n / fieldPieces
	if blocks == 0 {
		return true
	}
	if e.bitfieldRates == nil {
		e.bitfieldRates = rate.NewSources(fieldRate, fieldBurst, fieldPlaces, e.rng)
	}
	for range blocks {
		if _, ok := e.bitfieldRates.Take(e.now, rate.SourceOf(p.addr.Addr())); !ok {
			return false
		}
	}
	return true
}

// setField sets all pieces of a peer: everything, or those in bits.
func (e *Engine) setField(p *peer, all bool, bits []byte) {
	c := e.content
	if bits != nil {
		if !e.mayCountBitfield(p) {
			e.close(p, FaultUseless)
			return
		}
		has, err := bitset.Parse(bits, c.n)
		if err != nil {
			e.close(p, FaultProtocol)
			return
		}
		e.req.hasPieces(&p.down, has)
	} else if all {
		e.req.hasAll(&p.down)
	}
	e.updateInterest(p)
	e.dropUseless(p)
}

func (e *Engine) onHave(p *peer, index uint32) {
	c := e.content
	if c == nil {
		e.wasUseful = true
		// Beyond the limit haves are ignored, which harms only the peer itself.
		if !p.early.all && len(p.early.haves) < maxEarlyList && e.early < maxEarly {
			before := p.early.size()
			p.early.haves = append(p.early.haves, index)
			e.early += p.early.size() - before
		}
		return
	}
	if !e.inRange(p, index) || p.down.nHas == c.n || p.down.has.Has(int(index)) {
		return
	}
	e.wasUseful = true
	e.req.addPiece(&p.down, index)
	c.spread.noteHave(e.now, &p.spread, index)
	c.super.noteRequest(&p.super, index)
	e.updateInterest(p)
	if e.req.isSeed(&p.down) {
		e.dropUseless(p)
	}
}

// onDontHave handles lt_donthave (BEP 54).
func (e *Engine) onDontHave(p *peer, index uint32) {
	c := e.content
	if !e.inRange(p, index) || !p.down.has.Has(int(index)) {
		return
	}
	if p.down.counted {
		if e.charge(p, float64(c.n)/piecesMoved); p.closing {
			return
		}
	}
	e.req.removePiece(&p.down, index)
	c.super.noteLost(index)
	e.updateInterest(p)
}
