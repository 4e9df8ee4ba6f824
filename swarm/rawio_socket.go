//go:build darwin || linux || openbsd

package swarm

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// rawIO reads and writes a socket without committing memory or a goroutine to
// the wait: a reader takes its buffer when there is something to read, and a
// write that the socket does not take at once returns.
type rawIO struct {
	rc   syscall.RawConn
	take func() []byte // where to read to; called when there is something
	idle func()        // called before a wait

	// One reader and one writer at a time use these and their closures, which
	// are made once.
	readFn func(fd uintptr) bool
	n      int
	err    error

	writeFn func(fd uintptr) bool
	out     []byte
	vec     [][]byte
	wn      int
	werr    error
}

// newRawIO is nil for a connection that is no socket of the system's.
func newRawIO(nc net.Conn, take func() []byte, idle func()) *rawIO {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	rc, err := tc.SyscallConn()
	if err != nil {
		return nil
	}
	r := &rawIO{rc: rc, take: take, idle: idle}
	r.readFn = func(fd uintptr) bool {
		for {
			switch r.n, r.err = syscall.Read(int(fd), r.take()); r.err {
			case syscall.EINTR:
				continue
			case syscall.EAGAIN:
				r.idle()
				return false
			}
			return true
		}
	}
	r.writeFn = func(fd uintptr) bool {
		for {
			if r.vec != nil {
				r.wn, r.werr = unix.Writev(int(fd), r.vec)
			} else {
				r.wn, r.werr = syscall.Write(int(fd), r.out)
			}
			if r.werr != syscall.EINTR {
				return true
			}
		}
	}
	return r
}

// read waits until there is something and reads it.
func (r *rawIO) read() (int, error) {
	err := r.rc.Read(r.readFn)
	switch {
	case err != nil:
		return 0, err
	case r.err != nil:
		return 0, r.err
	case r.n <= 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// tryWrite writes what the socket takes at once.
func (r *rawIO) tryWrite(b []byte) (int, error) {
	r.out = b
	return r.write()
}

// tryWriteVec is tryWrite of several stretches.
func (r *rawIO) tryWriteVec(vec [][]byte) (int, error) {
	r.vec = vec
	return r.write()
}

func (r *rawIO) write() (int, error) {
	err := r.rc.Write(r.writeFn)
	r.out, r.vec = nil, nil
	switch {
	case err != nil:
		return 0, err
	case r.werr == syscall.EAGAIN:
		return 0, nil
	case r.werr != nil:
		return 0, r.werr
	}
	return r.wn, nil
}
