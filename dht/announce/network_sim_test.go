package announce

import (
	"os"
	"testing"
	"time"

	"seedbed/dht/lookup"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// flat returns the lowest and the highest rate of any whole minute, relative to the
// mean.
func flat(perMinute []int) (low, high, mean float64) {
	low = 1 << 30
	for _, n := range perMinute {
		mean += float64(n) / float64(len(perMinute))
	}
	for _, n := range perMinute {
		low, high = min(low, float64(n)/mean), max(high, float64(n)/mean)
	}
	return low, high, mean / 60
}

func TestTenThousandInfohashes(t *testing.T) {
	span := 2 * time.Hour
	if os.Getenv("SEEDBED_SOAK") != "" {
		span = 24 * time.Hour
	}
	n := newNetwork(1, 2000, 0.25)
	n.loss = 0.01
	w := newWorld(n, Config{})
	keys := w.addMany(10_000)
	recalled := w.recall(keys[:100])
	begun := w.now
	for w.now.Sub(begun) < span {
		w.run(time.Minute)
		w.churn(2)
	}
	st := w.Stats(w.now)
	low, high, mean := flat(w.perMinute[1 : len(w.perMinute)-1])
	var longest time.Duration
	for _, k := range keys {
		h := w.received[k]
		if h == nil {
			t.Fatalf("%v was never announced", k)
		}
		longest = max(longest, h.longest, w.now.Sub(h.last))
	}
	recall := recalled()
	separate := n.separate(t, w, keys[:300])
	cost := float64(st.Sent) / float64(st.Visits)
	t.Logf("%v: %d visits, %d packets, %.1f each (separate lookups: %.1f, ratio %.2f); longest interval %v",
		span, st.Visits, st.Sent, cost, separate, cost/separate, longest)
	t.Logf("rate %.0f packets/s, minutes %.2f to %.2f of it; recall of the 8 closest %.3f; %+v", mean, low, high, recall, st)
	if longest > 20*time.Minute || st.Late > 0 || st.Overloaded {
		t.Errorf("late: %v", longest)
	}
	if low < 0.8 || high > 1.2 || mean > 250 {
		t.Errorf("the rate is not flat")
	}
	if recall < 0.95 || cost > 0.6*separate || w.wrongTokens > 0 {
		t.Errorf("recall %.3f, cost %.1f of %.1f, %d wrong tokens", recall, cost, separate, w.wrongTokens)
	}
}

// separate returns how many packets an announce takes if it runs its own lookup
// from the same table.
func (n *network) separate(t testing.TB, w *world, keys []id.ID) float64 {
	sent := 0
	for _, k := range keys {
		var start []lookup.Node
		for _, s := range near(w.table, k, 16) {
			if !n.byAddr[s.Addr].away {
				start = append(start, lookup.Node{ID: s.ID, Addr: s.Addr, RTT: n.rtt()})
			}
		}
		now := mono.Time(time.Second)
		l := lookup.New(lookup.Config{}, k, start, now)
		var flying arrivals
		for !l.Done() {
			if q, ok := l.Next(now); ok {
				sent++
				if s := n.byAddr[q.Addr]; !s.away {
					flying = append(flying, arrival{now.Add(n.rtt()), Query{Addr: q.Addr}, s})
				}
				continue
			}
			first := -1
			for i := range flying {
				if first < 0 || flying[i].at < flying[first].at {
					first = i
				}
			}
			if at := l.Deadline(); first < 0 || at < flying[first].at {
				now = at
				continue
			}
			a := flying[first]
			flying = append(flying[:first], flying[first+1:]...)
			now = a.at
			var nodes []lookup.Node
			for _, o := range near(a.s.known, k, 8) {
				nodes = append(nodes, lookup.Node{ID: o.ID, Addr: o.Addr})
			}
			l.Reply(now, a.s.Addr, a.s.ID, nodes, nil, a.s.token(k))
		}
		sent += len(l.Closest())
	}
	return float64(sent) / float64(len(keys))
}
