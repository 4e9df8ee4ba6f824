package engine

import (
	"slices"
	"time"

	"seedbed/internal/fifo"
	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// The data of a torrent can be elsewhere, and out of reach for a while. A peer that requests such a piece is told that we do
// not have it (lt_donthave, BEP 54), so that it requests pieces that we can send. When the data can be reached again, it is
// told that we have the piece.

const (
	// refuseAfter is how long a peer that does not support lt_donthave waits until its request is rejected. It
	// would request the same block again at once.
	refuseAfter = 10 * time.Second
	// maxAway is how many pieces a peer is told not to request. Further ones are like those of a peer without lt_donthave.
	maxAway = 4096
)

// away is what a peer has requested that is out of reach.
type away struct {
	pieces  []uint32                 // it was told that we do not have them
	refused fifo.Queue[refusedBlock] // to be rejected later, the oldest first
}

// refusedBlock is a request that is going to be rejected.
type refusedBlock struct {
	block Block
	at    mono.Time // of the request
}

// onAway handles BlockAway.
func (e *Engine) onAway(p *peer, b Block) {
	e.uploader.done(&p.up.uploadPeer, b)
	if p.up.away == nil {
		p.up.away = new(away)
	}
	a := p.up.away
	isTold := p.ext.LtDontHave != 0 && slices.Contains(a.pieces, b.Piece) // the request may have been on the way
	if p.ext.LtDontHave != 0 && !isTold && len(a.pieces) < maxAway {
		isTold = true
		a.pieces = append(a.pieces, b.Piece)
		e.sendExt(p, p.ext.LtDontHave, wire.AppendDontHave(e.scratch[:0], b.Piece))
	}
	if isTold || a.refused.Len() >= ourReqq {
		e.reject(p, b)
	} else {
		a.refused.Push(refusedBlock{b, e.now})
	}
}

// rejectAway rejects the requests that have waited long enough.
func (e *Engine) rejectAway(p *peer) {
	a := p.up.away
	for a != nil && a.refused.Len() > 0 && e.now.Sub(a.refused.Front().at) >= refuseAfter {
		e.reject(p, a.refused.Pop().block)
	}
}

// onReachable handles EvReachable.
func (e *Engine) onReachable() {
	for _, p := range e.peers {
		a := p.up.away
		if a == nil {
			continue
		}
		for _, piece := range a.pieces {
			if !p.closing && e.content.have.Has(int(piece)) {
				e.send(p, wire.Msg{Type: wire.Have, Index: piece})
			}
		}
		a.pieces = nil
	}
}
