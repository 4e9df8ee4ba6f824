//go:build !linux

package engine

import "time"

var epoch = time.Now()

// cpuTime returns wall-clock time where the CPU time of a thread is not available.
func cpuTime() time.Duration { return time.Since(epoch) }
