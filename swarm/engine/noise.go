package engine

import "seedbed/internal/rate"

// Some messages make sense: requests that are taken, pieces that we did not know
// of, answers to what was asked. The others are few with an honest peer: it
// toggles its interest, sends keepalives, asks across a choke. Whoever sends more
// of them than that has us work and answer for nothing, and is banned.
const (
	noiseRate  = 64   // messages a second
	noiseBurst = 4096 // two full queues of requests that crossed our choke, and again
)

// hear counts a message that makes no sense.
func (e *Engine) hear(p *peer) {
	if !e.sense {
		e.charge(p, 1)
	}
}

// charge takes the cost of messages that make no sense off what p may send of them.
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
