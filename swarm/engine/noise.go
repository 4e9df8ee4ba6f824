package engine

import "seedbed/internal/rate"

// Some messages have a use: requests that are taken, pieces that we did not know
// of, answers to what was asked. An honest peer sends few others: it toggles its
// interest, sends keepalives, requests blocks before a choke arrives. A peer that
// sends more of them makes us work for nothing and is banned.
const (
	noiseRate  = 64   // messages a second
	noiseBurst = 4096 // two full queues of requests that crossed our choke, and again
)

// chargeNoise charges a peer for a message that had no use.
func (e *Engine) chargeNoise(p *peer) {
	if !e.hadUse {
		e.charge(p, 1)
	}
}

// charge takes a cost, in messages that have no use, off what p may send of them.
func (e *Engine) charge(p *peer, cost float64) {
	if p.closing {
		return
	}
	if p.noise.Burst == 0 {
		p.noise = rate.NewBucket(e.now, noiseRate, noiseBurst)
	}
	if !p.noise.Take(e.now, cost) {
		e.book.ban(e.now, banKey(p.addr), e.now.Add(firstBan))
		e.close(p, FaultProtocol)
	}
}
