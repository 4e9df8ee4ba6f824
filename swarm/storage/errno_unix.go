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

// isBadName reports whether a file system cannot hold a name, and so has no file of it.
func isBadName(n syscall.Errno) bool {
	return n == syscall.EINVAL || n == syscall.EILSEQ || n == syscall.ENAMETOOLONG
}
