package peerconn

import (
	"testing"

	"golang.org/x/sys/unix"
)

// An event read just before its socket was released calls no callback and arms nothing:
// the descriptor may have been reused.
func TestLateEventOfAReleasedSocketDoesNothing(t *testing.T) {
	p, err := newPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[1])
	s := &socket{p: p, fd: fds[0]}
	if err := p.add(s); err != nil {
		t.Fatal(err)
	}
	called := false
	s.AwaitReadable(func() { called = true })
	s.mu.Lock()
	s.writable = func() { called = true } // would be called at once, because the socket is writable
	s.mu.Unlock()
	s.Release()
	s.ready(unix.EPOLLIN)
	s.ready(unix.EPOLLOUT)
	if called {
		t.Error("a callback was called")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sockets[fds[0]] != nil {
		t.Error("the poller still has the released socket")
	}
}
