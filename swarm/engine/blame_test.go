package engine

import (
	"testing"
	"time"

	"seedbed/swarm/wire"
)

// The only source of a piece sent it wrong once: it is asked for that piece again,
// later, and not banned.
func TestTheLastSourceIsAskedAgain(t *testing.T) {
	r := newRig(t, Config{}, 2, 32<<10)
	a := r.seed(true)
	mute := r.seed(true) // which delivers nothing, and so is no other source
	cmds := r.give(a, r.drain())
	st := of(cmds, CmdStore)
	cmds = r.verify(st[:1], false, func(Block) []uint64 { return []uint64{1, 2} })
	cmds = append(cmds, r.verify(st[1:], true, nil)...)
	bad := st[0].Block.Piece
	cmds = append(cmds, r.wait(restFirst-time.Second)...)
	if len(of(cmds, CmdBan)) > 0 || closed(cmds, a) != FaultNone {
		t.Fatal("banned:", cmds)
	}
	for _, q := range of(cmds, CmdRequest) {
		if q.Conn == a {
			t.Error("asked again at once:", q.Block)
		}
	}
	r.msg(mute, wire.Msg{Type: wire.Choke})
	cmds = r.wait(2 * time.Second)
	again := of(cmds, CmdRequest)
	if len(again) != 2 || again[0].Conn != a || again[0].Block.Piece != bad {
		t.Fatal("not asked again:", again)
	}
	cmds = r.verify(r.give(a, again), true, func(Block) []uint64 { return []uint64{1, 3} })
	if len(of(cmds, CmdComplete)) != 1 || len(of(cmds, CmdBan)) > 0 {
		t.Error(cmds)
	}
}

// The only source of everything sends nothing right: that has an end, and the end
// has one too.
func TestALastSourceThatOnlyLiesIsBannedForAWhile(t *testing.T) {
	r := newRig(t, Config{}, 40, 32<<10)
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(1), Source: FromHint}}})
	r.drain()
	ban := time.Duration(0)
	for round := range 2 {
		a := r.join(EvConnected{Addr: addrOf(1)})
		r.msg(a, wire.Msg{Type: wire.Bitfield, Payload: full(40).AppendTo(nil)}, wire.Msg{Type: wire.Unchoke})
		bad, fault := 0, FaultNone
		for range 100 {
			for _, s := range of(r.give(a, r.drain()), CmdStore) {
				if fault == FaultNone {
					bad++
					fault = closed(r.verify([]Command{s}, false, func(Block) []uint64 { return []uint64{1, 2} }), a)
				}
			}
			if fault != FaultNone {
				break
			}
			r.wait(time.Second)
		}
		if fault != FaultBanned || bad > fewBad+1 {
			t.Fatalf("after %d bad pieces: %v", bad, fault)
		}
		r.step(&EvClosed{Conn: a, Fault: FaultBanned})
		from, n := r.now, 0
		for ; n == 0 && r.now.Sub(from) < 2*maxBan; n = len(of(r.wait(time.Minute), CmdDial)) {
		}
		if took := r.now.Sub(from); n == 0 || took <= ban {
			t.Errorf("round %d: dialled again after %v, after %v before", round, took, ban)
		}
		ban = r.now.Sub(from)
	}
}

// A source that is right most of the time is no liar for the pieces that rot on its
// disk; all others come.
func TestALastSourceWithAFewBadPiecesGivesTheOthers(t *testing.T) {
	r := newRig(t, Config{}, 100, 32<<10)
	a := r.seed(true)
	var cmds []Command
	for range 300 {
		cmds = append(cmds, r.wait(time.Second)...)
		out := r.give(a, cmds)
		cmds = nil
		for _, s := range of(out, CmdStore) {
			cmds = append(cmds, r.verify([]Command{s}, s.Block.Piece%20 != 0, func(Block) []uint64 { return []uint64{1, 2} })...)
		}
		cmds = append(cmds, of(out, CmdRequest)...)
		if closed(cmds, a) != FaultNone {
			t.Fatalf("closed with %d pieces", r.e.content.nHave)
		}
	}
	if n := r.e.content.nHave; n != 95 {
		t.Errorf("%d pieces", n)
	}
}
