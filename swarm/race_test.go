//go:build race

package swarm

import "runtime"

// In a bubble of synctest the race detector of Go 1.26 crashes when two threads
// run timers that are due at once (go.dev/issue/78156). One thread finds races
// too: they are told by what happens before what, not by what happens at the
// same time.
func init() { runtime.GOMAXPROCS(1) }

const raceEnabled = true
