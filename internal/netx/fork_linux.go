package netx

import "syscall"

// holdForks waits until every program that this process is starting runs, and starts no other until
// release is called. A forked process has copies of all sockets until its program runs, so that a
// socket which is closed here still holds its port.
func holdForks() (release func()) {
	syscall.ForkLock.RLock()
	return syscall.ForkLock.RUnlock
}
