package lifecycle

import "fmt"

// State is what a torrent is doing.
type State struct {
	Phase   Phase
	Running bool // its swarm exists
}

// Want is what the user, or the node, wants of a torrent in the long term.
type Want uint8

const (
	Run    Want = iota
	Pause       // nothing runs
	End         // leaves the node, and stays in the session
	Remove      // leaves the node and the session
	wants
)

// Failure is the reason why a torrent cannot continue.
type Failure uint8

const (
	NoFailure Failure = iota
	Broken            // an error that waiting does not fix
	NoData            // the data is missing
	failures
)

// Intent is what is requested of a torrent. Every field except Want requests one step; Begin
// clears it when the step begins.
type Intent struct {
	Want    Want
	Failure Failure // reported by the swarm or by a step
	Move    bool    // move the files to another folder
	Recheck bool    // hash everything again
	Restart bool    // restart the swarm with another file selection
	Retry   bool    // restart a failed torrent
	Wake    bool    // start a parked torrent
	Park    bool    // stop a seeding torrent until a peer connects
}

// Action is one step of the owner of a torrent.
type Action uint8

const (
	Rest       Action = iota // nothing to do
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

// Next returns the next action. An intent that ends more is served first: a removal does not
// wait for a move.
func Next(s State, i Intent) Action {
	if s.Phase == Adding || s.Phase == Ended {
		return Rest
	}
	step := Rest // an action that requires that nothing runs
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

// Begin returns the state and the intent during an action.
func Begin(s State, i Intent, a Action) (State, Intent) {
	switch a {
	case StartSwarm:
		i.Restart, i.Retry, i.Wake, i.Park = false, false, false, false
	case ParkSwarm:
		i.Park = false
	case EnterFailure:
		i.Failure = NoFailure
		i.Retry = false // it referred to the earlier failure
	case MoveFiles:
		i.Move = false
		s = s.become(Moving)
	case CheckFiles:
		i.Recheck = false
		i.Retry = true // the missing data may exist now
		s = s.become(Checking)
	case RemoveAll:
		s = s.become(Removing)
	}
	return s, i
}

// Result is the result of an action.
type Result struct {
	// Phase is the resulting phase. Finish uses it for StartSwarm (Metadata or Checking, or
	// the previous phase if the swarm did not start) and for EnterFailure (Failed or Missing).
	Phase Phase
	// Running says that a swarm exists now. If StartSwarm did not start one, and the torrent
	// was not parked, the owner sets Intent.Failure.
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
		if r.Running { // could not be parked
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

// Added returns the state of a torrent that was added: parked, or about to start.
func (s State) Added(parked bool) State {
	if parked {
		return s.become(Parked)
	}
	return s.become(Queued)
}

// Refused returns the state of a torrent that could not be added.
func (s State) Refused() State { return s.become(Ended) }

// Observe returns the state after the swarm has entered a phase.
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
