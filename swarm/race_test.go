//go:build race

package swarm

import "runtime"

// In a synctest bubble the race detector of Go 1.26 crashes when two threads run timers
// that are due at once (go.dev/issue/78156). One thread finds races too, because they are
// detected by happens-before order, not by simultaneous execution.
func init() { runtime.GOMAXPROCS(1) }

const raceEnabled = true
