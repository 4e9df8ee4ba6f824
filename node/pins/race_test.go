//go:build race

package pins

import "runtime"

// In a synctest bubble, the race detector of Go 1.26 crashes when two threads run timers
// that are due at the same time, and each DHT query has one (go.dev/issue/78156). One thread
// is enough: the detector finds races by the happens-before order, not by parallel
// execution.
func init() { runtime.GOMAXPROCS(1) }
