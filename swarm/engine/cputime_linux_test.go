package engine

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the CPU time that this thread has used, so that what else the
// machine does is not counted. The caller has locked its thread.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
