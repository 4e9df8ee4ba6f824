package follow

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// A follower goes back to an earlier version and stays there, also after a restart, while newer ones
// are published. Then it continues with the newest.
func TestAFollowerStaysAtAnEarlierVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir := nodetest.Site(t, 5)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		state, to := t.TempDir(), t.TempDir()
		b := start(t, n, 2, nodetest.Boot(101), nodetest.State(state))
		f := b.follow(testKey(0), to)
		reaches(t, f, 1, 2*time.Minute)
		first := filepath.Join(t.TempDir(), "first")
		if err := os.CopyFS(first, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		change := func(text string) {
			filetest.Write(t, filepath.Join(dir, "d1", "page 1"), []byte(text))
			a.update(p)
		}
		change("second")
		reaches(t, f, 2, 2*time.Minute)
		current := filepath.Join(to, "current", "site")

		var fault *node.Fault
		if err := f.Stay(t.Context(), 3); !errors.As(err, &fault) || fault.Kind != node.FaultUsage {
			t.Errorf("a version that is not on disk: %v", err)
		}
		if err := f.Stay(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		stays := func(newest int64) {
			t.Helper()
			filetest.Same(t, first, current)
			d := f.Describe()
			if d.Seq != 1 || f.Seq() != 1 || !d.Stays || d.Newest != newest || d.InfoHash != f.Torrent().InfoHash().String() {
				t.Errorf("%+v, at %d", d, f.Seq())
			}
			if v := f.Versions(); len(v) != 2 || v[0].Current || !v[1].Current {
				t.Errorf("%+v", v)
			}
		}
		stays(2)
		nodetest.Wait(t, f.Torrent().Done(), time.Minute, "the earlier version is complete")
		if got := len(b.Torrents()); got != 1 {
			t.Errorf("%d torrents", got)
		}
		change("third")
		nodetest.Until(t, 5*time.Minute, "the new version is known", func() bool { return f.Describe().Newest == 3 })
		stays(3)

		b.Close()
		b = start(t, n, 3, nodetest.Boot(101), nodetest.State(state))
		f = b.follow(testKey(0), to)
		nodetest.Until(t, 5*time.Minute, "the new version is known again", func() bool { return f.Describe().Newest == 3 })
		nodetest.Wait(t, f.Torrent().Done(), time.Minute, "the earlier version is complete again")
		stays(3)

		if err := f.Continue(t.Context()); err != nil {
			t.Fatal(err)
		}
		reaches(t, f, 3, time.Minute)
		filetest.Same(t, dir, current)
		if d := f.Describe(); d.Stays || d.Newest != 3 {
			t.Errorf("%+v", d)
		}
		if err := f.Continue(t.Context()); err != nil {
			t.Errorf("without a stay: %v", err)
		}
		f.Close()
		if err := f.Stay(t.Context(), 2); !errors.Is(err, node.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// A stay that is asked for during a poll does not wait for its end, and one whose disk fails changes
// nothing.
func TestStayInterruptsAPollAndMayFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir := nodetest.Site(t, 5)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		state, to := t.TempDir(), t.TempDir()
		b := start(t, n, 2, nodetest.Boot(101), nodetest.State(state))
		f := b.follow(testKey(0), to)
		reaches(t, f, 1, 2*time.Minute)
		filetest.Write(t, filepath.Join(dir, "d1", "page 1"), []byte("second"))
		a.update(p)
		reaches(t, f, 2, 2*time.Minute)

		if err := os.Remove(filepath.Join(to, "current")); err != nil {
			t.Fatal(err)
		}
		filetest.Write(t, filepath.Join(to, "current"), []byte("not a link"))
		before := f.Torrent()
		if err := f.Stay(t.Context(), 1); err == nil {
			t.Error("current is a file, and the stay is no error")
		}
		if d := f.Describe(); d.Stays || d.Seq != 2 || f.Torrent() != before || len(b.Torrents()) != 1 {
			t.Errorf("%+v, %v, %d torrents", d, f.Torrent(), len(b.Torrents()))
		}
		if err := os.Remove(filepath.Join(to, "current")); err != nil {
			t.Fatal(err)
		}

		for _, num := range []int{1, 100, 101, 102, 103, 104, 105} { // now a lookup waits for answers that never come
			n.SetLink(nodetest.Addr(2), nodetest.Addr(num), simnet.Link{Loss: 1})
		}
		nodetest.Until(t, 20*time.Minute, "a poll runs", func() bool { return f.cancelPoll.Load() != nil })
		ctx, cancel := context.WithTimeout(t.Context(), 100*ms)
		defer cancel()
		if err := f.Stay(ctx, 1); err != nil {
			t.Error(err)
		}
		if f.Seq() != 1 {
			t.Errorf("at version %d", f.Seq())
		}
	})
}

// A check finds a new version long before the next poll.
func TestACheckDoesNotWaitForTheNextPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir := nodetest.Site(t, 5)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		f := start(t, n, 2, nodetest.Boot(101)).follow(testKey(0), t.TempDir(), func(c *Config) { c.Poll = 20 * time.Minute })
		reaches(t, f, 1, 2*time.Minute)
		time.Sleep(2 * time.Hour) // now 20 minutes pass between two polls
		f.unsubscribe()           // nothing is pushed
		filetest.Write(t, filepath.Join(dir, "d1", "page 1"), []byte("second"))
		a.update(p)
		time.Sleep(time.Minute)
		if f.Seq() != 1 {
			t.Fatal("the poll came too early for this test")
		}
		if err := f.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		reaches(t, f, 2, time.Minute)
	})
}
