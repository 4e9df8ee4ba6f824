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
	if e.sense || p.closing {
		return
	}
	if p.noise.Burst == 0 {
		p.noise = rate.NewBucket(e.now, noiseRate, noiseBurst)
	}
	if !p.noise.Take(e.now, 1) {
		e.book.ban(e.now, banKey(p.addr), e.now.Add(banFor))
		e.close(p, FaultProtocol)
	}
}
