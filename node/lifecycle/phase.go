// Package lifecycle decides the next step of a torrent.
//
// State is what a torrent does, Intent is what is requested of it. The package is
// level-triggered: Next compares the two and returns one Action, independent of the order
// of requests. The owner of a torrent repeats three steps until Next returns Rest: it
// calls Begin, performs the action with no lock held, and calls Finish with the result.
// The intent may change at any time in between.
//
// The table in this file lists the allowed transitions between phases. Any other transition
// is a bug of ours and panics. The package starts no goroutines and does not block.
package lifecycle

import "fmt"

// Phase is what a torrent is doing.
type Phase uint8

const (
	// Adding: the infohash is reserved, and the state folder is being opened.
	Adding Phase = iota
	// Queued: nothing runs, and the next step is about to start.
	Queued
	// Metadata: the info dictionary is being fetched.
	Metadata
	// Checking: the files are being opened, and unproven data is being hashed.
	Checking
	// Downloading: wanted pieces are missing.
	Downloading
	// Seeding: every wanted piece is verified and shared.
	Seeding
	// Parked: complete and announced, but not running until a peer connects.
	Parked
	// Paused: the user has stopped the torrent.
	Paused
	// Missing: the data to be shared is missing or incomplete.
	Missing
	// Moving: the files are being moved to another folder.
	Moving
	// Failed: an error that waiting does not fix has stopped the torrent.
	Failed
	// Removing: the torrent is being deleted from the session.
	Removing
	// Ended: the torrent has left the node. This phase is final.
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

// follows lists the phases that may follow each phase.
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

// CanFollow reports whether next may directly follow p.
func (p Phase) CanFollow(next Phase) bool { return p == next || follows[p].has(next) }
