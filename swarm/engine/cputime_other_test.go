//go:build !linux

package engine

import "time"

var epoch = time.Now()

// cpuTime returns the time of the clock where a thread's own is not known.
func cpuTime() time.Duration { return time.Since(epoch) }
