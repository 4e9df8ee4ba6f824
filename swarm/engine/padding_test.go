package engine

import (
	"fmt"
	"strings"
	"testing"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// TestStatsCountFilesAndNoPadding checks that sizes and progress count bytes of files (of
// the wanted ones if only some are wanted), and that pieces of only padding are not
// requested.
func TestStatsCountFilesAndNoPadding(t *testing.T) {
	const size = 16 << 10
	// Piece 0: 100 bytes of a, padding. Piece 1: padding. Piece 2: 10 of b, 20 of c.
	raw := fmt.Sprintf("d5:filesld6:lengthi100e4:pathl1:aeed4:attr1:p6:lengthi%de4:pathl4:.pad1:1ee"+
		"d6:lengthi10e4:pathl1:beed6:lengthi20e4:pathl1:ceee4:name1:n12:piece lengthi%de6:pieces60:%se",
		2*size-100, size, strings.Repeat("x", 60))
	info, err := metainfo.ParseInfo([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	files := bitset.New(4)
	files.Add(2)
	for _, c := range []struct {
		wanted, files      bitset.Set
		size, atFirst, all int64
	}{
		{bitset.Set{}, bitset.Set{}, 130, 0, 130},
		{info.Wanted([]int{2}), files, 10, 0, 10},
	} {
		r := newRig(t, Config{}, 0, 0)
		r.step(&EvInfo{Info: info, Wanted: c.wanted, Files: c.files})
		s := r.e.Stats(r.now)
		if s.Size != 130 || s.Wanted != c.size || s.HaveWanted != c.atFirst {
			t.Errorf("at first %+v", s)
		}
		conn := r.seed(true)
		cmds := r.drain()
		for _, q := range of(cmds, CmdRequest) {
			if q.Block.Piece == 1 {
				t.Error("padding was requested")
			}
		}
		cmds = r.verify(r.give(conn, cmds), true, nil)
		if s = r.e.Stats(r.now); !s.Complete || s.HaveWanted != c.all || s.HaveWanted != s.Wanted || len(of(cmds, CmdComplete)) != 1 {
			t.Errorf("at the end %+v", s)
		}
	}
}

// A peer counts as a seed without the pieces that contain only padding, because some
// clients never announce these. If we are complete too, it is closed.
func TestASeedNeedsNoPadding(t *testing.T) {
	const size = 16 << 10
	// Piece 0: a. Pieces 1 and 2: padding. Piece 3: b.
	raw := fmt.Sprintf("d5:filesld6:lengthi%de4:pathl1:aeed4:attr1:p6:lengthi%de4:pathl4:.pad1:1ee"+
		"d6:lengthi10e4:pathl1:beee4:name1:n12:piece lengthi%de6:pieces80:%se",
		size, 2*size, size, strings.Repeat("x", 80))
	info, err := metainfo.ParseInfo([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	have := func(r *rig, c Conn, pieces ...uint32) {
		for _, p := range pieces {
			r.msg(c, wire.Msg{Type: wire.Have, Index: p})
		}
	}
	for name, tell := range map[string]func(*rig, Conn){
		"a bitfield":                 func(r *rig, c Conn) { r.msg(c, wire.Msg{Type: wire.Bitfield, Payload: []byte{0x90}}) },
		"haves":                      func(r *rig, c Conn) { have(r, c, 0, 3) },
		"a bitfield and a have":      func(r *rig, c Conn) { r.msg(c, wire.Msg{Type: wire.Bitfield, Payload: []byte{0xc0}}); have(r, c, 3) },
		"a have and a late bitfield": func(r *rig, c Conn) { have(r, c, 3); r.msg(c, wire.Msg{Type: wire.Bitfield, Payload: []byte{0x80}}) },
		"padding among other haves":  func(r *rig, c Conn) { have(r, c, 1, 0, 3) },
	} {
		for _, complete := range []bool{false, true} {
			r := newRig(t, Config{}, 0, 0)
			ev := &EvInfo{Info: info}
			if complete {
				ev.Have = info.Wanted(nil)
			}
			r.step(ev)
			r.drain()
			c := r.join(EvConnected{Addr: addrOf(7)})
			tell(r, c)
			if complete {
				if f := closed(r.drain(), c); f != FaultUseless {
					t.Errorf("%s: another seed was closed with %v", name, f)
				}
			} else if s := r.e.Stats(r.now); s.Seeds != 1 {
				t.Errorf("%s: %d seeds", name, s.Seeds)
			}
		}
	}
	r := newRig(t, Config{}, 0, 0)
	r.step(&EvInfo{Info: info})
	have(r, r.join(EvConnected{Addr: addrOf(7)}), 0, 1, 2)
	if s := r.e.Stats(r.now); s.Seeds != 0 {
		t.Error("a peer with one of two data pieces counts as a seed")
	}
}
