//go:build unix

package swarm

import "syscall"

var (
	timeouts     = []syscall.Errno{syscall.ETIMEDOUT}
	refusals     = []syscall.Errno{syscall.ECONNREFUSED}
	unreachables = []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EHOSTDOWN, syscall.EADDRNOTAVAIL, syscall.EINVAL, syscall.EAFNOSUPPORT}
)
