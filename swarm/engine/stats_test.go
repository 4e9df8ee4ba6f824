package engine

import "testing"

func TestDropsAndBansAreCountedByReason(t *testing.T) {
	r := newRig(t, Config{}, 4, 64<<10)
	lose := func(f Fault) {
		c := r.connect(true)
		r.drain()
		r.step(&EvClosed{Conn: c, Fault: f})
	}
	for _, f := range []Fault{FaultReset, FaultNone, FaultUseless, FaultTimeout, FaultProtocol, FaultProtocol, FaultSlow} {
		lose(f)
	}
	liar := r.seed(true)
	asked := r.drain()
	r.e.conns[r.seed(true)].down.rate.Add(r.now, 1) // another source that delivers
	cmds := r.give(liar, asked)
	r.verify(of(cmds, CmdStore)[:1], false, func(Block) []uint64 { return []uint64{1, 2, 3, 4} })
	r.step(&EvClosed{Conn: liar, Fault: FaultLocal})
	s := r.e.Stats(r.now)
	if want := (Drops{BadData: 1, Protocol: 2, Slow: 1, Silent: 1}); s.Dropped != want || s.Banned != 1 {
		t.Errorf("dropped %+v, want %+v; %d banned", s.Dropped, want, s.Banned)
	}
	if s := r.e.Stats(r.now.Add(firstBan)); s.Banned != 0 {
		t.Errorf("%d banned after the ban", s.Banned)
	}
}
