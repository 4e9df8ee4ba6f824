package lifecycle

import "fmt"

// State is what a torrent is doing.
type State struct {
	Phase   Phase
	Running bool // its swarm exists
}

// Want is what the user, or the node, wants of a torrent in the long run.
type Want uint8

const (
	Run    Want = iota
	Pause       // nothing runs
	End         // it leaves the node, and stays in the session
	Remove      // it leaves the node and the session
	wants
)

// Failure says why a torrent cannot go on.
type Failure uint8

const (
	NoFailure Failure = iota
	Broken            // an error that waiting does not fix
	NoData            // the data is missing
	failures
)

// Intent is what is asked of a torrent. All but Want are requests for one step: Begin
// clears them when the step begins.
type Intent struct {
	Want    Want
	Failure Failure // reported by the swarm or by a step
	Move    bool    // the files go to another folder
	Recheck bool    // everything is hashed again
	Restart bool    // the swarm starts again, with other files
	Retry   bool    // a failed torrent starts again
	Wake    bool    // a parked torrent starts again
	Park    bool    // a seeding torrent stops until a peer comes
}

// Action is one step of a torrent's owner.
type Action uint8

const (
	Rest       Action = iota // nothing is to be done
	StartSwarm               // from Queued, Parked, Paused, Missing or Failed
	StopSwarm
	ParkSwarm
	EnterPause
	EnterFailure
	MoveFiles
	CheckFiles
	RemoveAll
	Leave
	actions
)

var actionNames = [actions]string{"rest", "start", "stop", "park", "pause", "fail", "move", "check", "remove", "leave"}

// String returns the name of the action.
func (a Action) String() string { return actionNames[a] }

// Next returns what is to be done next. The more an intent ends, the earlier it is served:
// who wants to remove a torrent does not wait for its move.
func Next(s State, i Intent) Action {
	if s.Phase == Adding || s.Phase == Ended {
		return Rest
	}
	step := Rest // what needs that nothing runs
	switch {
	case i.Want == Remove:
		step = RemoveAll
	case i.Want == End:
		step = Leave
	case i.Failure != NoFailure:
		step = EnterFailure
	case i.Move:
		step = MoveFiles
	case i.Recheck:
		step = CheckFiles
	case i.Want == Pause:
		if s.Phase == Paused {
			return Rest
		}
		step = EnterPause
	case s.Running && i.Restart:
		return StopSwarm
	case s.Running && i.Park && s.Phase == Seeding:
		return ParkSwarm
	case s.Running:
		return Rest
	case s.Phase == Parked && !i.Wake && !i.Restart, (s.Phase == Failed || s.Phase == Missing) && !i.Retry:
		return Rest
	default:
		return StartSwarm
	}
	if s.Running {
		return StopSwarm
	}
	return step
}

// Begin returns the state and the intent while an action is done.
func Begin(s State, i Intent, a Action) (State, Intent) {
	switch a {
	case StartSwarm:
		i.Restart, i.Retry, i.Wake, i.Park = false, false, false, false
	case ParkSwarm:
		i.Park = false
	case EnterFailure:
		i.Failure = NoFailure
		i.Retry = false // it was for the failure before
	case MoveFiles:
		i.Move = false
		s = s.become(Moving)
	case CheckFiles:
		i.Recheck = false
		i.Retry = true // what was missing may be there now
		s = s.become(Checking)
	case RemoveAll:
		s = s.become(Removing)
	}
	return s, i
}

// Result is how an action ended.
type Result struct {
	// Phase is the phase that it led to. Finish uses it for StartSwarm (Metadata or Checking;
	// the phase before if the swarm did not start) and for EnterFailure (Failed or Missing).
	Phase Phase
	// Running says that a swarm exists now. Where StartSwarm did not start one, and the
	// torrent was not parked, the owner sets Intent.Failure.
	Running bool
}

// Finish returns the state after an action that began with state s.
func Finish(s State, a Action, r Result) State {
	switch a {
	case StartSwarm:
		s.Running = r.Running
		return s.become(r.Phase)
	case StopSwarm:
		s.Running = false
		return s.become(Queued)
	case ParkSwarm:
		s.Running = r.Running
		if r.Running { // it could not be parked
			return s
		}
		return s.become(Parked)
	case EnterPause:
		return s.become(Paused)
	case EnterFailure:
		return s.become(r.Phase)
	case MoveFiles, CheckFiles:
		return s.become(Queued)
	case RemoveAll, Leave:
		return s.become(Ended)
	}
	return s
}

// Added returns the state of a torrent that was taken on: parked, or about to start.
func (s State) Added(parked bool) State {
	if parked {
		return s.become(Parked)
	}
	return s.become(Queued)
}

// Refused returns the state of a torrent that was not taken on.
func (s State) Refused() State { return s.become(Ended) }

// Observe returns the state after the swarm was seen in a phase.
func (s State) Observe(p Phase) State {
	if !s.Running || p == Metadata || !setOf(Checking, Downloading, Seeding).has(p) {
		return s
	}
	return s.become(p)
}

func (s State) become(p Phase) State {
	if !s.Phase.CanFollow(p) {
		panic(fmt.Sprintf("lifecycle: %v cannot follow %v", p, s.Phase))
	}
	s.Phase = p
	return s
}
