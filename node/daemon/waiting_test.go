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
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/lifecycle"
)

// seeder is the address of the node of seedsOf.
var seeder = fmt.Sprintf("10.0.0.9:%d", node.DefaultPort)

// seedsOf starts a node that seeds some files, and returns their torrents.
func seedsOf(t *testing.T, n *simnet.Net, dir string, count int) (torrents []*metainfo.Info) {
	t.Helper()
	network, err := n.Host(netip.MustParseAddr("10.0.0.9")).Open(node.DefaultPort)
	if err != nil {
		t.Fatal(err)
	}
	s, err := node.Open(node.Config{State: filepath.Join(dir, "seeder"), NoDHT: true, Network: network})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	data := filepath.Join(dir, "shared")
	for i := range count {
		file, err := metainfo.ParseTorrent(shared(t, data, fmt.Sprint("film", i)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Add(node.Spec{Torrent: file, Dir: data, Seed: true}); err != nil {
			t.Fatal(err)
		}
		torrents = append(torrents, file.Info)
	}
	return torrents
}

// Magnets that wait for their turn fetch their metadata, a few at a time, and go on waiting: they take
// no slot, and no file of theirs is written. Those without peers, however many, do not keep others
// from it: new ones come first, and the others take turns. Paused ones fetch nothing. A restart keeps
// what was fetched.
func TestWaitingMagnetsFetchTheirMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const dead, live = 30, 20
		dir := t.TempDir()
		n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
		infos := seedsOf(t, n, dir, live+1)
		d := simulatedAt(t, n, dir, daemon.QueueSettings{Downloads: 2})
		events := d.Node().Subscribe(node.Changed, node.Metadata)
		r := &queueRig{Daemon: d, t: t}
		add := func(link string, paused bool, peers ...string) *node.Torrent {
			x, _, err := r.Add(t.Context(), daemon.AddRequest{Link: link, Paused: paused, Peers: peers})
			r.do(err)
			r.torrents = append(r.torrents, x)
			return x
		}
		most, turns := 0, map[*node.Torrent]bool{}
		look := func() {
			synctest.Wait()
			count := 0
			for i, x := range r.torrents {
				if x.IsFetching() {
					count++
					turns[x] = true
				}
				if p := x.Phase(); i >= 2 && p != lifecycle.Queued && p != lifecycle.Paused {
					t.Fatalf("%d is %v", i, p)
				}
			}
			most = max(most, count)
		}
		for i := range dead {
			add(magnet(i), false)
		}
		look()
		for range 5 * 60 { // each has a turn
			time.Sleep(time.Second)
			look()
		}
		var films []*node.Torrent
		began := time.Now()
		for _, info := range infos[:live] {
			films = append(films, add(node.LinkOf(info), false, seeder))
		}
		paused := add(node.LinkOf(infos[live]), true, seeder)
		for range 900 {
			time.Sleep(100 * time.Millisecond)
			look()
		}
		for i, x := range films {
			if s := x.Snapshot(); !x.HasMetadata() || x.Name() != fmt.Sprint("film", i) || s.Size == 0 || s.State != lifecycle.Queued {
				t.Errorf("after %v, number %d shows %q: %v, %+v", time.Since(began), i, x.Name(), s.State, s.Stats)
			}
			if why, want := r.WhyQueued(x), fmt.Sprintf("waiting: 2 of 2 downloads run; place %d", dead+i+1); why != want {
				t.Errorf("it says %q, not %q", why, want)
			}
		}
		if paused.HasMetadata() || paused.Phase() != lifecycle.Paused {
			t.Errorf("the paused one is %v", paused.Phase())
		}
		r.runs("with the metadata", "01")
		if most != 8 {
			t.Errorf("%d fetch at the same time", most)
		}
		clear(turns)
		for range 5 * 60 {
			time.Sleep(time.Second)
			look()
		}
		for i := 2; i < dead; i++ {
			if !turns[r.torrents[i]] {
				t.Errorf("%d had no second turn", i)
			}
		}
		if left, err := os.ReadDir(filepath.Join(dir, "data")); err == nil && len(left) > 0 {
			t.Errorf("files were written: %v", left)
		}
		told := map[string]bool{}
		for _, e := range events.Take() {
			told[e.InfoHash.String()] = true
		}
		for _, x := range films {
			if !told[x.InfoHash().String()] {
				t.Errorf("no event of %s", x.Name())
			}
		}
		closed(t, d)

		again := simulatedAt(t, n, dir, daemon.QueueSettings{Downloads: 2})
		for i, info := range infos[:live] {
			x, err := again.Find(info.Hash.String())
			r.do(err)
			if s := x.Snapshot(); x.Name() != fmt.Sprint("film", i) || s.Size == 0 {
				t.Errorf("after a restart, number %d shows %q, %+v", i, x.Name(), s.Stats)
			}
			if i == 0 {
				r.do(again.Requeue(t.Context(), []*node.Torrent{x}, daemon.Top))
				select {
				case <-x.Done():
				case <-time.After(time.Minute):
					t.Errorf("at the top of the queue it is %v", x.Phase())
				}
			}
		}
		closed(t, again)
	})
}

// A magnet that waits and whose turn comes while it fetches its metadata, or just after, downloads.
func TestAMagnetDownloadsWhenItsTurnComes(t *testing.T) {
	for after := time.Duration(0); after < 500*time.Millisecond; after += 20 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
			info := seedsOf(t, n, dir, 1)[0]
			d := simulatedAt(t, n, dir, daemon.QueueSettings{Downloads: 1})
			first, _, err := d.Add(t.Context(), daemon.AddRequest{Link: magnet(0)})
			if err != nil {
				t.Fatal(err)
			}
			x, _, err := d.Add(t.Context(), daemon.AddRequest{Link: node.LinkOf(info), Peers: []string{seeder}})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(after)
			if err := first.Pause(t.Context()); err != nil {
				t.Fatal(err)
			}
			select {
			case <-x.Done():
			case <-time.After(time.Minute):
				t.Fatalf("after %v it is %v: %s", after, x.Phase(), d.WhyQueued(x))
			}
			if b, err := os.ReadFile(filepath.Join(dir, "data", "film0")); err != nil || string(b) != strings.Repeat("film0", 1000) {
				t.Errorf("the file: %v", err)
			}
			closed(t, d)
		})
	}
}
