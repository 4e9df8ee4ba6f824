package netx

import "golang.org/x/sys/windows"

// Windows reports WSAEACCES if another socket holds the port exclusively.
func isInUse(err error) bool      { return isAny(err, windows.WSAEADDRINUSE, windows.WSAEACCES) }
func isNoSuchAddr(err error) bool { return isAny(err, windows.WSAEADDRNOTAVAIL) }
func isAborted(err error) bool    { return isAny(err, windows.WSAECONNABORTED) }
func isRefused(err error) bool    { return isAny(err, windows.WSAECONNREFUSED) }
func isTimedOut(err error) bool   { return isAny(err, windows.WSAETIMEDOUT) }
func isTooLong(err error) bool    { return isAny(err, windows.WSAEMSGSIZE) }
func isReset(err error) bool {
	return isAny(err, windows.WSAECONNRESET, windows.WSAECONNABORTED, windows.WSAESHUTDOWN)
}
func isExhausted(err error) bool { return isAny(err, windows.WSAEMFILE, windows.WSAENOBUFS) }
func isUnreachable(err error) bool {
	return isAny(err, windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.WSAENETDOWN, windows.WSAEHOSTDOWN, windows.WSAEINVAL, windows.WSAEAFNOSUPPORT)
}

// isTransient reports whether a UDP read failed because of a single datagram: Windows
// reports here that an earlier one was rejected by its receiver, or that this one did not
// fit.
func isTransient(err error) bool { return isAny(err, windows.WSAECONNRESET, windows.WSAEMSGSIZE) }
