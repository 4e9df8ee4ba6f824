package swarm

import (
	"net/netip"
	"slices"

	"seedbed/swarm/engine"
)

// NetworkChanged says that this machine now reaches other machines by another path. It closes the
// connections for which isLost returns true, and dials their peers again soon. local is
// unspecified for a connection over uTP. isLost is called on the loop and must return soon.
func (t *Torrent) NetworkChanged(isLost func(local, remote netip.Addr) bool) {
	t.inbox.post(item{fn: func() {
		ev := new(engine.EvNetwork)
		for n, c := range t.conns {
			if c.local.IsValid() && isLost(c.local, c.addr.Addr()) {
				ev.Lost = append(ev.Lost, n)
			}
		}
		slices.Sort(ev.Lost)
		t.engMu.Lock()
		t.eng.Step(t.now(), ev)
		t.engMu.Unlock()
	}})
}
