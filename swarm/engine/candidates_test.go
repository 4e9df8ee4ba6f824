package engine

import (
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

func TestAddressesArePausedLongerWithEachFailure(t *testing.T) {
	r := newRig(t, Config{}, 5, 64<<10)
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(1), Source: FromDHT}}})
	var gaps []time.Duration
	last := mono.Time(0)
	for range 10 {
		for len(of(r.drain(), CmdDial)) == 0 {
			r.now = r.e.Deadline()
			r.e.Tick(r.now)
		}
		gaps = append(gaps, r.now.Sub(last))
		last = r.now
		r.step(&EvDialFailed{Addr: addrOf(1), Fault: FaultRefused})
	}
	for i, g := range gaps[1:] {
		if low := min(retryFirst<<i, retryMax); g < low || g > low*5/4+time.Second {
			t.Errorf("retry %d after %v", i+1, g)
		}
	}
	s := r.e.Stats(r.now)
	if s.Tried != 1 || s.Refused != 1 || s.Known != 1 {
		t.Errorf("%+v", s)
	}
}

func TestTheBookIsBoundedAndPrefersHints(t *testing.T) {
	r := newRig(t, Config{HalfOpen: 5}, 5, 64<<10)
	var list []Candidate
	for i := range 3 * maxKnown {
		list = append(list, Candidate{Addr: addrOf(i + 1), Source: FromDHT})
	}
	hint := netip.MustParseAddrPort("192.0.2.1:1")
	list = append(list, Candidate{Addr: hint, Source: FromHint})
	r.step(&EvCandidates{Candidates: list})
	if n := r.e.Stats(r.now).Known; n != maxKnown {
		t.Errorf("%d known", n)
	}
	d := of(r.drain(), CmdDial)
	if len(d) != 5 || d[0].Addr != hint {
		t.Error(d)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	r := newRig(t, Config{MaxConns: 3}, 5, 64<<10)
	for range 3 {
		r.join(EvConnected{Incoming: true})
	}
	if c := r.join(EvConnected{Incoming: true}); closed(r.drain(), c) != FaultUseless {
		t.Error("a fourth connection was accepted")
	}
	r.now = r.now.Add(2 * idleFor)
	c := r.join(EvConnected{Incoming: true})
	cmds := r.drain()
	if closed(cmds, c) != FaultNone || closed(cmds, 1) != FaultUseless {
		t.Error("no connection was replaced:", of(cmds, CmdClose))
	}
}

// A peer that is being closed because nothing is needed is dialed again when pieces are
// needed again, even if that happens before the connection has ended.
func TestAPeerIsDialledAgainWhenPiecesAreNeededWhileItIsClosed(t *testing.T) {
	for _, late := range []bool{false, true} {
		r := newRig(t, Config{}, 0, 0)
		r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(1), Source: FromHint}}})
		r.wait(time.Second)
		c := r.join(EvConnected{Addr: addrOf(1)})
		r.step(&EvInfo{Info: testInfo(t, 4, 64<<10, 64<<10, false), Wanted: bitset.New(4)})
		r.msg(c, wire.Msg{Type: wire.Bitfield, Payload: full(4).AppendTo(nil)})
		if f := closed(r.wait(time.Second), c); f != FaultUseless {
			t.Fatal("the peer was not closed:", f)
		}
		end := func() { r.step(&EvClosed{Conn: c, Addr: addrOf(1), Fault: FaultUseless}) }
		if !late {
			end()
		}
		r.step(&EvWanted{Wanted: full(4)})
		if late {
			end()
		}
		if dials := of(r.wait(5*time.Second), CmdDial); len(dials) != 1 {
			t.Errorf("late %v: %d dials", late, len(dials))
		}
	}
}

// A peer that was replaced because it was no longer useful is dialed after addresses
// that have not been tried.
func TestReplacedPeerComesAfterUntriedAddresses(t *testing.T) {
	b := testBook(false)
	old, fresh := addrOf(1), addrOf(2)
	b.add(0, Candidate{Addr: old, Source: FromHint})
	b.dial(b.find(old))
	b.dialSucceeded(0, old, false)
	b.disconnected(0, old, FaultSlow, true, false, false)
	b.add(0, Candidate{Addr: fresh, Source: FromHint})
	if c := b.pick(mono.Time(time.Hour), false, false); c == nil || c.addr != fresh {
		t.Error("the replaced peer is dialled first")
	}
}
