package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// The only source of a piece sent it wrong once. It is asked for that piece again after a
// while, and not banned.
func TestOnlySourceIsAskedAgain(t *testing.T) {
	r := newRig(t, Config{}, 2, 32<<10)
	a := r.seed(true)
	mute := r.seed(true) // delivers nothing, and so is not another source
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

// The only source of everything sends only bad pieces. It is banned, and dialed again
// after a ban that grows.
func TestOnlySourceThatSendsOnlyBadPiecesIsBanned(t *testing.T) {
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

// A source that is right most of the time is not banned for the pieces that are damaged
// on its disk; all others are downloaded.
func TestOnlySourceWithFewBadPiecesDeliversTheOthers(t *testing.T) {
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

// verdicts is a blameSink that records bans.
type verdicts struct {
	others bool // every piece has another source
	banned map[netip.AddrPort]time.Duration
	order  []time.Duration
}

func (v *verdicts) hasOtherSource(uint32, uint32) bool { return v.others }
func (v *verdicts) isBanned(key netip.AddrPort) bool   { return v.banned[key] > 0 }
func (v *verdicts) banOrigin(_ uint32, key netip.AddrPort, d time.Duration) {
	v.banned[key] = d
	v.order = append(v.order, d)
}

// Liars and honest peers send blocks at random. A peer that sent no bad block is never
// banned, one that did is banned eventually, and no evidence is left at the end.
func TestBlameBansExactlyTheLiars(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBlame()
		v := &verdicts{others: true, banned: map[netip.AddrPort]time.Duration{}}
		peers := rapid.IntRange(2, 6).Draw(t, "peers")
		liars := rapid.IntRange(0, peers-1).Draw(t, "liars")
		origins := make([]uint32, peers) // the first ones lie
		for i := range origins {
			origins[i] = b.of(addrOf(i + 1))
		}
		for piece := range uint32(rapid.IntRange(1, 30).Draw(t, "pieces")) {
			for range 8 { // copies
				var from []uint32
				var sums []uint64
				ok := true
				alone := b.isSuspect(piece)
				who := rapid.IntRange(0, peers-1).Draw(t, "who")
				for range 4 {
					if !alone {
						who = rapid.IntRange(0, peers-1).Draw(t, "who")
					}
					sum := uint64(0)
					if who < liars && rapid.Bool().Draw(t, "lies") {
						sum, ok = uint64(rapid.IntRange(1, 9).Draw(t, "sum")), false
					}
					from, sums = append(from, origins[who]), append(sums, sum)
				}
				if ok {
					b.credit(from[0])
					b.resolveByCopy(piece, from, sums, v)
					break
				}
				b.addBadCopy(mono.Time(1), piece, from, sums, nil, v)
			}
			if b.isSuspect(piece) {
				b.dropEvidence(piece)
			}
		}
		for i := range origins {
			if v.banned[addrOf(i+1)] > 0 && i >= liars {
				t.Fatalf("peer %d is banned and never lied", i)
			}
			b.release(origins[i])
		}
		if len(b.index) != 0 || len(b.suspects) != 0 || len(b.suspectOrder) != 0 {
			t.Fatalf("%d origins and %d suspects are kept", len(b.index), len(b.suspects))
		}
	})
}

func TestBansDouble(t *testing.T) {
	b := newBlame()
	v := &verdicts{others: true, banned: map[netip.AddrPort]time.Duration{}}
	o := b.of(addrOf(1))
	for range 7 {
		b.addBadCopy(1, 3, []uint32{o, o}, nil, nil, v)
		clear(v.banned) // it expires
	}
	h := time.Hour
	if want := []time.Duration{2 * h, 4 * h, 8 * h, 16 * h, 32 * h, 48 * h, 48 * h}; !slices.Equal(v.order, want) {
		t.Error(v.order)
	}
}
