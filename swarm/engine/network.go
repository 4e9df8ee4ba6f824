package engine

import (
	"time"

	"seedbed/internal/mono"
)

// retryNetwork is the longest time until a peer is dialed again after our network has changed.
// The time is random, so that not all are dialed at once.
const retryNetwork = 2 * time.Second

// networkChanged makes addresses eligible again whose last failure says nothing about the peer:
// there was no route to it, or it is known to be a peer.
func (b *book) networkChanged(now mono.Time) {
	for i := range b.list {
		c := &b.list[i]
		if c.state != candIdle || c.fails == 0 || !c.unreached && !c.answered {
			continue
		}
		if h := b.hostOf(c); h != nil {
			h.fails, h.next = 0, min(h.next, now)
		}
		b.retrySoon(now, c)
	}
}

// retrySoon forgets the failures of c and makes it eligible again within retryNetwork.
func (b *book) retrySoon(now mono.Time, c *candidate) {
	c.fails, c.unreached = 0, false
	b.deferDial(now, c, time.Duration(b.rng.Int64N(int64(retryNetwork))))
}
