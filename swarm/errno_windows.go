package swarm

import (
	"syscall"

	"golang.org/x/sys/windows"
)

var (
	timeouts     = []syscall.Errno{windows.WSAETIMEDOUT}
	refusals     = []syscall.Errno{windows.WSAECONNREFUSED}
	unreachables = []syscall.Errno{windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.WSAENETDOWN, windows.WSAEHOSTDOWN, windows.WSAEADDRNOTAVAIL, windows.WSAEINVAL, windows.WSAEAFNOSUPPORT}
)
