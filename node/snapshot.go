package node

import (
	"fmt"

	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

// State is the phase of a torrent; package lifecycle documents all of them. Torrent.Phase
// distinguishes a parked torrent from one that seeds, a Snapshot does not.
type State = lifecycle.Phase

// The phases that a Snapshot can have.
const (
	FindingMetadata = lifecycle.Metadata
	Checking        = lifecycle.Checking
	Downloading     = lifecycle.Downloading
	SeedingState    = lifecycle.Seeding
	Stopped         = lifecycle.Ended
)

// Snapshot is the state of a torrent at one moment, for display. Sizes are in bytes,
// rates in bytes a second.
type Snapshot struct {
	engine.Stats
	State            State
	Paused           error // the error that blocks the torrent, or nil
	Checked, ToCheck int64 // while Checking or Moving
	Reason           Reason
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
