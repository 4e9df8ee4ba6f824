package netx

import "golang.org/x/sys/windows"

// A port that is held exclusively is WSAEACCES to the next.
func isInUse(err error) bool      { return isAny(err, windows.WSAEADDRINUSE, windows.WSAEACCES) }
func isNoSuchAddr(err error) bool { return isAny(err, windows.WSAEADDRNOTAVAIL) }
func isAborted(err error) bool    { return isAny(err, windows.WSAECONNABORTED) }
func isRefused(err error) bool    { return isAny(err, windows.WSAECONNREFUSED) }
func isTimedOut(err error) bool   { return isAny(err, windows.WSAETIMEDOUT) }
func isReset(err error) bool {
	return isAny(err, windows.WSAECONNRESET, windows.WSAECONNABORTED, windows.WSAESHUTDOWN)
}
func isExhausted(err error) bool { return isAny(err, windows.WSAEMFILE, windows.WSAENOBUFS) }
func isUnreachable(err error) bool {
	return isAny(err, windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.WSAENETDOWN, windows.WSAEHOSTDOWN, windows.WSAEINVAL, windows.WSAEAFNOSUPPORT)
}

// passing reports whether a UDP read failed for what one datagram did: Windows
// tells here that an earlier one was not wanted somewhere, or that this one
// did not fit.
func passing(err error) bool { return isAny(err, windows.WSAECONNRESET, windows.WSAEMSGSIZE) }
