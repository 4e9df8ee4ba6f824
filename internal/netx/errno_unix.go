//go:build !windows

package netx

import "syscall"

func isInUse(err error) bool      { return isAny(err, syscall.EADDRINUSE) }
func isNoSuchAddr(err error) bool { return isAny(err, syscall.EADDRNOTAVAIL) }
func isAborted(err error) bool    { return isAny(err, syscall.ECONNABORTED) }
func isRefused(err error) bool    { return isAny(err, syscall.ECONNREFUSED) }
func isTimedOut(err error) bool   { return isAny(err, syscall.ETIMEDOUT) }
func isReset(err error) bool {
	return isAny(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED)
}
func isExhausted(err error) bool {
	return isAny(err, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM)
}
func isUnreachable(err error) bool {
	return isAny(err, syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.EACCES, syscall.EPERM, syscall.EINVAL, syscall.EAFNOSUPPORT)
}

// passing reports whether a UDP read failed for what one datagram did.
func passing(error) bool { return false }
