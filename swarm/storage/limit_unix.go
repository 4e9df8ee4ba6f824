//go:build unix

package storage

import "golang.org/x/sys/unix"

func defaultHandles() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 64
	}
	return int(max(8, min(512, uint64(l.Cur)/4)))
}
