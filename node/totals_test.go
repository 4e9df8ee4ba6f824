package node

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// killed returns a copy of a state directory, which is what a kill at this instant leaves.
func killed(t testing.TB, state string) string {
	t.Helper()
	synctest.Wait()
	to := filepath.Join(t.TempDir(), "state")
	if err := os.CopyFS(to, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	return to
}

// The totals of a torrent go on after a restart and after a kill, which loses at most what came
// after the last save.
func TestTotalsSurviveRestartsAndKills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(93, simnet.Link{Delay: 20 * ms, Rate: 10e3})
		whole, _ := folder(t, ShareOptions{}, small)
		seed := start(t, n, 9, noDHT)
		seed.add(whole)
		b := start(t, n, 1, noDHT)
		spec := inSession(Spec{Link: withPeers(whole, at(9).String()), Dir: t.TempDir()})
		x := b.add(spec)
		began := time.Now()
		wait(t, x.Done(), 10*time.Minute, "the download")
		took := time.Since(began)
		seed.close()
		time.Sleep(20 * time.Minute)
		size := x.Info().Payload()
		done := x.Totals()
		if y := done; y.Downloaded < size || y.Wasted != y.Downloaded-size || y.Uploaded != 0 || y.Downloading > took || y.Downloading < took-10*time.Second ||
			(y.Seeding-20*time.Minute).Abs() > time.Second || y.Added.IsZero() || y.Completed.Sub(began.Add(took)).Abs() > time.Second ||
			y.Active.Sub(y.Completed).Abs() > 2*time.Second {
			t.Errorf("after %v of download and 20 minutes of seeding: %+v", took, y)
		}
		after := killed(t, b.state)
		b.close()

		check := func(where string, state string, num int, lost time.Duration) {
			c := start(t, n, num, noDHT, func(c *Config) { c.State = state })
			if err := c.Restore(t.Context()); err != nil {
				t.Fatal(err)
			}
			x := c.torrentOf(spec)
			reachesPhase(t, x, lifecycle.Seeding)
			y := x.Totals()
			missing := done.Seeding - y.Seeding
			y.Seeding = done.Seeding
			if missing > lost || missing < -time.Minute || y != done {
				t.Errorf("%s: %v of seeding are lost; %+v, not %+v", where, missing, y, done)
			}
		}
		check("after a kill", after, 2, saveEvery)
		check("after a restart", b.state, 3, time.Second)
	})
}

// A parked torrent saves nothing while it is parked, and a kill still loses at most the last
// minutes of the time that it was parked.
func TestParkedTorrentsCountTheirTimeWithoutSaving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(94, simnet.Link{Delay: 20 * ms})
		a := start(t, n, 1, noDHT)
		specs := many(t, parkBeyond+6)
		for i := range specs {
			specs[i].Persistent = true
			awaitComplete(t, a.add(specs[i]))
		}
		time.Sleep(time.Hour)
		last := specs[len(specs)-1]
		written, err := os.Stat(filepath.Join(a.state, "session"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if got := parked(a); got != len(specs) {
			t.Fatalf("%d of %d are parked", got, len(specs))
		}
		if now, err := os.Stat(filepath.Join(a.state, "session")); err != nil || now.Size() != written.Size() {
			t.Error("the record of a parked torrent was written again", err)
		}
		state := killed(t, a.state)
		a.close()
		time.Sleep(24 * time.Hour) // the node does not run
		for range 2 {
			b := start(t, n, 2, noDHT, func(c *Config) { c.State = state })
			if err := b.Restore(t.Context()); err != nil {
				t.Fatal(err)
			}
			x := b.torrentOf(last)
			if p := x.Phase(); p != lifecycle.Parked {
				t.Fatalf("it is %v after a restart", p)
			}
			if y := x.Totals(); (y.Seeding-3*time.Hour).Abs() > saveEvery+time.Minute || y.Completed.IsZero() {
				t.Errorf("after 3 hours: %+v", y)
			}
			b.close()
		}
	})
}
