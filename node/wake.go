package node

import (
	"context"
	"net/netip"
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

// wakeFor wakes a parked torrent for peers that a DHT node returned.
func (t *Torrent) wakeFor(from netip.AddrPort, peers []netip.AddrPort) {
	c := &t.control
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Running || t.milestones.has(isStopping) {
		return
	}
	if c.found == nil {
		c.found = new(foundPeers)
	}
	c.found.add(from, peers)
	c.intent.Wake, c.healed = true, false
	t.serve()
}

// foundPeers are peers that the DHT returned for a parked torrent.
type foundPeers struct {
	peers []netip.AddrPort
	from  netip.AddrPort // the DHT node that returned the last of them
}

// maxFound is the maximum number of peers kept for a torrent that is waking.
const maxFound = 50

func (f *foundPeers) add(from netip.AddrPort, peers []netip.AddrPort) {
	if room := maxFound - len(f.peers); room > 0 {
		f.peers, f.from = append(f.peers, peers[:min(len(peers), room)]...), from
	}
}

// takeFound returns the peers for which the torrent woke, or nil, and clears them.
func (t *Torrent) takeFound() (f *foundPeers) {
	c := &t.control
	c.mu.Lock()
	defer c.mu.Unlock()
	f, c.found = c.found, nil
	return f
}
