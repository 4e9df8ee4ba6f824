package utpconn

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	"seedbed/internal/rate"
	"seedbed/internal/utp"
)

const (
	// maxBursts is how many bursts one flush sends, so that no connection keeps the reader of
	// the socket. The timer continues.
	maxBursts = 64
	// maxLinger is how long a closed connection may take to deliver what was written.
	maxLinger = time.Minute
)

// Stream is a uTP connection. It implements net.Conn and peerconn.RawConn.
type Stream struct {
	t      *Transport
	sock   *netx.Socket
	key    key
	sendID uint16
	host   uint64         // rate.SourceOf the remote address
	opened chan<- *Stream // receives a dialed connection once it is open or has failed; nil for an incoming one

	touched bool // for the receiver

	// For the timers.
	timerAt   mono.Time
	heapIndex int

	mu          sync.Mutex
	c           *utp.Conn
	established bool
	ended       bool  // c needs no more calls
	shut        bool  // closed here
	failure     error // why reads and writes fail after the end, if c does not know
	lingerUntil mono.Time
	mtu         int // the last value of c.MTU
	readable    func()
	writable    func()

	blocking *blocking // for the methods of net.Conn; nil until one needs it
}

func newStream(t *Transport, sock *netx.Socket, remote netip.AddrPort) *Stream {
	return &Stream{
		t: t, sock: sock, key: key{remote: remote}, host: rate.SourceOf(addrs.Host(remote.Addr())),
		heapIndex: -1, lingerUntil: mono.Never,
	}
}

// burst is the memory for what one flush sends.
type burst struct {
	b   [64 << 10]byte
	out [1]netx.Datagram
}

var bursts = sync.Pool{New: func() any { return new(burst) }}

// flush sends what is due, and handles what has changed. The caller holds mu, and calls
// flush after each change of c.
func (s *Stream) flush(now mono.Time) {
	if s.ended {
		return
	}
	if now >= s.lingerUntil {
		s.c.Reset()
	}
	s.c.LimitBuffers(int(s.t.buffers.Load()))
	m := bursts.Get().(*burst)
	for range maxBursts {
		n, segment := s.c.Output(now, m.b[:0])
		if n == 0 {
			break
		}
		m.out[0] = netx.Datagram{Buf: m.b[:n], Segment: segment, Addr: s.key.remote}
		if _, err := s.sock.WriteBatch(m.out[:]); err != nil {
			tooLong := netx.IsTooLong(err)
			if s.c.Refused(now, tooLong); !tooLong {
				s.failDial(err)
				break
			}
		}
	}
	bursts.Put(m)
	s.update(now)
}

// failDial ends a dial whose SYN cannot be sent, for example because there is no route. As
// with TCP, it does not wait for a better network. The caller holds mu.
func (s *Stream) failDial(err error) {
	if s.opened != nil && !s.established && !s.c.Established() {
		s.failure = err
		s.c.Reset()
	}
}

// update handles changes of the state of c. The caller holds mu.
func (s *Stream) update(now mono.Time) {
	if !s.established && s.c.Established() {
		s.established = true
		if s.opened != nil {
			s.opened <- s
		} else if !s.t.establish(s) {
			s.failure = ErrTooMany
			s.c.Reset()
			s.c.Output(now, make([]byte, utp.HeaderLen)) // too busy to tell the peer
		}
	}
	if mtu := s.c.MTU(); mtu != s.mtu {
		s.mtu = mtu
		s.t.rememberMTU(now, s.key.remote.Addr(), mtu)
	}
	if s.c.Done() {
		s.end()
	} else {
		s.t.timers.set(s, now, min(s.c.Deadline(), s.lingerUntil))
	}
	s.wake()
}

// end handles that c has ended. The caller holds mu.
func (s *Stream) end() {
	s.ended = true
	s.t.timers.remove(s)
	s.t.forget(s)
	if !s.established && s.opened != nil {
		s.established = true
		s.opened <- s
	}
}

// wake calls the callbacks that are due. The caller holds mu.
func (s *Stream) wake() {
	if f := s.readable; f != nil && (s.shut || s.ended || s.c.Readable()) {
		s.readable = nil
		f()
	}
	if f := s.writable; f != nil && (s.shut || s.ended || s.c.Writable()) {
		s.writable = nil
		f()
	}
	if s.blocking != nil {
		s.blocking.changed.Broadcast()
	}
}

// dialError returns why a dial has failed, or nil.
func (s *Stream) dialError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		return nil
	}
	return s.endError("dial")
}

// endError returns the error of an operation after the end. The caller holds mu.
func (s *Stream) endError(op string) error {
	err := s.c.Err()
	switch {
	case s.shut:
		err = net.ErrClosed
	case s.failure != nil:
		err = s.failure
	case errors.Is(err, utp.ErrReset):
		err = os.NewSyscallError(op, syscall.ECONNRESET)
	case errors.Is(err, utp.ErrRefused):
		err = os.NewSyscallError(op, syscall.ECONNREFUSED)
	case errors.Is(err, utp.ErrTimeout):
		err = os.NewSyscallError(op, syscall.ETIMEDOUT)
	case err == nil:
		err = io.ErrClosedPipe
	}
	return &net.OpError{Op: op, Net: "utp", Addr: s.RemoteAddr(), Err: err}
}

// TryRead implements peerconn.RawConn.
func (s *Stream) TryRead(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tryRead(b)
}

func (s *Stream) tryRead(b []byte) (int, error) {
	if s.shut {
		return 0, s.endError("read")
	}
	n, err := s.c.Read(b)
	if n > 0 {
		// The peer may wait for the space that is free now.
		if now := s.t.now(); !s.ended && s.c.Deadline() <= now {
			s.flush(now)
		}
		return n, nil
	}
	if err == nil || err == io.EOF {
		return 0, err
	}
	return 0, s.endError("read")
}

// TryWritev implements peerconn.RawConn.
func (s *Stream) TryWritev(vec [][]byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut || s.ended {
		return 0, s.endError("write")
	}
	n := s.c.Write(vec)
	if n > 0 {
		s.flush(s.t.now())
	}
	return n, nil
}

// AwaitReadable implements peerconn.RawConn.
func (s *Stream) AwaitReadable(ready func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readable = ready
	s.wake()
}

// AwaitWritable implements peerconn.RawConn.
func (s *Stream) AwaitWritable(ready func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writable = ready
	s.wake()
}

// Shutdown implements peerconn.RawConn. What was written is still delivered in the
// background, within a minute.
func (s *Stream) Shutdown() {
	s.mu.Lock()
	if s.shut {
		s.mu.Unlock()
		return
	}
	s.shut = true
	var oldest *Stream
	if s.ended {
		s.wake()
	} else {
		now := s.t.now()
		s.lingerUntil = now.Add(maxLinger)
		s.c.Close(now)
		s.flush(now)
		if !s.ended {
			oldest = s.t.linger(s)
		}
	}
	s.mu.Unlock()
	if oldest != nil {
		oldest.reset(ErrTooMany)
	}
}

// Abort ends the connection: what was written is not delivered any more, and the peer gets a
// reset.
func (s *Stream) Abort() { s.reset(net.ErrClosed) }

// Release implements peerconn.RawConn.
func (s *Stream) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readable, s.writable = nil, nil
}

// reset ends the connection and sends the peer a reset. err is for the users of s.
func (s *Stream) reset(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.failure = err
	s.c.Reset()
	s.flush(s.t.now())
}

// abandon ends a half-open connection and sends nothing. A connection that was established
// since it was chosen has users, so it stays.
func (s *Stream) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended && !s.established {
		s.end()
	}
}
