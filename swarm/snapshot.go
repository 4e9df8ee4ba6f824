package swarm

import (
	"cmp"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/internal/mono"
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
	// Seeding: every wanted piece is verified, and the files have their final names.
	Seeding
	// Stalled: storage failed; Snapshot.Err says why.
	Stalled
	// Stopped: Stop was called.
	Stopped
)

var stateNames = [...]string{"fetching metadata", "checking", "downloading", "seeding", "paused", "stopped"}

// String returns a short description for people.
func (s State) String() string { return stateNames[s] }

// Snapshot describes a torrent at one moment, for people. Complete is set when the files have their
// final names.
type Snapshot struct {
	engine.Stats
	Verified         bool // every wanted piece is verified
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
	s.Verified = s.Complete
	s.Complete = s.Verified && t.storage.isInPlace()
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
	case s.Verified && !t.storage.hasWritten():
		s.State = Checking
	default:
		s.State = Downloading
	}
	return s
}

// Traffic counts the payload of a torrent since it was started, in bytes.
type Traffic struct {
	Uploaded, Downloaded int64
	Wasted               int64     // of what was downloaded, discarded
	Last                 time.Time // when payload was last sent or received; zero: never
}

// Traffic returns the payload so far. It only waits for the current step of the engine.
func (t *Torrent) Traffic() Traffic {
	t.engMu.Lock()
	defer t.engMu.Unlock()
	var out Traffic
	var last mono.Time
	if out.Uploaded, out.Downloaded, out.Wasted, last = t.eng.Traffic(); last > 0 {
		out.Last = t.epoch.Add(time.Duration(last))
	}
	return out
}

// Peers describes the connected peers. It does not wait for a disk or a peer.
func (t *Torrent) Peers() []engine.PeerInfo {
	t.engMu.Lock()
	defer t.engMu.Unlock()
	return t.eng.Peers(t.now())
}

// ItemPeers returns the ids of the connected peers to which new versions are pushed.
func (t *Torrent) ItemPeers() []id.ID {
	t.engMu.Lock()
	defer t.engMu.Unlock()
	return t.eng.ItemPeers()
}

// Pieces returns which pieces are verified, which have been begun, and how many connected peers
// have each; see engine.Engine.Pieces.
func (t *Torrent) Pieces() (have, begun bitset.Set, peers []int) {
	t.engMu.Lock()
	defer t.engMu.Unlock()
	return t.eng.Pieces()
}

// Have returns which pieces are verified. The set has length 0 until the storage is open.
func (t *Torrent) Have() bitset.Set {
	t.engMu.Lock()
	defer t.engMu.Unlock()
	return t.eng.Have()
}
