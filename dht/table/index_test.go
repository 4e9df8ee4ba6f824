package table

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/id"
)

// The ids of this test are close together, so that groups are large and whole
// heads are equal.
func TestIndexAgainstNaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		crowded := rapid.Custom(func(t *rapid.T) (x id.ID) {
			x[rapid.IntRange(0, 19).Draw(t, "byte")] = 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			x[rapid.SampledFrom([]int{0, 7, 8, 19}).Draw(t, "other")] ^= rapid.Byte().Draw(t, "value")
			return x
		})
		var x index
		var nodes []Node
		for i, n := range rapid.SliceOfNDistinct(crowded, 0, 80, rapid.ID[id.ID]).Draw(t, "ids") {
			node := Node{ID: n, Addr: spread(i), Replied: minute}
			if i%5 == 0 {
				node.Fails = 1
			}
			x.insert(&node)
			nodes = append(nodes, node)
		}
		for range rapid.IntRange(0, len(nodes)/2).Draw(t, "removals") {
			i := rapid.IntRange(0, len(nodes)-1).Draw(t, "removed")
			x.remove(nodes[i].ID)
			nodes = slices.Delete(nodes, i, i+1)
		}
		for i := range nodes {
			if rapid.IntRange(0, 3).Draw(t, "update") == 0 {
				nodes[i].Fails, nodes[i].Asked = 0, 5*minute
				x.update(&nodes[i])
			}
		}
		now := minute.Add(time.Duration(rapid.IntRange(0, 25).Draw(t, "minutes")) * time.Minute)
		target, k := crowded.Draw(t, "target"), rapid.IntRange(0, 40).Draw(t, "k")
		if len(nodes) > 0 && rapid.Bool().Draw(t, "exact") {
			target = nodes[0].ID
		}
		var want []byte
		slices.SortFunc(nodes, func(a, b Node) int { return target.CmpDistance(a.ID, b.ID) })
		left := min(k, maxClosest)
		for _, n := range nodes {
			if n.Good(now) && left > 0 {
				want = AppendCompact(want, n.ID, n.Addr)
				left--
			}
		}
		if got := x.appendClosest([]byte("x"), now, target, k); !slices.Equal(got[1:], want) {
			t.Fatalf("the %d closest of %v at %v:\n got %x\nwant %x", k, target, now, got[1:], want)
		}
	})
}
