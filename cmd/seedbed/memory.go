package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// memoryGoal is where the garbage collector keeps the process, in bytes, while
// what is in use leaves room for that. Piece buffers are pooled and bounded, so
// the heap is small and steady; the goal keeps garbage from a burst of small
// messages from doubling it.
const memoryGoal = 48 << 20

// goalFor is the goal while so many bytes are in use: with less room than a third
// of them the collector would do nothing but collect.
func goalFor(used int64) int64 { return max(memoryGoal, used+used/3+8<<20) }

// keepGoal has the goal follow what is in use, until ctx ends.
func keepGoal(ctx context.Context) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	was := int64(memoryGoal)
	for {
		metrics.Read(samples)
		used := int64(samples[0].Value.Uint64() + samples[1].Value.Uint64())
		if goal := goalFor(used); goal > was+was/16 || goal < was-was/4 {
			debug.SetMemoryLimit(goal)
			was = goal
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
