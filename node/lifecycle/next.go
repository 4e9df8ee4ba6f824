package lifecycle

import "fmt"

// State is what a torrent is doing.
type State struct {
	Phase   Phase
	Running bool // its swarm exists
	Held    bool // it rests in Queued, because Intent.Hold is set
}

// Want is what the user or the node permanently wants of a torrent.
type Want uint8

const (
	Run    Want = iota
	Pause       // nothing runs
	End         // it leaves the node, and stays in the session
	Remove      // it leaves the node and the session
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

// Intent is what is requested of a torrent. Every field except Want, Hold and Fetch requests one
// step, and Begin clears the field when the step begins.
type Intent struct {
	Want    Want
	Hold    bool    // it waits in Queued and does not run, although it is wanted
	Fetch   bool    // with Hold: it runs until it has its metadata; the owner clears it then
	Failure Failure // reported by the swarm or by a step
	Move    bool    // move the files to another folder
	Rename  bool    // rename files
	Recheck bool    // hash everything again
	Restart bool    // restart the swarm with another file selection
	Retry   bool    // restart a failed torrent
	Wake    bool    // start a parked torrent
	Park    bool    // stop a seeding torrent until a peer connects
}

// Action is one step that the owner of a torrent performs.
type Action uint8

const (
	Rest       Action = iota // nothing to do
	StartSwarm               // from Queued, Parked, Paused, Missing or Failed
	StopSwarm
	ParkSwarm
	EnterPause
	EnterHold
	EnterFailure
	MoveFiles
	RenameFiles
	CheckFiles
	RemoveAll
	Leave
	actions
)

var actionNames = [actions]string{"rest", "start", "stop", "park", "pause", "hold", "fail", "move", "rename", "check", "remove", "leave"}

// String returns the name of the action.
func (a Action) String() string { return actionNames[a] }

// Next returns the next action. If several are requested, the one that makes the others
// unnecessary comes first: a removal does not wait for a move.
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
	case i.Rename && s.Running && (s.Phase == Downloading || s.Phase == Seeding): // its files are open
		return RenameFiles
	case i.Rename:
		step = RenameFiles
	case i.Recheck:
		step = CheckFiles
	case i.Want == Pause:
		if s.Phase == Paused {
			return Rest
		}
		step = EnterPause
	case i.Hold && !s.mayFetch(i):
		if s.Held || s.awaitsRetry(i) {
			return Rest
		}
		step = EnterHold
	case s.Running && i.Restart:
		return StopSwarm
	case s.Running && i.Park && s.Phase == Seeding:
		return ParkSwarm
	case s.Running:
		return Rest
	case s.Phase == Parked && !i.Wake && !i.Restart, s.awaitsRetry(i):
		return Rest
	default:
		return StartSwarm
	}
	if s.Running {
		return StopSwarm
	}
	return step
}

// awaitsRetry reports whether the torrent has failed and is not to be started again yet.
func (s State) awaitsRetry(i Intent) bool {
	return (s.Phase == Failed || s.Phase == Missing) && !i.Retry
}

// mayFetch reports whether a held torrent may run to fetch its metadata.
func (s State) mayFetch(i Intent) bool { return i.Fetch && (s.Phase == Queued || s.Phase == Metadata) }

// Begin returns the state and the intent during an action.
func Begin(s State, i Intent, a Action) (State, Intent) {
	switch a {
	case StartSwarm:
		i.Restart, i.Retry, i.Wake, i.Park = false, false, false, false
	case StopSwarm:
		if s.Phase != Metadata { // it has its metadata
			i.Fetch = false
		}
	case ParkSwarm:
		i.Park = false
	case EnterHold: // the next start does what these request
		i.Restart, i.Retry, i.Wake, i.Park = false, false, false, false
	case EnterFailure:
		i.Failure = NoFailure
		i.Retry = false // it was a request to retry after an earlier failure
	case MoveFiles:
		i.Move = false
		s = s.become(Moving)
	case RenameFiles:
		if i.Rename = false; !s.Running {
			s = s.become(Moving)
		}
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
	// Phase is the resulting phase. Finish uses it for StartSwarm (Metadata or Checking, the previous
	// phase if the swarm did not start, or Parked if it need not start) and for EnterFailure (Failed or
	// Missing).
	Phase Phase
	// Running says that a swarm exists now; RenameFiles may have to stop it. If StartSwarm did not start
	// one, and the torrent is not parked, the owner sets Intent.Failure.
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
		if r.Running { // the swarm could not be parked
			return s
		}
		return s.become(Parked)
	case EnterPause:
		return s.become(Paused)
	case EnterHold:
		return s.AddedHeld()
	case EnterFailure:
		return s.become(r.Phase)
	case RenameFiles:
		if s.Running && r.Running {
			return s
		}
		s.Running = false
		return s.become(Queued)
	case MoveFiles, CheckFiles:
		return s.become(Queued)
	case RemoveAll, Leave:
		return s.become(Ended)
	}
	return s
}

// Added returns the state of a torrent that was added: about to start.
func (s State) Added() State { return s.become(Queued) }

// AddedParked returns the state of a torrent that was added as parked.
func (s State) AddedParked() State { return s.become(Parked) }

// AddedHeld returns the state of a torrent that was added while Intent.Hold is set.
func (s State) AddedHeld() State {
	s = s.become(Queued)
	s.Held = true
	return s
}

// Refused returns the state of a torrent that the node could not add.
func (s State) Refused() State { return s.become(Ended) }

// Observe returns the state after the swarm has entered phase p. It returns s if no swarm
// is running, or if p is not one of Checking, Downloading and Seeding.
func (s State) Observe(p Phase) State {
	if !s.Running || p == Metadata || !setOf(Checking, Downloading, Seeding).has(p) {
		return s
	}
	return s.become(p)
}

// become returns the state in phase p. It panics if the transition is not allowed.
func (s State) become(p Phase) State {
	if !s.Phase.CanFollow(p) {
		panic(fmt.Sprintf("lifecycle: %v cannot follow %v", p, s.Phase))
	}
	s.Phase, s.Held = p, false
	return s
}
