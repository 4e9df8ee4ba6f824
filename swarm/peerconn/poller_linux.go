package peerconn

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller calls back when descriptors are ready. It is a separate epoll set, whose own
// descriptor waits in the runtime's poller: one goroutine for all sockets. The sockets
// are not in the runtime's poller, so each costs only a descriptor and a [socket] instead
// of a net.Conn and a goroutine.
type poller struct {
	file *os.File // the epoll set
	fd   int

	mu      sync.Mutex
	sockets []*socket // by descriptor

	done chan struct{} // closed when the goroutine has ended
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// NewFile adds non-blocking descriptors to the runtime's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll"), fd: fd, done: make(chan struct{})}
	rc, err := p.file.SyscallConn()
	if err == nil {
		// This fails if the set is not in the runtime's poller.
		err = rc.Read(func(uintptr) bool { return true })
	}
	if err != nil {
		p.file.Close()
		return nil, err
	}
	go p.run(rc)
	return p, nil
}

// run calls the callbacks of sockets until the set is closed.
func (p *poller) run(rc syscall.RawConn) {
	defer close(p.done)
	events := make([]unix.EpollEvent, 128)
	for {
		n := 0
		err := rc.Read(func(fd uintptr) bool {
			for {
				var err error
				if n, err = unix.EpollWait(int(fd), events, 0); err != unix.EINTR {
					return n != 0
				}
			}
		})
		if err != nil || n < 0 {
			return
		}
		for i := range n {
			p.mu.Lock()
			s := p.sockets[events[i].Fd]
			p.mu.Unlock()
			if s != nil {
				s.ready(events[i].Events)
			}
		}
	}
}

func (p *poller) close() {
	p.file.Close()
	<-p.done
}

func (p *poller) add(s *socket) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := s.fd + 1; n > len(p.sockets) {
		p.sockets = append(p.sockets, make([]*socket, n-len(p.sockets))...)
	}
	ev := unix.EpollEvent{Fd: int32(s.fd), Events: unix.EPOLLONESHOT}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, s.fd, &ev); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	p.sockets[s.fd] = s
	return nil
}

func (p *poller) remove(fd int) {
	p.mu.Lock()
	p.sockets[fd] = nil
	p.mu.Unlock()
}

// socket is a TCP connection as a plain descriptor.
type socket struct {
	p  *poller
	fd int

	mu                 sync.Mutex
	readable, writable func() // callbacks; nil if nothing waits
}

// socket extracts the descriptor of a TCP connection. It returns nil if nc is not one or
// there is no poller.
func (r *Resources) socket(nc net.Conn) RawConn {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		proxied, is := nc.(interface{ Socket() *net.TCPConn }) // netx.Proxied
		if !is {
			return nil
		}
		tc = proxied.Socket()
	}
	p := r.startPoller()
	if p == nil {
		return nil
	}
	rc, err := tc.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{p: p, fd: -1}
	// A duplicate stays valid when the net.Conn is closed, which removes the original
	// from the runtime's poller.
	if rc.Control(func(fd uintptr) { s.fd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }) != nil || err != nil {
		return nil
	}
	if err := p.add(s); err != nil {
		unix.Close(s.fd)
		return nil
	}
	tc.Close()
	return s
}

func (s *socket) TryRead(b []byte) (int, error) {
	for {
		switch n, err := syscall.Read(s.fd, b); {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, nil
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (s *socket) TryWritev(vec [][]byte) (n int, err error) {
	for {
		if len(vec) == 1 {
			n, err = syscall.Write(s.fd, vec[0])
		} else {
			n, err = unix.Writev(s.fd, vec)
		}
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("write", err)
		}
	}
}

func (s *socket) AwaitReadable(ready func()) {
	s.mu.Lock()
	s.readable = ready
	s.arm()
	s.mu.Unlock()
}

func (s *socket) AwaitWritable(ready func()) {
	s.mu.Lock()
	s.writable = ready
	s.arm()
	s.mu.Unlock()
}

// arm requests one event. Readiness that already exists is reported at once.
func (s *socket) arm() {
	ev := unix.EpollEvent{Fd: int32(s.fd), Events: unix.EPOLLONESHOT}
	if s.readable != nil {
		ev.Events |= unix.EPOLLIN
	}
	if s.writable != nil {
		ev.Events |= unix.EPOLLOUT
	}
	if err := unix.EpollCtl(s.p.fd, unix.EPOLL_CTL_MOD, s.fd, &ev); err != nil {
		panic("peerconn: a socket is not in the poller: " + err.Error())
	}
}

// ready calls the callbacks for these events.
func (s *socket) ready(events uint32) {
	const over = unix.EPOLLHUP | unix.EPOLLERR
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.readable; f != nil && events&(unix.EPOLLIN|over) != 0 {
		s.readable = nil
		f()
	}
	if f := s.writable; f != nil && events&(unix.EPOLLOUT|over) != 0 {
		s.writable = nil
		f()
	}
	if s.readable != nil || s.writable != nil {
		s.arm()
	}
}

// Abort makes Release reset the connection, instead of sending what is left until the peer
// acknowledges it.
func (s *socket) Abort() {
	_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

func (s *socket) Shutdown() { _ = unix.Shutdown(s.fd, unix.SHUT_RDWR) }

func (s *socket) Release() {
	s.p.remove(s.fd)
	// Hold the lock so that a late event of this descriptor does not arm a reused one.
	s.mu.Lock()
	s.readable, s.writable = nil, nil
	unix.Close(s.fd)
	s.mu.Unlock()
}
