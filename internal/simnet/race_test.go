//go:build race

package simnet

import "runtime"

// In a bubble of synctest the race detector of Go 1.26 crashes when two threads run
// timers that are due at the same time (go.dev/issue/78156). One thread suffices to find
// races: the detector uses the order of events, not simultaneity.
func init() { runtime.GOMAXPROCS(1) }
