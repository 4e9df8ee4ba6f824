package storage

import (
	"syscall"

	"golang.org/x/sys/windows"
)

func kindOfErrno(n syscall.Errno) Kind {
	switch n {
	case windows.ERROR_DISK_FULL, windows.ERROR_HANDLE_DISK_FULL, windows.ERROR_DISK_QUOTA_EXCEEDED:
		return Full
	case windows.ERROR_SHARING_VIOLATION, windows.ERROR_LOCK_VIOLATION, windows.ERROR_WRITE_PROTECT:
		return Permission
	case windows.ERROR_TOO_MANY_OPEN_FILES:
		return TooManyOpen
	case windows.ERROR_DIRECTORY:
		return Exists
	}
	return IO
}

// isBadName reports whether the file system cannot have a file with this name.
func isBadName(n syscall.Errno) bool {
	const invalidName, filenameTooLong = 123, 206
	return n == invalidName || n == filenameTooLong
}
