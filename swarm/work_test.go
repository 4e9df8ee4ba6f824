package swarm

import (
	"crypto/sha1"
	"testing"

	"seedbed/internal/hashpair"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
)

// A worker takes two pieces of the same length if no other worker is free. Chunks of
// longer pieces, and pieces of other lengths, are taken alone.
func TestWorkerTakesTwoPiecesWhenNoneIsFree(t *testing.T) {
	if !hashpair.Fast() {
		t.Skip("this processor has no SHA instructions")
	}
	const piece = 32 << 10
	info, err := metainfo.Build(metainfo.Plan{Name: "x", PieceLength: piece,
		Files: []metainfo.PlanFile{{Length: 4*piece + 100}}}, make([]byte, 5*sha1.Size))
	if err != nil {
		t.Fatal(err)
	}
	tor := &Torrent{info: info}
	job := func(p, n uint32) storeJob {
		return storeJob{t: tor, block: engine.Block{Piece: p, Length: n}}
	}
	jobs := []storeJob{job(0, piece), job(1, piece), job(2, piece), job(4, 100), job(3, 16<<10), job(3, piece)}
	for _, idle := range []int{0, 1} {
		var q workQueue
		q.ready.L, q.idle = &q.mu, idle
		for _, j := range jobs {
			q.push(j)
		}
		var got []int
		for q.jobs.Len() > 0 {
			_, _, n := q.pop()
			got = append(got, n)
		}
		want := [][]int{{2, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1}}[idle]
		if len(got) != len(want) || got[0] != want[0] {
			t.Errorf("with %d free workers: %v, want %v", idle, got, want)
		}
	}
}
