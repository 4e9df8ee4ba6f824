package daemon

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/id"
)

// fetchTwin is the naive twin of fetches: one list of all that wait, searched at each step.
type fetchTwin struct {
	list []*twinFetch
	turn int // counts what has joined the end
}

type twinFetch struct {
	x         *queued
	isRunning bool
	tried     bool
	began     time.Time
	joined    int
}

// balance does what fetches.balance does. It returns what must fetch.
func (w *fetchTwin) balance(now time.Time, peers map[*queued]bool) map[*queued]bool {
	for {
		running := 0
		var next, spent *twinFetch
		for _, m := range w.list {
			switch {
			case m.isRunning:
				running++
				age := now.Sub(m.began)
				if (age >= fetchLimit || age >= fetchTurn && !peers[m.x]) && (spent == nil || m.joined < spent.joined) {
					spent = m
				}
			case next == nil || !m.tried && next.tried || m.tried == next.tried && m.joined < next.joined:
				next = m
			}
		}
		if next == nil || running >= fetchedAtOnce && spent == nil {
			break
		}
		if running >= fetchedAtOnce {
			w.turn++
			spent.isRunning, spent.joined = false, w.turn
		}
		w.turn++
		*next = twinFetch{next.x, true, true, now, w.turn}
	}
	out := map[*queued]bool{}
	for _, m := range w.list {
		if m.isRunning {
			out[m.x] = true
		}
	}
	return out
}

// The torrents that fetch their metadata are those of a naive twin, whatever happens in between, and
// each is started and stopped in turn.
func TestFetchesAgreeWithTheirTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var f fetches
		var w fetchTwin
		now := time.Unix(1, 0)
		fetching, peers := map[*queued]bool{}, map[*queued]bool{}
		var all []*queued
		set := func(x *queued, on bool) {
			if on == fetching[x] {
				rt.Fatalf("set twice to %v", on)
			}
			if delete(fetching, x); on {
				fetching[x] = true
			}
		}
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			var x *queued
			if len(all) > 0 {
				x = rapid.SampledFrom(all).Draw(rt, "torrent")
			}
			switch op := rapid.SampledFrom([]string{"add", "add", "leave", "leave", "return", "peers", "time"}).Draw(rt, "op"); {
			case op == "time":
				now = now.Add(time.Duration(rapid.IntRange(1, 200).Draw(rt, "seconds")) * time.Second)
			case op == "add":
				x = &queued{hash: id.ID{byte(len(all))}}
				all = append(all, x)
				f.want(x, true, set)
				w.turn++
				w.list = append(w.list, &twinFetch{x: x, joined: w.turn})
			case x == nil:
			case op == "peers":
				peers[x] = !peers[x]
			case op == "leave":
				f.want(x, false, set)
				w.list = slices.DeleteFunc(w.list, func(m *twinFetch) bool { return m.x == x })
			case op == "return":
				if f.want(x, true, set); !slices.ContainsFunc(w.list, func(m *twinFetch) bool { return m.x == x }) {
					w.turn++
					w.list = append(w.list, &twinFetch{x: x, joined: w.turn, tried: x.fetching.tried})
				}
			}
			f.balance(now, func(x *queued) bool { return peers[x] }, set)
			if want := w.balance(now, peers); !maps.Equal(fetching, want) {
				rt.Fatalf("%d fetch, not %d, or others", len(fetching), len(want))
			}
			if got := f.running.Len() + f.fresh.Len() + f.retries.Len(); got != len(w.list) {
				rt.Fatalf("%d are in the lists, not %d", got, len(w.list))
			}
		}
	})
}
