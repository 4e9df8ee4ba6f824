package engine

import (
	"testing"
	"time"
)

// dialsWithin returns the addresses that are dialed within d.
func (r *rig) dialsWithin(d time.Duration) (n int) {
	end := r.now.Add(d)
	for {
		n += len(of(r.drain(), CmdDial))
		if r.e.Deadline() > end {
			r.now = end
			return n
		}
		r.now = max(r.now, r.e.Deadline())
		r.e.Tick(r.now)
	}
}

// A peer that could not be reached because of our network is dialed again when it has changed.
func TestUnreachablePeersAreRetriedAfterANetworkChange(t *testing.T) {
	for _, c := range []struct {
		fault Fault
		soon  int
	}{{FaultUnreach, 1}, {FaultLocal, 1}, {FaultTimeout, 0}, {FaultRefused, 0}} {
		r := newRig(t, Config{}, 5, 64<<10)
		r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(1), Source: FromDHT}}})
		for range 6 {
			for len(of(r.drain(), CmdDial)) == 0 {
				r.now = r.e.Deadline()
				r.e.Tick(r.now)
			}
			r.step(&EvDialFailed{Addr: addrOf(1), Fault: c.fault})
		}
		if n := r.dialsWithin(10 * time.Second); n != 0 {
			t.Errorf("%v: %d dials without a change", c.fault, n)
		}
		r.step(&EvNetwork{})
		if n := r.dialsWithin(10 * time.Second); n != c.soon {
			t.Errorf("%v: %d dials after the change, want %d", c.fault, n, c.soon)
		}
	}
}

// Connections that a change of the network breaks are closed, and their peers are dialed again
// soon. Others stay.
func TestLostConnectionsAreReplaced(t *testing.T) {
	r := newRig(t, Config{MaxConns: 10, HalfOpen: 10}, 5, 64<<10)
	addr := addrOf(77)
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addr, Source: FromDHT}}})
	r.drain()
	lost, kept := r.join(EvConnected{Addr: addr}), r.join(EvConnected{})
	r.drain()
	r.step(&EvNetwork{Lost: []Conn{lost, 999}})
	cmds := r.drain()
	if closed(cmds, lost) != FaultNetwork || closed(cmds, kept) != FaultNone {
		t.Fatal(cmds)
	}
	r.step(&EvClosed{Conn: lost, Addr: addr, Fault: FaultNetwork})
	if n := r.dialsWithin(retryNetwork); n != 1 {
		t.Errorf("%d dials after the change", n)
	}
}
