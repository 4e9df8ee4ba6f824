// Package lifecycle decides the next step in the life of a torrent.
//
// What a torrent is doing (State) is kept apart from what is asked of it (Intent).
// The package is level-triggered: Next compares the two and returns one Action, whatever
// the order in which requests came. The owner of a torrent repeats three steps until Next
// returns Rest: it calls Begin, does the work of the action with no lock held, and calls
// Finish with the result. Any intent may change at any moment in between.
//
// Phases may follow one another only as the table in this file says. A transition that is
// not in it is a bug of ours, and panics. The package starts no goroutines and does not wait.
package lifecycle

import "fmt"

// Phase is what a torrent is doing.
type Phase uint8

const (
	// Adding: the infohash is reserved, and the state folder is being opened.
	Adding Phase = iota
	// Queued: nothing runs, and the next step is about to begin.
	Queued
	// Metadata: the info dictionary is being fetched.
	Metadata
	// Checking: the files are opened, and what nothing proves is hashed.
	Checking
	// Downloading: wanted pieces are missing.
	Downloading
	// Seeding: every wanted piece is there and shared.
	Seeding
	// Parked: complete and announced, and nothing runs until a peer comes.
	Parked
	// Paused: the user has stopped it.
	Paused
	// Missing: the data that was to be shared is not there, or not complete.
	Missing
	// Moving: the files are being moved to another folder.
	Moving
	// Failed: an error that waiting does not fix has stopped it.
	Failed
	// Removing: it is being deleted from the session.
	Removing
	// Ended: it has left the node. Nothing follows.
	Ended
	phases
)

var phaseNames = [phases]string{"adding", "queued", "metadata", "checking", "downloading", "seeding", "parked", "paused",
	"missing", "moving", "failed", "removing", "ended"}

// String returns the name of the phase, as it is written in JSON.
func (p Phase) String() string {
	if p >= phases {
		return fmt.Sprintf("phase %d", uint8(p))
	}
	return phaseNames[p]
}

// AppendText implements encoding.TextAppender.
func (p Phase) AppendText(b []byte) ([]byte, error) { return append(b, p.String()...), nil }

// MarshalText implements encoding.TextMarshaler.
func (p Phase) MarshalText() ([]byte, error) { return p.AppendText(nil) }

type set uint16

func setOf(ps ...Phase) (s set) {
	for _, p := range ps {
		s |= 1 << p
	}
	return s
}

func (s set) has(p Phase) bool { return s&(1<<p) != 0 }

// follows says which phases may follow each one.
var follows = [phases]set{
	Adding:      setOf(Queued, Parked, Ended),
	Queued:      setOf(Metadata, Checking, Parked, Paused, Missing, Moving, Failed, Removing, Ended),
	Metadata:    setOf(Checking, Downloading, Seeding, Queued),
	Checking:    setOf(Downloading, Seeding, Queued),
	Downloading: setOf(Checking, Seeding, Queued),
	Seeding:     setOf(Checking, Downloading, Queued, Parked),
	Parked:      setOf(Metadata, Checking, Paused, Missing, Moving, Failed, Removing, Ended),
	Paused:      setOf(Metadata, Checking, Missing, Moving, Failed, Removing, Ended),
	Missing:     setOf(Metadata, Checking, Paused, Moving, Failed, Removing, Ended),
	Moving:      setOf(Queued),
	Failed:      setOf(Metadata, Checking, Paused, Missing, Moving, Removing, Ended),
	Removing:    setOf(Ended),
}

// CanFollow reports whether next may come directly after p.
func (p Phase) CanFollow(next Phase) bool { return p == next || follows[p].has(next) }
