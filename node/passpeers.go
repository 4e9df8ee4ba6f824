package node

import "seedbed/swarm/engine"

// maxPassed is the number of addresses that PassPeers passes on: the connected peers first.
const maxPassed = 100

// PassPeers makes the peers of t the first that another torrent dials. The two are versions of one
// publication, whose followers have the new version soon if not already.
func (t *Torrent) PassPeers(to *Torrent) {
	r := t.run.Load()
	if r == nil || t == to {
		return
	}
	var list []engine.Candidate
	for _, p := range r.swarm.Peers() {
		if p.Listen.IsValid() && !isMirror(p.Addr.Addr()) && len(list) < maxPassed {
			list = append(list, engine.Candidate{Addr: p.Listen, Source: engine.FromPublication, Encrypted: p.Encrypted})
		}
	}
	for _, c := range r.known.candidates() {
		if len(list) < maxPassed {
			list = append(list, c)
		}
	}
	if len(list) > 0 {
		to.offer(list)
	}
}

// offer passes candidates to the swarm of a torrent, or leaves them for the one that starts next.
func (t *Torrent) offer(list []engine.Candidate) {
	if r := t.run.Load(); r != nil {
		r.swarm.AddCandidates(list)
		return
	}
	c := &t.control
	c.mu.Lock()
	if c.found == nil {
		c.found = new([]engine.Candidate)
	}
	*c.found = append(list, *c.found...)
	c.mu.Unlock()
	if r := t.run.Load(); r != nil { // it has started in the meantime
		r.swarm.AddCandidates(t.takeFound())
	}
}
