package engine

import "seedbed/internal/rate"

// A message is useful if it is a request that we accept, announces new pieces, or answers
// us. Honest peers send few others: they toggle their interest, send keepalives, or
// request blocks before our choke arrives. A peer that sends many useless messages makes
// us work for nothing and is banned.
const (
	noiseRate  = 64   // messages per second
	noiseBurst = 4096 // two full queues of requests that crossed our choke, twice
)

// chargeNoise charges a peer for the current message if it was useless.
func (e *Engine) chargeNoise(p *peer) {
	if !e.wasUseful {
		e.charge(p, 1)
	}
}

// charge charges a peer for work worth that many useless messages.
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
