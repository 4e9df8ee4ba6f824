package pins

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/node/follow"
)

// block keeps the pin or list of a link from being started or removed, as another follower of it does.
// The caller calls the returned function to end that.
func (h *home) block(l *magnet.Link) (end func()) {
	h.t.Helper()
	f, err := follow.Start(h.Node.Node, follow.Config{Link: l, Dir: h.t.TempDir()})
	if err != nil {
		h.t.Fatal(err)
	}
	return f.Close
}

// ending returns the number of pins and lists that are not completely removed.
func (h *home) ending() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.endings)
}

// Remove of a pin that has nothing to do, or that could not be started, deletes its data before it returns, and
// returns what it could not remove.
func TestAPinThatDoesNotRunIsRemovedAtOnce(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a := start(t, n, 1)
		a.publishFile(0, 1000)
		s := a.add(keyLink(0), 0)
		if s.State != Elsewhere {
			t.Fatalf("%+v", s)
		}
		filetest.Write(t, filepath.Join(s.Dir, "left"), []byte("of the time before it was published here"))
		if _, err := a.Remove(t.Context(), s.ID, true); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.Dir); !os.IsNotExist(err) || a.ending() != 0 {
			t.Errorf("the data is still there: %v; %d endings", err, a.ending())
		}

		unblock := a.block(keyLink(1))
		if s = a.add(keyLink(1), 0); s.State != Failed {
			t.Fatalf("%+v", s)
		}
		if _, err := a.Remove(t.Context(), s.ID, true); err == nil || !strings.Contains(err.Error(), "not completely removed") {
			t.Error("Remove returns", err)
		}
		unblock()
		time.Sleep(2 * time.Minute)
		if a.ending() != 0 {
			t.Error("it was not removed later")
		}
	})
}

// A list that is subscribed to again before it was completely removed stays, also after a restart.
func TestAListIsSubscribedToAgainWhileItEnds(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a, dir := start(t, n, 1), t.TempDir()
		a.publishFile(0, 1000)
		a.add(keyLink(0), 0)
		a.publishList(10)
		b := startIn(t, n, 2, dir)
		unblock := b.block(keyLink(10))
		b.subscribe(keyLink(10), 1e6, 0)
		if err := b.Unsubscribe(t.Context(), idOf(keyLink(10))); err == nil || b.ending() != 1 {
			t.Fatal(err, b.ending())
		}
		b.subscribe(keyLink(10), 1e6, 0)
		before := b.Warnings()
		unblock()
		b.reaches(keyLink(0), Held, 1)
		time.Sleep(5 * time.Minute)
		if got := b.Warnings(); got != before || b.ending() != 0 {
			t.Errorf("%d endings; warnings %s", b.ending(), got)
		}
		b.Close()
		a.Close() // the list cannot be downloaded again
		b = startIn(t, n, 2, dir)
		time.Sleep(2 * time.Minute)
		if s := b.Subscriptions(); len(s) != 1 || s[0].Seq != 1 || onDisk(filepath.Join(dir, "pins", s[0].ID.String())) == 0 {
			t.Errorf("after a restart: %+v, %d follows", s, len(filetest.Entries(t, filepath.Join(dir, "state", "follows"))))
		}
	})
}

// If a link cannot be pinned again because the record cannot be saved, its removal goes on.
func TestARemovalGoesOnIfPinningAgainFails(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a := start(t, n, 1)
		unblock := a.block(keyLink(0))
		s := a.add(keyLink(0), 0)
		filetest.Write(t, filepath.Join(s.Dir, "data"), []byte("data"))
		if _, err := a.Remove(t.Context(), s.ID, true); err == nil {
			t.Fatal("it is removed already")
		}
		file := filepath.Join(t.TempDir(), "file")
		filetest.Write(t, file, nil)
		if err := a.List(filepath.Join(file, "list")); err == nil { // from now on, save fails
			t.Fatal("a file below a file was written")
		}
		if _, _, err := a.Add(t.Context(), AddConfig{Link: keyLink(0)}); err == nil || len(a.Pins()) != 0 {
			t.Fatal("it is pinned without a record:", err)
		}
		if err := a.List(""); err != nil {
			t.Fatal(err)
		}
		unblock()
		time.Sleep(2 * time.Minute)
		if _, err := os.Stat(s.Dir); !os.IsNotExist(err) || a.ending() != 0 {
			t.Errorf("the data is still there: %v; %d endings", err, a.ending())
		}
	})
}

// The removal of a torrent whose link has only the v2 infohash is completed after a kill: nothing of it stays in
// the state directory.
func TestAnInterruptedRemovalOfAV2LinkIsCompleted(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a, dir := start(t, n, 1), t.TempDir()
		p, _ := a.publishFile(0, 50000)
		link := &magnet.Link{V2: p.Torrent().Info().HashV2, HasV2: true}
		b := startIn(t, n, 2, dir)
		b.add(link, 0)
		b.reaches(link, Held, 0)
		b.Close()
		torrents := filepath.Join(dir, "state", "torrents")
		if len(filetest.Entries(t, torrents)) == 0 {
			t.Fatal("the state directory has nothing of it")
		}
		b.editRecord(func(r *record) {
			r.Endings, r.Pins = []savedEnding{{r.Pins[0].Link, r.Pins[0].Dir, true}}, nil
		})
		b = startIn(t, n, 2, dir)
		time.Sleep(10 * time.Second)
		if left := filetest.Entries(t, torrents); len(left) != 0 || b.ending() != 0 || onDisk(filepath.Join(dir, "pins")) != 0 {
			t.Errorf("%v is left, %d endings", left, b.ending())
		}
	})
}

// A pin whose follow record is damaged ends, and its data is deleted. The record is reported once, and stays.
func TestAPinWithADamagedRecordEnds(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a, dir := start(t, n, 1), t.TempDir()
		a.publishFile(0, 50000)
		b := startIn(t, n, 2, dir)
		s := b.add(keyLink(0), 0)
		b.reaches(keyLink(0), Held, 1)
		b.Close()
		damaged := filepath.Join(dir, "state", "follows", s.ID.String(), "record")
		if err := os.WriteFile(damaged, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		b = startIn(t, n, 2, dir)
		b.reaches(keyLink(0), Failed, 0)
		if _, err := b.Remove(t.Context(), s.ID, true); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Minute)
		if _, err := os.Stat(s.Dir); !os.IsNotExist(err) || b.ending() != 0 {
			t.Errorf("the data is still there: %v; %d endings", err, b.ending())
		}
		if got := b.Warnings(); strings.Count(got, damaged+" is damaged") != 1 {
			t.Errorf("warnings %q", got)
		}
		if got, err := os.ReadFile(damaged); string(got) != "{" {
			t.Errorf("the record is %q: %v", got, err)
		}
	})
}
