package node

import (
	"context"

	"seedbed/swarm/engine"
)

// wake starts the torrent if it is parked and returns its run, or nil if it does not run.
// It waits for the worker until ctx ends.
func (t *Torrent) wake(ctx context.Context) *run {
	if r := t.run.Load(); r != nil {
		return r
	}
	t.control.mu.Lock()
	if !t.control.state.Running {
		t.control.intent.Wake, t.control.healed = true, false
		t.serve()
	}
	rested := t.control.untilRest()
	t.control.mu.Unlock()
	select {
	case <-rested:
	case <-ctx.Done():
	}
	return t.run.Load()
}

// wakeFor wakes a parked torrent for peers that have been found. An Archive waits for peers that connect: most
// of those that are found share the same thing.
func (t *Torrent) wakeFor(peers []engine.Candidate) {
	if t.isArchive() {
		return
	}
	c := &t.control
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Running || t.milestones.has(isStopping) {
		return
	}
	if c.found == nil { // a pointer, because there are many parked torrents
		c.found = new([]engine.Candidate)
	}
	*c.found = append(*c.found, peers[:min(len(peers), maxFound-len(*c.found))]...)
	c.intent.Wake, c.healed = true, false
	t.serve()
}

// maxFound is the maximum number of peers kept for a torrent that is waking.
const maxFound = 50

// takeFound returns the peers for which the torrent woke, and clears them.
func (t *Torrent) takeFound() (peers []engine.Candidate) {
	c := &t.control
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found != nil {
		peers, c.found = *c.found, nil
	}
	return peers
}
