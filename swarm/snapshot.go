package swarm

import (
	"cmp"

	"seedbed/swarm/engine"
)

// State is the state of a torrent.
type State uint8

const (
	// FetchingMetadata: only the infohash is known.
	FetchingMetadata State = iota
	// Checking: storage is being opened and existing data is being verified.
	Checking
	// Downloading: wanted pieces are missing.
	Downloading
	// Seeding: every wanted piece is verified.
	Seeding
	// Stalled: storage failed; Snapshot.Err says why.
	Stalled
	// Stopped: Stop was called.
	Stopped
)

var stateNames = [...]string{"fetching metadata", "checking", "downloading", "seeding", "paused", "stopped"}

// String returns a short description for people.
func (s State) String() string { return stateNames[s] }

// Snapshot describes a torrent at one moment, for people.
type Snapshot struct {
	engine.Stats
	State            State
	Err              error // why the torrent is paused or invalid
	Checked, ToCheck int64 // bytes, while checking
}

// Snapshot returns the current state. It is cheap.
func (t *Torrent) Snapshot() Snapshot {
	t.engMu.Lock()
	s := Snapshot{Stats: t.eng.Stats(t.now())}
	t.engMu.Unlock()
	opening, reason := t.storage.state()
	s.Err = cmp.Or(reason, s.Broken)
	s.Checked, s.ToCheck = t.storage.checked.Load(), t.storage.toCheck.Load()
	switch {
	case t.stopping.Load():
		s.State = Stopped
	case s.Err != nil && s.Broken == nil:
		s.State = Stalled
	case opening:
		s.State = Checking
	case !s.Metadata:
		s.State = FetchingMetadata
	case s.Complete:
		s.State = Seeding
	default:
		s.State = Downloading
	}
	return s
}
