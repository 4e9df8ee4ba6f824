package engine

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/bitset"
	"seedbed/swarm/wire"
)

// asked returns the requested pieces, in the order of the requests.
func asked(cmds []Command) (out []uint32) {
	for _, c := range of(cmds, CmdRequest) {
		if n := len(out); n == 0 || out[n-1] != c.Block.Piece {
			out = append(out, c.Block.Piece)
		}
	}
	return out
}

func (r *rig) focus(pieces ...uint32) {
	if pieces == nil {
		pieces = []uint32{}
	}
	r.step(&EvFocus{Pieces: pieces})
}

// Only the pieces of the focus are requested, in its order. When they are complete
// nothing more is, and everything continues when the focus is removed.
func TestOnlyTheFocusIsRequested(t *testing.T) {
	r := newRig(t, Config{}, 0, 0)
	r.focus(7, 3, 40, 1<<31) // before the metadata is known, and with an invalid index
	r.info(40, 64<<10)
	c := r.seed(true)
	var got []uint32
	for range 50 {
		cmds := r.drain()
		got = append(got, asked(cmds)...)
		if len(of(cmds, CmdRequest)) == 0 {
			break
		}
		r.give(c, cmds)
	}
	if got = slices.Compact(got); !slices.Equal(got, []uint32{7, 3}) {
		t.Fatalf("requested %v", got)
	}
	if cmds := r.wait(10 * time.Second); len(of(cmds, CmdRequest)) != 0 {
		t.Errorf("pieces outside the focus were requested: %v", asked(cmds))
	}
	r.step(&EvFocus{})
	if cmds := r.drain(); len(asked(cmds)) < 2 {
		t.Errorf("without the focus: %v", asked(cmds))
	}
}

// When the focus moves, its old requests are canceled and their slots freed.
func TestFocusMoves(t *testing.T) {
	r := newRig(t, Config{Budget: 2, ChunkSize: 64 << 10}, 0, 0)
	r.focus(0, 1, 2, 3)
	r.info(40, 64<<10)
	r.seed(true)
	before := r.drain()
	if got := asked(before); !slices.Equal(got, []uint32{0, 1}) {
		t.Fatalf("requested %v", got)
	}
	r.focus(30, 31)
	after := r.drain()
	if n := len(of(after, CmdCancel)); n != len(of(before, CmdRequest)) {
		t.Errorf("%d of %d requests are cancelled", n, len(of(before, CmdRequest)))
	}
	if n := len(of(after, CmdDropSlot)); n != 2 {
		t.Errorf("%d slots are dropped", n)
	}
	if got := asked(after); !slices.Equal(got, []uint32{30, 31}) {
		t.Errorf("requested %v", got)
	}
}

// A begun piece outside the focus is kept while slots are free, and dropped when there
// are none.
func TestFocusTakesTheSlotsItNeeds(t *testing.T) {
	r := newRig(t, Config{Budget: 2, ChunkSize: 64 << 10}, 0, 0)
	r.focus(0, 1)
	r.info(40, 64<<10)
	c := r.seed(true)
	first := of(r.drain(), CmdRequest)
	r.block(BlockEvent{Kind: BlockArrived, Conn: c, Block: first[0].Block, Slot: first[0].Slot})
	r.focus(30)
	if got := asked(r.drain()); !slices.Equal(got, []uint32{30}) {
		t.Fatalf("requested %v", got)
	}
	if r.e.req.pieces.open[0] == nil {
		t.Fatal("a begun piece was dropped although slots are free")
	}
	r.focus(30, 31, 32)
	if got := asked(r.drain()); !slices.Contains(got, 31) || slices.Contains(got, 32) {
		t.Errorf("requested %v", got)
	}
	if r.e.req.pieces.open[0] != nil {
		t.Error("a piece outside the focus holds a slot")
	}
}

// A late block of the first pieces is also requested from a faster peer. A less urgent
// one is requested twice only when that peer has nothing else to do.
func TestFocusDuplicatesLateRequests(t *testing.T) {
	r := newRig(t, Config{}, 0, 0)
	r.focus(0)
	r.info(4, 16<<10*4)
	slow := r.connect(true)
	one := bitset.New(4)
	one.Add(0)
	r.msg(slow, wire.Msg{Type: wire.Bitfield, Payload: one.AppendTo(nil)}, wire.Msg{Type: wire.Unchoke})
	owed := of(r.drain(), CmdRequest)
	if len(owed) != 4 {
		t.Fatalf("%d requests", len(owed))
	}
	fast := r.seed(true)
	r.focus(0, 1)
	for _, x := range of(r.drain(), CmdRequest) {
		if x.Conn != fast || x.Block.Piece != 1 {
			t.Fatalf("too early: %+v", x)
		}
		r.block(BlockEvent{Kind: BlockArrived, Conn: fast, Block: x.Block, Slot: x.Slot})
	}
	cmds := r.wait(1100 * time.Millisecond)
	twice := 0
	for _, x := range of(cmds, CmdRequest) {
		if x.Conn == fast && x.Block.Piece == 0 {
			twice++
		}
	}
	if twice != 4 {
		t.Fatalf("%d late blocks were requested from the faster peer", twice)
	}
	r.block(BlockEvent{Kind: BlockArrived, Conn: fast, Block: owed[0].Block, Slot: owed[0].Slot})
	cancelled := of(r.drain(), CmdCancel)
	if len(cancelled) != 1 || cancelled[0].Conn != slow || cancelled[0].Block != owed[0].Block {
		t.Errorf("cancelled: %+v", cancelled)
	}
}

// From a peer that chokes us but allows two pieces, only the one in the focus is
// requested.
func TestFocusAndAllowedFast(t *testing.T) {
	r := newRig(t, Config{}, 0, 0)
	r.focus(5)
	r.info(8, 64<<10)
	c := r.connect(true)
	r.msg(c, wire.Msg{Type: wire.HaveAll}, wire.Msg{Type: wire.AllowedFast, Index: 2}, wire.Msg{Type: wire.AllowedFast, Index: 5})
	if got := asked(r.drain()); !slices.Equal(got, []uint32{5}) {
		t.Errorf("requested %v", got)
	}
}

// The position of each piece in the focus is that of its first occurrence in the list.
func TestFocusPositions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var f focus
		for range 3 {
			list := rapid.SliceOfN(rapid.Uint32Range(0, 1500), 0, 2*maxFocus).Draw(t, "pieces")
			f.set(list, true)
			var want []uint32
			for _, piece := range list[:min(len(list), maxFocus)] {
				if !slices.Contains(want, piece) {
					want = append(want, piece)
				}
			}
			if !slices.Equal(f.order, want) || !f.on {
				t.Fatalf("%v of %v", f.order, list)
			}
			for piece := range uint32(1501) {
				at := slices.Index(want, piece)
				if f.has(piece) != (at >= 0) || (at >= 0 && f.positionOf(piece) != at) || (at < 0 && f.positionOf(piece) != len(want)) {
					t.Fatalf("piece %d is at %d", piece, f.positionOf(piece))
				}
			}
		}
		f.set(nil, false)
		if f.on || f.has(0) {
			t.Fatal("a removed focus is still in effect")
		}
	})
}
