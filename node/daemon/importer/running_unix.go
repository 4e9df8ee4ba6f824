//go:build unix

package importer

import (
	"io"
	"syscall"

	"seedbed/internal/statefile"
)

// isLocked reports whether another process has a POSIX lock on a file.
func isLocked(path string) bool {
	f, err := statefile.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	// A read lock conflicts with the write lock that qBittorrent has.
	l := syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart}
	return syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &l) == nil && l.Type != syscall.F_UNLCK
}
