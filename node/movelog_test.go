package node_test

import (
	"path/filepath"
	"testing"

	"seedbed/node"
)

// The change log shows that a paused torrent moves, and that it has moved.
func TestAMoveOfAPausedTorrentIsInTheLog(t *testing.T) {
	spec := sharedFile(t)
	n := openOnLoopback(t)
	spec.Persistent, spec.Paused, spec.Seed = true, true, false
	x, err := n.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	events := n.Subscribe(node.Changed)
	to := filepath.Join(spec.Dir, "to")
	if err := x.Move(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	for seen := 0; seen < 3; { // it is requested, begins and ends
		<-events.Ready()
		seen += len(events.Take())
	}
	if d := x.Details(); d.Dir != to {
		t.Error(d.Dir)
	}
}
