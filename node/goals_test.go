package node

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/blocklist"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// A torrent is seeded until it reaches its ratio, counted over all runs, or its seeding
// time.
func TestSeedingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(31, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, map[string]int{"x": 300_000})
		dir := t.TempDir()
		ratio := func(c *Config) { c.SeedRatio = 1.5 }
		leech := func(num int) {
			b := start(t, n, num, noDHT)
			wait(t, b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()}).Done(), time.Minute, "the download")
			b.close()
		}
		a := start(t, n, 1, noDHT, ratio, state(dir))
		x := a.add(spec)
		leech(2)
		time.Sleep(2 * time.Minute)
		if got := x.Ratio(); got < 1 || got > 1.01 || a.saw(Seeded) {
			t.Fatalf("after one download the ratio is %v", got)
		}
		a.close()

		a = start(t, n, 1, noDHT, ratio, state(dir))
		x = a.add(spec)
		if x.Ratio() != 0 && x.Ratio() < 1 || x.Uploaded() < 300_000 {
			t.Errorf("the next run begins with %d bytes uploaded", x.Uploaded())
		}
		leech(3)
		wait(t, x.Ended(), 2*time.Minute, "the end of seeding")
		if !a.saw(Seeded) || len(a.running()) != 0 {
			t.Error("there was no event, or the torrent still runs")
		}
		a.close()

		a = start(t, n, 4, noDHT, func(c *Config) { c.SeedTime = time.Hour })
		x = a.add(spec)
		time.Sleep(59 * time.Minute)
		if a.saw(Seeded) {
			t.Error("ended too early")
		}
		wait(t, x.Ended(), 2*time.Minute, "the end of seeding")
	})
}

// The goals of a torrent replace those of the settings. A torrent of the session that reaches
// one is paused for good and says so, until it is resumed: the same goal does not stop it again.
func TestGoalsOfATorrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(33, simnet.Link{Delay: 20 * ms})
		specs := many(t, 4)
		set := func(c *Config) { c.NoDHT, c.SeedTime, c.SeedIdle = true, 10*time.Hour, 20*time.Hour }
		a := start(t, n, 1, set)
		goals := []Goals{{}, {Time: -1}, {Time: time.Hour}, {Time: -1, Idle: 2 * time.Hour}}
		for i, s := range specs {
			s.Goals, s.Persistent = goals[i], true
			awaitComplete(t, a.add(s))
		}
		check := func(r *rig, when string, finished ...bool) {
			t.Helper()
			for i, s := range specs {
				x := r.torrentOf(s)
				if got := x.Details().Finished; got != finished[i] || got != (x.Phase() == lifecycle.Paused) {
					t.Errorf("%s: number %d is finished: %v, %v", when, i, got, x.Phase())
				}
			}
		}
		time.Sleep(59 * time.Minute)
		check(a, "before", false, false, false, false)
		time.Sleep(2 * time.Minute)
		check(a, "after 1 h", false, false, true, false)
		time.Sleep(time.Hour)
		check(a, "after 2 h", false, false, true, true)
		var reached []Goal
		for _, e := range a.allEvents() {
			if e.Kind == Seeded {
				reached = append(reached, e.Goal)
			}
		}
		if !slices.Equal(reached, []Goal{GoalTime, GoalIdle}) {
			t.Errorf("the events name %q", reached)
		}
		for _, i := range []int{2, 3} {
			if err := a.torrentOf(specs[i]).Resume(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		check(a, "resumed", false, false, false, false)
		if g := a.torrentOf(specs[2]).Details().Goals; g != (Goals{Time: -1}) {
			t.Errorf("the goals are %+v", g)
		}
		time.Sleep(time.Hour + time.Minute)
		check(a, "idle again", false, false, false, true)
		time.Sleep(7 * time.Hour)
		check(a, "after 10 h", true, false, false, true)
		if err := a.torrentOf(specs[1]).SetGoals(t.Context(), Goals{Idle: 5 * time.Hour}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		check(a, "with other goals", true, true, false, true)
		if err := a.torrentOf(specs[1]).SetGoals(t.Context(), Goals{Ratio: math.NaN()}); err == nil {
			t.Error("a ratio that is no number was taken")
		}
		a.close()
		b := start(t, n, 1, set, state(a.state))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitComplete(t, b.torrentOf(specs[2]))
		check(b, "restored", true, true, false, true)
		if g := b.torrentOf(specs[1]).Details().Goals; g != (Goals{Idle: 5 * time.Hour}) {
			t.Errorf("restored with %+v", g)
		}
	})
}

// The seeding time counts over all runs, and not while the torrent is paused.
func TestSeedingTimeCountsOverAllRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(35, simnet.Link{Delay: 20 * ms})
		spec := inSession(many(t, 1)[0])
		spec.Goals.Time = 2 * time.Hour
		a := start(t, n, 1, noDHT)
		x := a.add(spec)
		awaitComplete(t, x)
		time.Sleep(time.Hour)
		if err := x.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		if err := x.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.close()
		b := start(t, n, 1, noDHT, state(a.state))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		x = b.torrentOf(spec)
		time.Sleep(58 * time.Minute)
		if x.Details().Finished {
			t.Error("it stopped too early")
		}
		time.Sleep(3 * time.Minute)
		if !x.Details().Finished {
			t.Error("it did not stop")
		}
	})
}

// A torrent that uploads is not idle.
func TestIdleTimeBeginsWithTheLastUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(34, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, noDHT, func(c *Config) { c.SeedIdle = time.Hour })
		x := a.add(inSession(spec))
		awaitComplete(t, x)
		time.Sleep(50 * time.Minute)
		b := start(t, n, 2, noDHT)
		wait(t, b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()}).Done(), time.Minute, "the download")
		time.Sleep(55 * time.Minute)
		if x.Details().Finished {
			t.Error("it stopped 55 minutes after an upload")
		}
		time.Sleep(7 * time.Minute)
		if !x.Details().Finished || a.await(Seeded, time.Second).Goal != GoalIdle {
			t.Error("it did not stop")
		}
	})
}

// An address on the blocklist is neither dialled nor answered.
func TestBlocklist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(32, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		var l blocklist.List
		if err := l.Read(strings.NewReader(netip.PrefixFrom(at(2).Addr(), 32).String())); err != nil {
			t.Fatal(err)
		}
		start(t, n, 1, noDHT, func(c *Config) { c.Blocklist = &l }).add(spec)
		b := start(t, n, 2, noDHT)
		x := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
		c := start(t, n, 3, noDHT)
		wait(t, c.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()}).Done(), time.Minute, "the download of a node that is not on the list")
		time.Sleep(time.Minute)
		if s := x.Snapshot(); s.Metadata || s.Connected != 0 {
			t.Errorf("%+v", s)
		}
		// In the other direction: a node with the blocklist does not dial.
		d := start(t, n, 4, noDHT, func(c *Config) { c.Blocklist = &l })
		b.close()
		e := start(t, n, 2, noDHT)
		e.add(spec)
		y := d.add(Spec{Link: withPeers(spec, at(2).String()), Dir: t.TempDir()})
		time.Sleep(time.Minute)
		if s := y.Snapshot(); s.Metadata || e.host.Conns() != 0 {
			t.Errorf("%+v; %d connections", s, e.host.Conns())
		}
	})
}

// saw reports whether there was an event of that kind.
func (r *rig) saw(k EventKind) bool {
	return slices.ContainsFunc(r.allEvents(), func(e Event) bool { return e.Kind == k })
}
