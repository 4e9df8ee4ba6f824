package lifecycle

import (
	"fmt"
	"testing"
)

// every calls f with each possible combination of state and intent.
func every(f func(State, Intent)) {
	for p := range NumPhases {
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
			for bits := range 1 << 9 {
				for w := range wants {
					for fail := range failures {
						i := Intent{Want: w, Failure: fail, Move: bits&1 != 0, Recheck: bits&2 != 0, Restart: bits&4 != 0,
							Retry: bits&8 != 0, Wake: bits&16 != 0, Park: bits&32 != 0, Hold: bits&64 != 0, Rename: bits&128 != 0, Fetch: bits&256 != 0}
						f(State{Phase: p, Running: running}, i)
						if p == Queued {
							f(State{Phase: p, Held: true}, i)
						}
					}
				}
			}
		}
	}
}

// results returns the possible results of an action.
func results(s State, i Intent, a Action) []Result {
	switch a {
	case StartSwarm:
		all := []Result{{Metadata, true}, {Checking, true}, {s.Phase, false}}
		if (s.Phase == Missing || s.Phase == Queued) && !i.Hold { // its data is back
			all = append(all, Result{Parked, false})
		}
		return all
	case ParkSwarm:
		return []Result{{Parked, false}, {Seeding, true}}
	case RenameFiles:
		if s.Running {
			return []Result{{Running: true}, {}}
		}
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
			if why := whatIsWrong(s, i); why != "" {
				t.Fatalf("%v rests as %+v with %+v: %s", path, s, i, why)
			}
			return
		}
		if len(path) == enough {
			t.Fatalf("no rest after %v", path)
		}
		for _, r := range results(s, i, a) {
			during, left := Begin(s, i, a)
			after := Finish(during, a, r)
			edges[[2]Phase{s.Phase, during.Phase}], edges[[2]Phase{during.Phase, after.Phase}] = true, true
			if a == StartSwarm && !r.Running && r.Phase != Parked {
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

// whatIsWrong returns why a torrent must not rest in the state with the intent, or "".
func whatIsWrong(s State, i Intent) string {
	switch {
	case s.Phase == Adding || s.Phase == Ended:
		return ""
	case i.Want == End || i.Want == Remove:
		return "it should have left"
	case i.Want == Pause && s != State{Phase: Paused}:
		return "it should be paused"
	case i.Failure != NoFailure || i.Move || i.Rename || i.Recheck:
		return "a request was not served"
	case i.Want == Run && i.Hold && i.Fetch && s.Phase == Metadata:
		return ""
	case i.Want == Run && i.Hold && !s.Held && s.Phase != Failed && s.Phase != Missing:
		return "it should be held"
	case i.Want == Run && !i.Hold && (s.Phase == Paused || s.Phase == Queued):
		return "it should run"
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
		{State{Phase: Seeding, Running: true}, Intent{Park: true}, Intent{Wake: true}, []Action{ParkSwarm, StartSwarm}},
		{State{Phase: Parked, Running: false}, Intent{Wake: true}, Intent{Want: End}, []Action{StartSwarm, StopSwarm, Leave}},
		{State{Phase: Downloading, Running: true}, Intent{Move: true}, Intent{Want: Pause}, []Action{StopSwarm, MoveFiles, EnterPause}},
		{State{Phase: Paused, Running: false}, Intent{Want: Pause, Move: true}, Intent{Want: Remove}, []Action{MoveFiles, RemoveAll}},
		{State{Phase: Downloading, Running: true}, Intent{Rename: true}, Intent{Rename: true}, []Action{RenameFiles, RenameFiles, StartSwarm}},
		{State{Phase: Paused, Running: false}, Intent{Want: Pause, Move: true, Rename: true}, Intent{Want: Pause}, []Action{MoveFiles, RenameFiles, EnterPause}},
		{State{Phase: Checking, Running: true}, Intent{Rename: true}, Intent{}, []Action{StopSwarm, RenameFiles, StartSwarm}},
		{State{Phase: Failed, Running: false}, Intent{Retry: true}, Intent{Recheck: true}, []Action{StartSwarm, StopSwarm, CheckFiles, StartSwarm}},
		{State{Phase: Downloading, Running: true}, Intent{Hold: true}, Intent{}, []Action{StopSwarm, StartSwarm}},
		{State{Phase: Seeding, Running: true}, Intent{Hold: true}, Intent{Hold: true, Want: Pause}, []Action{StopSwarm, EnterPause, Rest}},
		{State{Phase: Paused}, Intent{Hold: true}, Intent{}, []Action{EnterHold, StartSwarm}},
		{State{Phase: Queued, Held: true}, Intent{Hold: true, Fetch: true}, Intent{Hold: true, Fetch: true}, []Action{StartSwarm, StopSwarm, EnterHold, Rest}},
		{State{Phase: Metadata, Running: true}, Intent{Hold: true}, Intent{Hold: true, Fetch: true}, []Action{StopSwarm, StartSwarm}},
		{State{Phase: Metadata, Running: true}, Intent{Hold: true, Fetch: true}, Intent{}, []Action{Rest}},
		{State{Phase: Parked}, Intent{Hold: true, Wake: true}, Intent{Hold: true, Recheck: true}, []Action{EnterHold, CheckFiles, EnterHold, Rest}},
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
				more.Move, more.Rename, more.Recheck = more.Move || i.Move, more.Rename || i.Rename, more.Recheck || i.Recheck
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
	State{Phase: Removing, Running: true}.Observe(Seeding)
}

func TestOnlyASwarmIsObserved(t *testing.T) {
	for p := range NumPhases {
		if got := (State{Phase: Queued}).Observe(p); got.Phase != Queued {
			t.Errorf("%v was observed although no swarm is running", p)
		}
	}
	if got := (State{Phase: Checking, Running: true}).Observe(Metadata); got.Phase != Checking {
		t.Error("Checking went back to Metadata")
	}
}
