package peerconn

import (
	"math/rand/v2"
	"testing"

	"seedbed/internal/shaper"
	"seedbed/swarm/engine"
)

// abortableConn is a RawConn that counts the calls of Abort.
type abortableConn struct {
	choppyConn
	aborted int
}

func (c *abortableConn) Abort() { c.aborted++ }

// A connection that has ended is released, and its descriptor may be that of another connection. So
// Abort does not touch it any more.
func TestAbortAfterTheEndDoesNothing(t *testing.T) {
	r := NewResources()
	defer r.Close()
	raw := &abortableConn{choppyConn: choppyConn{rng: rand.New(rand.NewPCG(1, 2))}}
	o := &owner{frame: 1 << 10, ended: make(chan struct{})}
	c := New(raw, Config{ID: 1, Owner: o, Resources: r, Up: new(shaper.Shaper).NewFlow(), Down: new(shaper.Shaper).NewFlow()})
	c.Start()
	<-o.ended
	c.Abort(engine.FaultNetwork)
	if raw.aborted != 0 {
		t.Error("a connection was aborted that had been released")
	}

	raw = &abortableConn{}
	c = New(raw, Config{ID: 2, Owner: o, Resources: r, Up: new(shaper.Shaper).NewFlow(), Down: new(shaper.Shaper).NewFlow()})
	c.Abort(engine.FaultNetwork)
	if raw.aborted != 1 || !c.closed.Load() || c.fault != engine.FaultNetwork {
		t.Errorf("aborted %d times, fault %v", raw.aborted, c.fault)
	}
}
