package engine

import (
	"seedbed/internal/bitset"
	"seedbed/swarm/wire"
)

// This file connects the requester to the engine.

// requestAdapter implements requestSink.
type requestAdapter struct{ e *Engine }

func (s requestAdapter) request(conn Conn, slot Slot, offset uint32, b Block) {
	s.e.cmd(Command{Kind: CmdRequest, Conn: conn, Slot: slot, Offset: offset, Block: b})
}

func (s requestAdapter) cancel(conn Conn, b Block, rejected bool) {
	s.e.cmd(Command{Kind: CmdCancel, Conn: conn, Block: b, Rejected: rejected})
}

func (s requestAdapter) store(slot Slot, b Block, round uint32, kept bitset.Set) {
	s.e.cmd(Command{Kind: CmdStore, Slot: slot, WantSums: s.e.blame.isSuspect(b.Piece), Round: round, Block: b, Kept: kept})
}

func (s requestAdapter) dropSlot(slot Slot) { s.e.cmd(Command{Kind: CmdDropSlot, Slot: slot}) }

func (s requestAdapter) hold(origin uint32)    { s.e.blame.hold(origin) }
func (s requestAdapter) release(origin uint32) { s.e.blame.release(origin) }

func (s requestAdapter) isSuspect(piece uint32) bool { return s.e.blame.isSuspect(piece) }

func (s requestAdapter) hasContributed(origin, piece uint32) bool {
	return s.e.blame.hasContributed(origin, piece)
}

func (s requestAdapter) isResting(origin, piece uint32) bool {
	return s.e.blame.isResting(s.e.now, origin, piece)
}

// unwantedCost is how many bytes of blocks that were not requested cost a peer as much as
// one useless message.
const unwantedCost = 1 << 10

// onUnwanted handles BlockUnwanted.
func (e *Engine) onUnwanted(p *peer, b Block) {
	if !e.req.unwanted(&p.down, b) {
		// BEP 6: blocks are sent only on request.
		e.charge(p, 1+float64(b.Length)/unwantedCost)
	}
}

// onReject handles a reject (BEP 6).
func (e *Engine) onReject(p *peer, b Block) {
	known, tooMany := e.req.noteReject(&p.down, b)
	e.wasUseful = known
	if tooMany {
		e.close(p, FaultUseless)
	}
}

// updateInterest sends p our interest if it has changed.
func (e *Engine) updateInterest(p *peer) {
	if p.closing || !p.sentBitfield || !e.req.updateInterest(&p.down) {
		return
	}
	t := wire.NotInterested
	if p.down.interested {
		t = wire.Interested
	}
	e.send(p, wire.Msg{Type: t})
}

// updateInterests calls updateInterest for all peers.
func (e *Engine) updateInterests() {
	for _, p := range e.peers {
		e.updateInterest(p)
	}
}
