package process

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

// The memory limit leaves headroom of a third of the memory in use, so that the collector
// does not run continuously. It decreases again, too.
func TestTheMemoryGoalFollowsWhatIsInUse(t *testing.T) {
	t.Setenv("GOMEMLIMIT", "")
	t.Setenv("GOGC", "")
	defer debug.SetMemoryLimit(math.MaxInt64)
	KeepMemory()
	goal := func() int64 {
		for range 4 { // a finalizer runs some time after the collection
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
	// There is one collection for each amount of garbage that fills the headroom, and not
	// more.
	const garbage = 400 << 20
	var was, is runtime.MemStats
	runtime.ReadMemStats(&was)
	for range garbage / (64 << 10) {
		sink = make([]byte, 64<<10)
	}
	runtime.ReadMemStats(&is)
	if n := is.NumGC - was.NumGC; n > 20 {
		t.Errorf("%d MiB of garbage beside %d MiB in use took %d collections", garbage>>20, large>>20, n)
	}
	runtime.KeepAlive(hold)
	for range 1000 {
		if goal() < large {
			return
		}
	}
	t.Fatalf("with them given back the goal is %d", goal())
}

var sink []byte

// The user's limit is not overridden.
func TestTheUsersMemoryLimitStays(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	for _, name := range []string{"GOMEMLIMIT", "GOGC"} {
		t.Setenv("GOMEMLIMIT", "")
		t.Setenv("GOGC", "")
		t.Setenv(name, "200")
		KeepMemory()
		RaiseMemoryGoal(256 << 20)
		if got := debug.SetMemoryLimit(-1); got != 1<<30 {
			t.Errorf("with %s set, the limit becomes %d", name, got)
		}
	}
}
