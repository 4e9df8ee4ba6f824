package daemon_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/lifecycle"
)

// simulated opens a daemon on a simulated network, in a bubble.
func simulated(t testing.TB, dir string, set daemon.QueueSettings) *daemon.Daemon {
	t.Helper()
	return simulatedAt(t, simnet.New(1, simnet.Link{}), dir, set)
}

// simulatedAt opens a daemon at 10.0.0.1 of a simulated network.
func simulatedAt(t testing.TB, n *simnet.Net, dir string, set daemon.QueueSettings) *daemon.Daemon {
	t.Helper()
	network, err := n.Host(netip.MustParseAddr("10.0.0.1")).Open(node.DefaultPort)
	if err != nil {
		t.Fatal(err)
	}
	d, err := daemon.Open(context.Background(), daemon.Config{
		Node:     node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Network: network},
		Settings: daemon.Settings{Dir: filepath.Join(dir, "data"), Queue: set},
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// setQueue changes the settings of the queue.
func (r *queueRig) setQueue(set daemon.QueueSettings) error {
	s := r.Settings()
	s.Queue = set
	return r.Reload(s)
}

func closed(t testing.TB, d *daemon.Daemon) {
	t.Helper()
	if err := d.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// magnet returns the infohash of torrent number i, which finds no peers.
func magnet(i int) string { return fmt.Sprintf("%040x", i+1) }

// queueRig is a daemon with torrents that download and find nothing.
type queueRig struct {
	*daemon.Daemon
	t        *testing.T
	torrents []*node.Torrent
}

func newQueueRig(t *testing.T, dir string, n int, set daemon.QueueSettings) *queueRig {
	r := &queueRig{simulated(t, dir, set), t, nil}
	for i := range n {
		x, _, err := r.Add(t.Context(), daemon.AddRequest{Link: magnet(i)})
		if err != nil {
			t.Fatal(err)
		}
		r.torrents = append(r.torrents, x)
	}
	return r
}

// runs checks which torrents run, as a string of digits, and that all others wait.
func (r *queueRig) runs(when, want string) {
	r.t.Helper()
	synctest.Wait()
	var got strings.Builder
	for i, x := range r.torrents {
		switch p := x.Phase(); p {
		case lifecycle.Metadata, lifecycle.Downloading, lifecycle.Seeding, lifecycle.Checking:
			fmt.Fprint(&got, i)
			if why := r.WhyQueued(x); why != "" {
				r.t.Errorf("%s: %d is %v and %q", when, i, p, why)
			}
		case lifecycle.Queued:
			if why := r.WhyQueued(x); !strings.HasPrefix(why, "waiting: ") {
				r.t.Errorf("%s: %d waits: %q", when, i, why)
			}
		}
	}
	if got.String() != want {
		r.t.Errorf("%s: %q run, not %q", when, got.String(), want)
	}
}

// order checks the positions of all torrents.
func (r *queueRig) order(when string, want ...int) {
	r.t.Helper()
	for position, i := range want {
		if got := r.QueuePosition(r.torrents[i]); got != position+1 {
			r.t.Errorf("%s: %d is at %d, not %d", when, i, got, position+1)
		}
	}
}

func (r *queueRig) do(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// The first downloads run, as many as the settings allow. When one stops, the next one starts; one
// that is moved to the top takes the place of another. The order survives a restart, which starts
// only those that may run.
func TestTheQueueRunsTheFirstDownloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		two := daemon.QueueSettings{Downloads: 2}
		r := newQueueRig(t, dir, 5, two)
		r.runs("added", "01")
		if why := r.WhyQueued(r.torrents[4]); why != "waiting: 2 of 2 downloads run; place 5" {
			t.Error(why)
		}
		r.do(r.torrents[0].Pause(t.Context()))
		r.runs("0 is paused", "12")
		r.do(r.torrents[0].Resume(t.Context()))
		r.runs("0 is resumed", "01")
		r.do(r.Requeue(t.Context(), []*node.Torrent{r.torrents[4], r.torrents[3]}, daemon.Top))
		r.order("to the top", 3, 4, 0, 1, 2)
		r.runs("to the top", "34")
		r.do(r.Requeue(t.Context(), []*node.Torrent{r.torrents[3]}, daemon.Bottom))
		r.order("to the bottom", 4, 0, 1, 2, 3)
		r.do(r.Requeue(t.Context(), []*node.Torrent{r.torrents[4], r.torrents[0], r.torrents[3]}, daemon.Up))
		r.order("up", 4, 0, 1, 3, 2)
		r.do(r.Requeue(t.Context(), []*node.Torrent{r.torrents[4], r.torrents[2]}, daemon.Down))
		r.order("down", 0, 4, 1, 3, 2)
		r.do(r.SetQueuePosition(t.Context(), r.torrents[2], 2))
		r.order("to position 2", 0, 2, 4, 1, 3)
		r.do(r.SetQueuePosition(t.Context(), r.torrents[0], 4))
		r.order("to position 4", 2, 4, 1, 0, 3)
		r.runs("moved", "24")
		r.do(r.Remove(t.Context(), r.torrents[4], false))
		r.runs("4 is removed", "12")
		r.torrents = r.torrents[:4]
		r.order("4 is removed", 2, 1, 0, 3)
		r.do(r.setQueue(daemon.QueueSettings{Downloads: 3}))
		r.runs("3 slots", "012")
		r.do(r.setQueue(daemon.QueueSettings{}))
		r.runs("no limit", "0123")
		r.do(r.setQueue(daemon.QueueSettings{Downloads: 1}))
		r.runs("1 slot", "2")
		r.do(r.StartNow(t.Context(), r.torrents[3]))
		r.runs("3 at once", "23")
		r.do(r.torrents[3].Pause(t.Context()))
		r.do(r.torrents[3].Resume(t.Context()))
		r.runs("3 is resumed", "2")
		r.do(r.torrents[0].Pause(t.Context()))
		r.do(r.torrents[0].Settled(t.Context()))
		r.do(r.StartNow(t.Context(), r.torrents[0]))
		r.runs("0 at once", "02")
		closed(t, r.Daemon)

		again := simulated(t, dir, two)
		events := again.Node().Subscribe(node.Changed)
		next := &queueRig{again, t, make([]*node.Torrent, 4)}
		for i := range next.torrents {
			var err error
			if next.torrents[i], err = again.Find(magnet(i)); err != nil {
				t.Fatal(err)
			}
		}
		next.order("restored", 2, 1, 0, 3)
		next.runs("restored, 0 at once", "012")
		for _, e := range events.Take() {
			if x, err := again.Find(e.InfoHash.String()); err != nil || x.Phase() == lifecycle.Queued && !x.IsFetching() {
				t.Errorf("%v has changed", e.InfoHash)
			}
		}
		closed(t, again)
	})
}

// A download that transfers nothing keeps running but frees its slot.
func TestStalledTorrentsFreeTheirSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newQueueRig(t, t.TempDir(), 7, daemon.QueueSettings{Downloads: 2, Stalled: 30 * time.Minute})
		time.Sleep(29 * time.Minute)
		r.runs("before", "01")
		time.Sleep(3 * time.Minute)
		r.runs("after half an hour", "0123")
		time.Sleep(31 * time.Minute)
		r.runs("after an hour", "012345")
		r.do(r.torrents[0].Pause(t.Context())) // a stalled one: no slot is free
		r.runs("0 is paused", "12345")
		r.do(r.setQueue(daemon.QueueSettings{Downloads: 2}))
		time.Sleep(2 * time.Minute)
		r.runs("they count again", "12")
		closed(t, r.Daemon)
	})
}

