//go:build !windows

package netx

import "syscall"

func isInUse(err error) bool      { return isAny(err, syscall.EADDRINUSE) }
func isNoSuchAddr(err error) bool { return isAny(err, syscall.EADDRNOTAVAIL) }
func isAborted(err error) bool    { return isAny(err, syscall.ECONNABORTED) }
func isRefused(err error) bool    { return isAny(err, syscall.ECONNREFUSED) }
func isTimedOut(err error) bool   { return isAny(err, syscall.ETIMEDOUT) }
func isTooLong(err error) bool    { return isAny(err, syscall.EMSGSIZE) }
func isReset(err error) bool {
	return isAny(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED)
}
func isExhausted(err error) bool {
	return isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM)
}
func isUnreachable(err error) bool {
	return isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.EACCES, syscall.EPERM, syscall.EINVAL, syscall.EAFNOSUPPORT)
}

// isTransient reports whether a UDP read failed because of a single datagram.
func isTransient(error) bool { return false }
