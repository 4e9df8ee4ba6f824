package node

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"seedbed/node/lifecycle"
)

// Ratio returns Uploaded divided by the wanted size of the torrent, or 0 while the size is
// not known.
func (t *Torrent) Ratio() float64 {
	wanted := t.Snapshot().Wanted
	if wanted == 0 {
		return 0
	}
	return float64(t.Uploaded()) / float64(wanted)
}

// Goals are the seeding goals of a torrent: it stops when the first of them is reached. Each is
// that of Settings if it is 0, and none if it is negative.
type Goals struct {
	Ratio float64       `json:"ratio,omitempty"`   // bytes uploaded over all runs, divided by the wanted size
	Idle  time.Duration `json:"idle_ns,omitempty"` // since it has last uploaded anything
	Time  time.Duration `json:"time_ns,omitempty"` // how long it has been seeding, over all runs
}

func (g *Goals) validate() error {
	if math.IsNaN(g.Ratio) || math.IsInf(g.Ratio, 0) {
		return fmt.Errorf("%v is not a ratio such as 1.5", g.Ratio)
	}
	return nil
}

// within returns the goals of a torrent with the settings s. A goal of 0 is none.
func (g Goals) within(s *Settings) Goals {
	return Goals{max(cmp.Or(g.Ratio, s.SeedRatio), 0), max(cmp.Or(g.Idle, s.SeedIdle), 0), max(cmp.Or(g.Time, s.SeedTime), 0)}
}

// without returns the goals without those that are not 0 in reached.
func (g Goals) without(reached Goals) Goals {
	if reached.Ratio > 0 {
		g.Ratio = -1
	}
	if reached.Time > 0 {
		g.Time = -1
	}
	return g // the idle time starts at 0 again
}

// Goal names a seeding goal.
type Goal string

const (
	GoalRatio Goal = "ratio"
	GoalIdle  Goal = "idle"
	GoalTime  Goal = "time"
)

// first returns the name of the first goal that is not 0, or "".
func (g Goals) first() Goal {
	switch {
	case g.Ratio > 0:
		return GoalRatio
	case g.Idle > 0:
		return GoalIdle
	case g.Time > 0:
		return GoalTime
	}
	return ""
}

// reachedGoals returns the goals that the torrent has reached; the others are 0.
func (t *Torrent) reachedGoals(now time.Time) (reached Goals) {
	g := t.spec().Goals.within(t.node.settings.Load())
	if g.Ratio > 0 && t.Ratio() >= g.Ratio {
		reached.Ratio = g.Ratio
	}
	if since := t.idleSince.Load(); g.Idle > 0 && since != 0 && now.UnixNano()-since >= int64(g.Idle) {
		reached.Idle = g.Idle
	}
	if g.Time > 0 && t.Totals().Seeding >= g.Time {
		reached.Time = g.Time
	}
	return reached
}

// seedGoal stops the torrent if it has reached a seeding goal. It is called at intervals.
func (t *Torrent) seedGoal(now time.Time) {
	if p := t.Phase(); p != lifecycle.Seeding && p != lifecycle.Parked || !t.complete.Load() || t.isStopping() || t.Details().Finished {
		t.idleSince.Store(0)
		return
	}
	t.idleSince.CompareAndSwap(0, now.UnixNano())
	if r := t.run.Load(); r != nil {
		if up := r.swarm.Snapshot().Uploaded; up != r.lastUploaded {
			r.lastUploaded = up
			t.idleSince.Store(now.UnixNano())
		}
	}
	if goal := t.reachedGoals(now).first(); goal != "" {
		t.emit(Event{Kind: Seeded, Uploaded: t.Uploaded(), Ratio: t.Ratio(), Goal: goal})
		t.finishSeeding()
	}
}

// finishSeeding stops a torrent that has reached its goal: it pauses a torrent of the
// session, and removes any other from the node.
func (t *Torrent) finishSeeding() {
	if !t.inSession() {
		t.stop()
		return
	}
	go func() {
		err := t.change(t.node.ctx, editEntry(func(k *sessionEntry) { k.want, k.finished, k.forced = wantPause, true, false }),
			func(i *lifecycle.Intent) { i.Want = max(i.Want, lifecycle.Pause) })
		if err != nil && t.node.ctx.Err() == nil {
			t.emit(Event{Kind: Warning, Err: err})
		}
	}()
}
