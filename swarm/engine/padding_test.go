package engine

import (
	"fmt"
	"strings"
	"testing"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
)

// TestStatsCountFilesAndNoPadding checks that sizes and progress are in bytes of
// files, of the wanted ones where some are wanted, and that a piece of nothing but
// padding is not asked for.
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
				t.Error("padding was asked for")
			}
		}
		cmds = r.verify(r.give(conn, cmds), true, nil)
		if s = r.e.Stats(r.now); !s.Complete || s.HaveWanted != c.all || s.HaveWanted != s.Wanted || len(of(cmds, CmdComplete)) != 1 {
			t.Errorf("at the end %+v", s)
		}
	}
}
