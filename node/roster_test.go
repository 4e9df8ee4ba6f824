package node

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A roster holds what a plain list holds, in the same order.
func TestARosterAgreesWithAList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var r roster
		var twin, gone []*Torrent
		for range rapid.IntRange(0, 300).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "step") {
			case 0, 1:
				x := new(Torrent)
				r.add(x)
				twin = append(twin, x)
			case 2:
				if len(gone) > 0 {
					r.remove(rapid.SampledFrom(gone).Draw(rt, "again"))
				}
			default:
				if len(twin) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(twin)-1).Draw(rt, "which")
				r.remove(twin[i])
				gone = append(gone, twin[i])
				twin = slices.Delete(twin, i, i+1)
			}
			if r.count != len(twin) || !slices.Equal(r.list(), twin) {
				rt.Fatalf("%d torrents of %d", r.count, len(twin))
			}
			if len(r.slots) > 2*r.count+rosterSlack {
				rt.Fatalf("%d slots for %d torrents", len(r.slots), r.count)
			}
		}
	})
}

// Removing all torrents one by one moves each of the others at most once, on average.
func TestRemovingManyTorrentsMovesFew(t *testing.T) {
	for _, n := range []int{1000, 4000} {
		var r roster
		ts := make([]*Torrent, n)
		for i := range ts {
			ts[i] = new(Torrent)
			r.add(ts[i])
		}
		moved := 0
		for i, x := range ts {
			before := len(r.slots)
			if r.remove(x); len(r.slots) != before {
				moved += r.count
			}
			if r.count != n-i-1 {
				t.Fatalf("%d torrents are left after %d of %d", r.count, i+1, n)
			}
		}
		if moved > n {
			t.Errorf("removing %d torrents moved %d", n, moved)
		}
	}
}
