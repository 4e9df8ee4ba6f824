package swarm

import (
	"cmp"

	"seedbed/swarm/engine"
)

// State is what a torrent is at.
type State uint8

const (
	// FetchingMetadata: only the infohash is known.
	FetchingMetadata State = iota
	// Checking: storage is being opened and what is there is verified.
	Checking
	// Downloading: wanted pieces are lacking.
	Downloading
	// Seeding: every wanted piece is there.
	Seeding
	// Stalled: storage failed; Snapshot.Err says how.
	Stalled
	// Stopped: Stop was called.
	Stopped
)

var stateNames = [...]string{"fetching metadata", "checking", "downloading", "seeding", "paused", "stopped"}

// String is a word or two for people.
func (s State) String() string { return stateNames[s] }

// A Snapshot is a torrent at a moment, for people.
type Snapshot struct {
	engine.Stats
	State            State
	Err              error // why the torrent is paused, or cannot be opened at all
	Checked, ToCheck int64 // bytes, while checking
}

// Snapshot is cheap and may be asked for often.
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
