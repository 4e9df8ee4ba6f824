//go:build race

package node

// scale shortens what simulates days: in a bubble of synctest the race detector
// of Go 1.26 crashes sooner or later on timers that are due at once
// (go.dev/issue/78156), of which each DHT query has one.
const scale = 8
