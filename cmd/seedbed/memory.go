package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// memoryGoal is where the garbage collector keeps the process, in bytes, while
// what is in use leaves room for that. Piece buffers are pooled and bounded, so
// the heap is small and steady; the goal keeps garbage from a burst of small
// messages from doubling it.
const memoryGoal = 48 << 20

// goalFor is the goal while so many bytes are in use: with less room than a third
// of them the collector would do nothing but collect.
func goalFor(used int64) int64 { return max(memoryGoal, used+used/3+8<<20) }

// A memoryKeeper has the goal follow what is in use. It looks after each collection, and
// so costs nothing while nothing happens: a torrent of a hundred thousand files, or many
// torrents, or many peers take more than the goal, and with a goal that stayed the
// collector would run without end.
type memoryKeeper struct {
	goal    int64
	samples []metrics.Sample
}

// keepMemory starts the keeper of this process.
func keepMemory() {
	debug.SetMemoryLimit(memoryGoal)
	k := &memoryKeeper{goal: memoryGoal, samples: []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}}
	runtime.SetFinalizer(k, (*memoryKeeper).collected)
}

// collected is called when a collection has found the keeper out of use, and lets the next
// one find it again.
func (k *memoryKeeper) collected() {
	metrics.Read(k.samples)
	used := int64(k.samples[0].Value.Uint64() + k.samples[1].Value.Uint64())
	if goal := goalFor(used); goal > k.goal+k.goal/16 || goal < k.goal-k.goal/4 {
		k.goal = goal
		debug.SetMemoryLimit(goal)
	}
	runtime.SetFinalizer(k, (*memoryKeeper).collected)
}
