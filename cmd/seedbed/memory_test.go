package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

// The goal leaves room for a third of what is in use, so that the collector does not run
// without end; and it comes back down.
func TestTheMemoryGoalFollowsWhatIsInUse(t *testing.T) {
	defer debug.SetMemoryLimit(math.MaxInt64)
	keepMemory()
	goal := func() int64 {
		for range 4 { // a finalizer runs some time after the collection that found its object
			runtime.GC()
			runtime.Gosched()
		}
		return debug.SetMemoryLimit(-1)
	}
	const large = 200 << 20
	hold := make([]byte, large)
	before := large + large/4
	for range 1000 {
		if goal() >= int64(before) {
			break
		}
	}
	if got := goal(); got < int64(before) {
		t.Fatalf("with %d bytes in use the goal is %d", large, got)
	}
	runtime.KeepAlive(hold)
	for range 1000 {
		if goal() < large {
			return
		}
	}
	t.Fatalf("with them given back the goal is %d", goal())
}
