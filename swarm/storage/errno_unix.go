//go:build unix

package storage

import "syscall"

func kindOfErrno(n syscall.Errno) Kind {
	switch n {
	case syscall.ENOSPC, syscall.EDQUOT:
		return Full
	case syscall.EROFS:
		return Permission
	case syscall.EMFILE, syscall.ENFILE:
		return TooManyOpen
	case syscall.ENOTDIR:
		return Exists
	}
	return IO
}

// isBadName reports whether the file system cannot have a file with this name.
func isBadName(n syscall.Errno) bool {
	return n == syscall.EINVAL || n == syscall.EILSEQ || n == syscall.ENAMETOOLONG
}
