package node

import (
	"fmt"

	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

// Snapshot is the state of a torrent at one moment, for display. Sizes are in bytes,
// rates in bytes a second.
type Snapshot struct {
	engine.Stats
	State            lifecycle.Phase // of a parked torrent, Seeding; Torrent.Phase tells the two apart
	Paused           error           // the error that blocks the torrent, or nil
	Checked, ToCheck int64           // bytes, while Checking or Moving
	Reason           Reason
}

// count returns "1 file" or "2 files".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
