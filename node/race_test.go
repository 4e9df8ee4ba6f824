//go:build race

package node

import "runtime"

// In a bubble of synctest, the race detector of Go 1.26 crashes when two threads
// run timers that are due at the same time (go.dev/issue/78156); each DHT query has
// a timer. One thread finds races too, because the detector uses the happens-before
// order and not the time.
func init() { runtime.GOMAXPROCS(1) }

// scale shortens tests that simulate days or many torrents, because the detector is slow.
const scale = 8
