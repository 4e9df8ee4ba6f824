package api

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/bitset"
	"seedbed/node"
)

// The ranges cover every piece of a part of the torrent once, and say what a walk over their pieces says.
func TestTheRangesCoverEveryPiece(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, limit := rapid.IntRange(0, 300).Draw(t, "pieces"), rapid.IntRange(1, 320).Draw(t, "limit")
		p := node.Pieces{Have: bitset.New(n), Begun: bitset.New(n), Peers: make([]int, n)}
		for k := range n {
			p.Peers[k] = rapid.IntRange(0, 5).Draw(t, "peers")
			switch rapid.IntRange(0, 2).Draw(t, "state") {
			case 0:
				p.Have.Add(k)
			case 1:
				p.Begun.Add(k)
			}
		}
		first, end := rapid.IntRange(0, 310).Draw(t, "first"), rapid.IntRange(0, 310).Draw(t, "end")
		r := rangesOf(&p, first, end, limit)
		if end = min(end, n); end == 0 {
			end = n
		}
		first = min(first, end)
		if size := end - first; r.To != end || len(r.From) != min(size, limit) || len(r.Have) != len(r.From) || len(r.Begun) != len(r.From) || len(r.Peers) != len(r.From) || !slices.IsSorted(r.From) {
			t.Fatalf("%+v", r)
		}
		for i, from := range r.From {
			to := end
			if i+1 < len(r.From) {
				to = r.From[i+1]
			}
			if size := to - from; size < (end-first)/len(r.From) || size > (end-first)/len(r.From)+1 || i == 0 && from != first {
				t.Fatalf("range %d of %d has %d pieces: %v", i, len(r.From), size, r.From)
			}
			have, begun := 0, 0
			for k := from; k < to; k++ {
				if p.Have.Has(k) {
					have++
				}
				if p.Begun.Has(k) {
					begun++
				}
			}
			if have != r.Have[i] || begun != r.Begun[i] || slices.Min(p.Peers[from:to]) != r.Peers[i] {
				t.Errorf("range %d: %+v", i, r)
			}
		}
	})
}
