package daemon_test

import (
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/lifecycle"
)

// inBubble hides the test's deadline from rapid, because a bubble has none.
type inBubble struct{ testing.TB }

// queueTwin is the naive twin of a daemon's queue: a list in the order of the places.
type queueTwin struct {
	order          []int // torrents
	paused, forced map[int]bool
	limit          int
}

// runs returns the torrents that must run.
func (q *queueTwin) runs() (out []int) {
	slots := q.limit
	for _, i := range q.order {
		switch {
		case q.paused[i]:
		case q.forced[i] || q.limit == 0:
			out = append(out, i)
		case slots > 0:
			slots--
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return out
}

// move moves torrents as Requeue does.
func (q *queueTwin) move(ts []int, to daemon.Where) {
	isMoved := func(i int) bool { return slices.Contains(ts, i) }
	switch to {
	case daemon.Top:
		slices.SortStableFunc(q.order, func(a, b int) int { return rank(isMoved(b)) - rank(isMoved(a)) })
	case daemon.Bottom:
		slices.SortStableFunc(q.order, func(a, b int) int { return rank(isMoved(a)) - rank(isMoved(b)) })
	case daemon.Up:
		for k := 1; k < len(q.order); k++ {
			if isMoved(q.order[k]) && !isMoved(q.order[k-1]) {
				q.order[k-1], q.order[k] = q.order[k], q.order[k-1]
			}
		}
	case daemon.Down:
		for k := len(q.order) - 2; k >= 0; k-- {
			if isMoved(q.order[k]) && !isMoved(q.order[k+1]) {
				q.order[k+1], q.order[k] = q.order[k], q.order[k+1]
			}
		}
	}
}

func rank(is bool) int {
	if is {
		return 1
	}
	return 0
}

// Random operations, with restarts, lead to the order and to the running torrents of a naive twin.
func TestTheQueueAgreesWithItsTwin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		round := 0
		rapid.Check(inBubble{t}, func(rt *rapid.T) {
			round++
			dir := filepath.Join(t.TempDir(), strconv.Itoa(round))
			set := daemon.QueueSettings{Downloads: 2}
			twin := &queueTwin{paused: map[int]bool{}, forced: map[int]bool{}, limit: set.Downloads}
			d := simulated(t, dir, set)
			defer func() { closed(t, d) }()
			find := func(i int) *node.Torrent {
				x, err := d.Find(magnet(i))
				if err != nil {
					rt.Fatal(err)
				}
				return x
			}
			do := func(err error) {
				if err != nil {
					rt.Fatal(err)
				}
			}
			next := 0
			for range rapid.IntRange(1, 30).Draw(rt, "steps") {
				i := -1
				if len(twin.order) > 0 {
					i = rapid.SampledFrom(twin.order).Draw(rt, "torrent")
				}
				op := rapid.SampledFrom([]string{"add", "add", "remove", "pause", "resume", "resume", "move", "move", "position", "start", "limit", "restart"}).Draw(rt, "op")
				switch {
				case op == "add":
					paused := rapid.IntRange(0, 3).Draw(rt, "paused") == 0
					_, _, err := d.Add(t.Context(), daemon.AddRequest{Link: magnet(next), Paused: paused})
					do(err)
					twin.order = append(twin.order, next)
					twin.paused[next] = paused
					next++
				case op == "limit":
					set.Downloads = rapid.IntRange(0, 4).Draw(rt, "limit")
					twin.limit = set.Downloads
					do((&queueRig{Daemon: d}).setQueue(set))
				case op == "restart":
					closed(t, d)
					d = simulated(t, dir, set)
				case i < 0:
				case op == "remove":
					do(d.Remove(t.Context(), find(i), false))
					twin.order = slices.DeleteFunc(twin.order, func(k int) bool { return k == i })
				case op == "pause":
					do(find(i).Pause(t.Context()))
					twin.paused[i], twin.forced[i] = true, false
				case op == "resume":
					do(find(i).Resume(t.Context()))
					twin.paused[i], twin.forced[i] = false, false
				case op == "start":
					do(d.StartNow(t.Context(), find(i)))
					twin.paused[i], twin.forced[i] = false, true
				case op == "position":
					to := rapid.IntRange(1, len(twin.order)).Draw(rt, "position")
					do(d.SetQueuePosition(t.Context(), find(i), to))
					twin.order = slices.DeleteFunc(twin.order, func(k int) bool { return k == i })
					twin.order = slices.Insert(twin.order, to-1, i)
				case op == "move":
					to := rapid.SampledFrom([]daemon.Where{daemon.Top, daemon.Up, daemon.Down, daemon.Bottom}).Draw(rt, "to")
					ts := rapid.SliceOfDistinct(rapid.SampledFrom(twin.order), rapid.ID[int]).Draw(rt, "torrents")
					var torrents []*node.Torrent
					for _, k := range ts {
						torrents = append(torrents, find(k))
					}
					do(d.Requeue(t.Context(), torrents, to))
					twin.move(ts, to)
				}
				synctest.Wait()
				var runs []int
				for position, k := range twin.order {
					x := find(k)
					if got := d.QueuePosition(x); got != position+1 {
						rt.Fatalf("after %s: %d is at %d of %v", op, k, got, twin.order)
					}
					switch p := x.Phase(); {
					case p == lifecycle.Metadata:
						runs = append(runs, k)
					case (p == lifecycle.Paused) != twin.paused[k]:
						rt.Fatalf("after %s: %d is %v", op, k, p)
					}
				}
				fetching, waiting := 0, 0
				for _, k := range twin.order {
					if x := find(k); x.IsFetching() {
						fetching++
						if x.Phase() != lifecycle.Queued || d.WhyQueued(x) == "" {
							rt.Fatalf("after %s: %d fetches its metadata and does not wait", op, k)
						}
					}
				}
				for _, k := range twin.order {
					if !twin.paused[k] && !slices.Contains(runs, k) {
						waiting++
					}
				}
				if want := min(waiting, 8); fetching != want {
					rt.Fatalf("after %s: %d of %d waiting torrents fetch their metadata", op, fetching, waiting)
				}
				slices.Sort(runs)
				if want := twin.runs(); !slices.Equal(runs, want) {
					rt.Fatalf("after %s: %v run, not %v; order %v, paused %v, forced %v, limit %d", op, runs, want, twin.order, twin.paused, twin.forced, twin.limit)
				}
			}
		})
	})
}