// The limit of seeds holds complete torrents, which are then not announced and answer no peer.
func TestTheQueueOfSeeds(t *testing.T) {
	dir := t.TempDir()
	var files [][]byte
	for i := range 4 {
		files = append(files, shared(t, filepath.Join(dir, "data"), fmt.Sprint("film", i)))
	}
	synctest.Test(t, func(t *testing.T) {
		r := newQueueRig(t, dir, 1, daemon.QueueSettings{Downloads: 2, Seeds: 2})
		for _, b := range files {
			x, _, err := r.Add(t.Context(), daemon.AddRequest{Torrent: b})
			r.do(err)
			r.torrents = append(r.torrents, x)
		}
		time.Sleep(time.Minute)
		r.runs("complete", "012")
		if why := r.WhyQueued(r.torrents[4]); why != "waiting: 2 of 2 seeds run; place 5" {
			t.Error(why)
		}
		r.do(r.torrents[2].SetGoals(t.Context(), node.Goals{Time: time.Hour}))
		time.Sleep(time.Hour + time.Minute)
		r.runs("2 has reached its goal", "013")
		if !r.torrents[2].Details().Finished {
			t.Error("it is not finished")
		}
		closed(t, r.Daemon)
	})
}

// A torrent whose data was missing waits in the queue for its turn again.
func TestMissingTorrentsRunAgainByTheQueue(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	files := [][]byte{shared(t, data, "film0"), shared(t, data, "film1"), shared(t, data, "film2")}
	synctest.Test(t, func(t *testing.T) {
		r := newQueueRig(t, dir, 0, daemon.QueueSettings{Seeds: 1})
		for _, b := range files {
			x, _, err := r.Add(t.Context(), daemon.AddRequest{Torrent: b})
			r.do(err)
			r.torrents = append(r.torrents, x)
		}
		time.Sleep(time.Minute)
		r.runs("complete", "0")
		r.do(os.Rename(data, data+".away"))
		time.Sleep(time.Minute)
		r.runs("without the data", "")
		for i, x := range r.torrents {
			if p := x.Phase(); p != lifecycle.Missing {
				t.Errorf("%d is %v", i, p)
			}
		}
		r.do(os.Rename(data+".away", data))
		time.Sleep(time.Minute)
		r.runs("with the data", "0")
		closed(t, r.Daemon)
	})
}
