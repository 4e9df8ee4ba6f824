package daemon

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/id"
)

// Those that run are the first ones by place, whatever happens in between, and each is started and
// held in turn.
func TestSlotsAgreeWithTheirTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newSlots()
		var all []*queued // that want a slot
		runs := map[*queued]bool{}
		n := byte(0)
		for range rapid.IntRange(1, 100).Draw(rt, "steps") {
			var x *queued
			if len(all) > 0 {
				x = rapid.SampledFrom(all).Draw(rt, "torrent")
			}
			switch op := rapid.SampledFrom([]string{"add", "add", "remove", "stall", "place", "limit"}).Draw(rt, "op"); {
			case op == "limit":
				s.limit = rapid.IntRange(0, 6).Draw(rt, "limit")
			case op == "add":
				n++
				x = &queued{hash: id.ID{n}, place: int64(rapid.IntRange(-20, 20).Draw(rt, "place"))}
				x.moveTo(&s.waiting)
				all = append(all, x)
			case x == nil:
			case op == "place":
				x.setPlace(int64(rapid.IntRange(-20, 20).Draw(rt, "place")))
			default: // it wants no slot any more, running or not
				x.moveTo(nil)
				delete(runs, x)
				all = slices.DeleteFunc(all, func(y *queued) bool { return x == y })
			}
			moved := 0
			s.balance(func(x *queued) {
				if moved++; runs[x] {
					rt.Fatal("started twice")
				}
				runs[x] = true
			}, func(x *queued) {
				if moved++; !runs[x] {
					rt.Fatal("held twice")
				}
				delete(runs, x)
			})
			slices.SortFunc(all, (*queued).compare)
			first := len(all)
			if s.limit > 0 {
				first = min(s.limit, len(all))
			}
			for i, x := range all {
				if runs[x] != (i < first) || runs[x] != (x.in == &s.running) {
					rt.Fatalf("number %d of %d, of which %d may run: %v", i, len(all), s.limit, runs[x])
				}
			}
			if len(s.running.items)+len(s.waiting.items) != len(all) {
				rt.Fatal("a heap has a torrent that wants no slot")
			}
		}
	})
}
