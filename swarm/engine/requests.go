package engine

import "seedbed/swarm/wire"

// What the engine does with the decisions of its requester, and what it tells it.

// requests is the engine as its requester sees it.
type requests struct{ e *Engine }

func (s requests) request(conn Conn, slot Slot, offset uint32, b Block) {
	s.e.cmd(Command{Kind: CmdRequest, Conn: conn, Slot: slot, Offset: offset, Block: b})
}

func (s requests) cancel(conn Conn, b Block, told bool) {
	s.e.cmd(Command{Kind: CmdCancel, Conn: conn, Block: b, Quiet: told})
}

func (s requests) store(slot Slot, b Block, round uint32) {
	s.e.cmd(Command{Kind: CmdStore, Slot: slot, WantSums: s.e.blame.isSuspect(b.Piece), Round: round, Block: b})
}

func (s requests) dropSlot(slot Slot) { s.e.cmd(Command{Kind: CmdDropSlot, Slot: slot}) }

func (s requests) hold(origin uint32)    { s.e.blame.hold(origin) }
func (s requests) release(origin uint32) { s.e.blame.release(origin) }

func (s requests) isSuspect(piece uint32) bool { return s.e.blame.isSuspect(piece) }

func (s requests) isNamed(origin, piece uint32) bool { return s.e.blame.isNamed(origin, piece) }

func (s requests) isResting(origin, piece uint32) bool {
	return s.e.blame.isResting(s.e.now, origin, piece)
}

// unwantedCost bytes that nobody asked for cost a peer as much as a message that
// makes no sense.
const unwantedCost = 1 << 10

// onUnwanted handles BlockUnwanted.
func (e *Engine) onUnwanted(p *peer, b Block) {
	if !e.req.unwanted(&p.down, b) {
		// BEP 6: blocks are sent only if they were asked for.
		e.charge(p, 1+float64(b.Length)/unwantedCost)
	}
}

// onReject handles a reject (BEP 6).
func (e *Engine) onReject(p *peer, b Block) {
	known, tooMany := e.req.noteReject(&p.down, b)
	e.hadUse = known
	if tooMany {
		e.close(p, FaultUseless)
	}
}

// updateInterest keeps our interest in p in step with what it has.
func (e *Engine) updateInterest(p *peer) {
	if p.closing || !p.told || !e.req.updateInterest(&p.down) {
		return
	}
	t := wire.NotInterested
	if p.down.interested {
		t = wire.Interested
	}
	e.send(p, wire.Msg{Type: t})
}

// updateInterests does so for all peers.
func (e *Engine) updateInterests() {
	for _, p := range e.peers {
		e.updateInterest(p)
	}
}
