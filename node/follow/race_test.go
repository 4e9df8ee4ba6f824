//go:build race

package follow

import "runtime"

// In a bubble of synctest the race detector of Go 1.26 crashes when two threads
// run timers that are due at once, of which each DHT query has one
// (go.dev/issue/78156). One thread finds races too: they are told by what
// happens before what, not by what happens at the same time.
func init() { runtime.GOMAXPROCS(1) }

// scale shortens what simulates days, for the detector makes all slower.
const scale = 8
