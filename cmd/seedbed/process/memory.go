package process

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// memoryGoal is the default memory limit of the process, in bytes. Piece buffers are pooled
// and bounded, so the heap is small and steady. The limit keeps garbage from a burst of
// small messages from doubling it.
const memoryGoal = 48 << 20

// minGoal is the lower bound of the memory limit of this process.
var minGoal atomic.Int64

// goalFor returns the memory limit for a process that holds this many bytes. The headroom
// is a third of them, because with less the garbage collector would run all the time.
func goalFor(held int64) int64 { return max(minGoal.Load(), held+held/3+8<<20) }

// userSetsMemory reports whether the user has configured the garbage collector. If so, we
// leave it alone.
func userSetsMemory() bool { return os.Getenv("GOMEMLIMIT") != "" || os.Getenv("GOGC") != "" }

// A memoryKeeper adjusts the memory limit to what the process holds. It runs after each
// garbage collection, so it costs nothing while the process is idle. A torrent of a hundred
// thousand files, many torrents, many peers or a large --memory exceed minGoal; with a
// fixed limit the collector would run all the time.
type memoryKeeper struct {
	goal    int64
	samples []metrics.Sample
}

// The runtime counts total-released towards the memory limit. Of that, a collection or the
// scavenger can free the bytes of free and of dead objects (objects-live).
const (
	total = iota
	released
	free
	objects
	live
)

var memoryMetrics = [...]string{
	total:    "/memory/classes/total:bytes",
	released: "/memory/classes/heap/released:bytes",
	free:     "/memory/classes/heap/free:bytes",
	objects:  "/memory/classes/heap/objects:bytes",
	live:     "/gc/heap/live:bytes",
}

// KeepMemory starts to adjust the memory limit of this process, unless the user has set
// GOMEMLIMIT or GOGC.
func KeepMemory() { RaiseMemoryGoal(memoryGoal) }

// RaiseMemoryGoal sets the lower bound of the memory limit in bytes, for commands that hold
// more from the start.
func RaiseMemoryGoal(least int64) {
	if userSetsMemory() {
		return
	}
	isFirst := minGoal.Swap(least) == 0
	debug.SetMemoryLimit(least)
	if !isFirst {
		return
	}
	k := &memoryKeeper{goal: least}
	for _, name := range memoryMetrics {
		k.samples = append(k.samples, metrics.Sample{Name: name})
	}
	runtime.SetFinalizer(k, (*memoryKeeper).collected)
}

// held returns the bytes that count towards the limit and that no collection can free.
func (k *memoryKeeper) held() int64 {
	metrics.Read(k.samples)
	v := func(i int) int64 { return int64(k.samples[i].Value.Uint64()) }
	return v(total) - v(released) - v(free) - max(0, v(objects)-v(live))
}

// collected is the finalizer of the keeper. It runs when a collection finds the keeper
// unreachable, and registers itself again for the next collection.
func (k *memoryKeeper) collected() {
	if goal := goalFor(k.held()); goal > k.goal+k.goal/16 || goal < k.goal-k.goal/4 {
		k.goal = goal
		debug.SetMemoryLimit(goal)
	}
	runtime.SetFinalizer(k, (*memoryKeeper).collected)
}
