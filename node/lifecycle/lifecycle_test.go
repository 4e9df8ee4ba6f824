package lifecycle

import (
	"fmt"
	"testing"
)

// every calls f with each possible combination of state and intent.
func every(f func(State, Intent)) {
	for p := range phases {
		for _, running := range []bool{false, true} {
			switch p {
			case Metadata, Downloading, Seeding:
				if !running {
					continue
				}
			case Checking: // of a swarm, or of CheckFiles, which is never passed to Next
				if !running {
					continue
				}
			default:
				if running {
					continue
				}
			}
			if p == Moving || p == Removing { // during a step
				continue
			}
			for bits := range 1 << 6 {
				for w := range wants {
					for fail := range failures {
						i := Intent{Want: w, Failure: fail, Move: bits&1 != 0, Recheck: bits&2 != 0, Restart: bits&4 != 0,
							Retry: bits&8 != 0, Wake: bits&16 != 0, Park: bits&32 != 0}
						f(State{p, running}, i)
					}
				}
			}
		}
	}
}

// results returns the possible results of an action.
func results(s State, a Action) []Result {
	switch a {
	case StartSwarm:
		return []Result{{Metadata, true}, {Checking, true}, {s.Phase, false}}
	case ParkSwarm:
		return []Result{{Parked, false}, {Seeding, true}}
	case EnterFailure:
		return []Result{{Failed, false}, {Missing, false}}
	}
	return []Result{{}}
}

// From every phase, with any intent and any result of each step, a torrent comes to rest
// in the right phase after a few steps, without an illegal transition.
func TestEveryIntentLeadsToRest(t *testing.T) {
	const enough = 8 // steps
	var walk func(s State, i Intent, path []string)
	longest, edges := 0, map[[2]Phase]bool{}
	walk = func(s State, i Intent, path []string) {
		a := Next(s, i)
		if a == Rest {
			longest = max(longest, len(path))
			if why := misplaced(s, i); why != "" {
				t.Fatalf("%v rests as %+v with %+v: %s", path, s, i, why)
			}
			return
		}
		if len(path) == enough {
			t.Fatalf("no rest after %v", path)
		}
		for _, r := range results(s, a) {
			during, left := Begin(s, i, a)
			after := Finish(during, a, r)
			edges[[2]Phase{s.Phase, during.Phase}], edges[[2]Phase{during.Phase, after.Phase}] = true, true
			if a == StartSwarm && !r.Running && s.Phase != Parked {
				left.Failure = Broken // see Result
			}
			walk(after, left, append(path[:len(path):len(path)], fmt.Sprintf("%v %v", s.Phase, a)))
		}
	}
	n := 0
	every(func(s State, i Intent) { n++; walk(s, i, nil) })
	t.Logf("%d states with intents, %d steps at most, %d different transitions", n, longest, len(edges))
	for e := range edges {
		if !e[0].CanFollow(e[1]) {
			t.Errorf("%v after %v is not in the table", e[1], e[0])
		}
	}
}

// misplaced returns what is wrong with resting in a state with an intent, or "".
func misplaced(s State, i Intent) string {
	switch {
	case s.Phase == Adding || s.Phase == Ended:
		return ""
	case i.Want == End || i.Want == Remove:
		return "it was to leave"
	case i.Want == Pause && s != State{Phase: Paused}:
		return "it was to be paused"
	case i.Failure != NoFailure || i.Move || i.Recheck:
		return "a request is left"
	case i.Want == Run && (s.Phase == Paused || s.Phase == Queued):
		return "it was to run"
	}
	return ""
}

// A request during a step is served after the step.
func TestARequestDuringAStepIsServed(t *testing.T) {
	for _, c := range []struct {
		state State
		first Intent
		then  Intent
		want  []Action
	}{
		{State{Seeding, true}, Intent{Park: true}, Intent{Wake: true}, []Action{ParkSwarm, StartSwarm}},
		{State{Parked, false}, Intent{Wake: true}, Intent{Want: End}, []Action{StartSwarm, StopSwarm, Leave}},
		{State{Downloading, true}, Intent{Move: true}, Intent{Want: Pause}, []Action{StopSwarm, MoveFiles, EnterPause}},
		{State{Paused, false}, Intent{Want: Pause, Move: true}, Intent{Want: Remove}, []Action{MoveFiles, RemoveAll}},
		{State{Failed, false}, Intent{Retry: true}, Intent{Recheck: true}, []Action{StartSwarm, StopSwarm, CheckFiles, StartSwarm}},
	} {
		s, i := c.state, c.first
		for k, want := range c.want {
			a := Next(s, i)
			if a != want {
				t.Fatalf("%v, %+v: step %d is %v, not %v", c.state, c.first, k, a, want)
			}
			s, i = Begin(s, i, a)
			if k == 0 {
				more := c.then
				more.Move, more.Recheck = more.Move || i.Move, more.Recheck || i.Recheck
				i = more
			}
			s = Finish(s, a, Result{Checking, a == StartSwarm})
		}
	}
}

func TestAnIllegalTransitionPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Removing became Seeding")
		}
	}()
	State{Removing, true}.Observe(Seeding)
}

func TestOnlyASwarmIsObserved(t *testing.T) {
	for p := range phases {
		if got := (State{Phase: Queued}).Observe(p); got.Phase != Queued {
			t.Errorf("%v was observed of a torrent that does not run", p)
		}
	}
	if got := (State{Checking, true}).Observe(Metadata); got.Phase != Checking {
		t.Error("the metadata was forgotten")
	}
}
