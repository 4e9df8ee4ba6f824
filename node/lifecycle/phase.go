// Package lifecycle decides the next step of a torrent.
//
// State is what a torrent does, and Intent is what is requested of it. Next compares the
// two and returns one Action, whatever the order of the requests was. The owner of a
// torrent repeats three steps until Next returns Rest: it calls Begin, performs the action
// with no lock held, and calls Finish with the result. The intent may change at any time in
// between.
//
// The table in phase.go lists the allowed transitions between phases. Any other transition
// is a bug and panics. The package starts no goroutines and does not block.
package lifecycle

import (
	"fmt"
	"slices"
)

// Phase is what a torrent is doing.
type Phase uint8

const (
	// Adding: the infohash is reserved, and the state folder is being opened.
	Adding Phase = iota
	// Queued: nothing runs. The next step is about to start, or the torrent is held.
	Queued
	// Metadata: the info dictionary is being fetched. This can be so for a held torrent, too.
	Metadata
	// Checking: the files are being opened, and unproven data is being hashed.
	Checking
	// Downloading: wanted pieces are missing.
	Downloading
	// Seeding: every wanted piece is verified, and the torrent is shared.
	Seeding
	// Parked: the torrent is complete and announced, but not running until a peer connects.
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
	// NumPhases is the number of phases.
	NumPhases
)

var phaseNames = [NumPhases]string{"adding", "queued", "metadata", "checking", "downloading", "seeding", "parked", "paused",
	"missing", "moving", "failed", "removing", "ended"}

// String returns the name of the phase, as it is written in JSON.
func (p Phase) String() string {
	if p >= NumPhases {
		return fmt.Sprintf("phase %d", uint8(p))
	}
	return phaseNames[p]
}

// AppendText implements encoding.TextAppender.
func (p Phase) AppendText(b []byte) ([]byte, error) { return append(b, p.String()...), nil }

// MarshalText implements encoding.TextMarshaler.
func (p Phase) MarshalText() ([]byte, error) { return p.AppendText(nil) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Phase) UnmarshalText(b []byte) error {
	i := slices.Index(phaseNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("%q is not a phase", b)
	}
	*p = Phase(i)
	return nil
}

type set uint16

func setOf(ps ...Phase) (s set) {
	for _, p := range ps {
		s |= 1 << p
	}
	return s
}

func (s set) has(p Phase) bool { return s&(1<<p) != 0 }

// follows lists the phases that may follow each phase.
var follows = [NumPhases]set{
	Adding:      setOf(Queued, Parked, Ended),
	Queued:      setOf(Metadata, Checking, Parked, Paused, Missing, Moving, Failed, Removing, Ended),
	Metadata:    setOf(Checking, Downloading, Seeding, Queued),
	Checking:    setOf(Downloading, Seeding, Queued),
	Downloading: setOf(Checking, Seeding, Queued),
	Seeding:     setOf(Checking, Downloading, Queued, Parked),
	Parked:      setOf(Queued, Metadata, Checking, Paused, Missing, Moving, Failed, Removing, Ended),
	Paused:      setOf(Queued, Metadata, Checking, Missing, Moving, Failed, Removing, Ended),
	Missing:     setOf(Queued, Metadata, Checking, Parked, Paused, Moving, Failed, Removing, Ended),
	Moving:      setOf(Queued),
	Failed:      setOf(Queued, Metadata, Checking, Paused, Missing, Moving, Removing, Ended),
	Removing:    setOf(Ended),
}

// CanFollow reports whether next may directly follow p.
func (p Phase) CanFollow(next Phase) bool { return p == next || follows[p].has(next) }
