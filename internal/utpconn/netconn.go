package utpconn

import (
	"net"
	"os"
	"sync"
	"time"
)

// blocking is the state of a Stream whose methods of net.Conn wait. It is needed for
// handshakes only.
type blocking struct {
	changed                     sync.Cond
	readDeadline, writeDeadline deadline
}

// deadline is a deadline of Read or Write. The zero value is none.
type deadline struct {
	at    time.Time
	timer *time.Timer // wakes the goroutines that wait
}

func (d *deadline) isPast() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set changes the deadline; wake is called when it has come.
func (d *deadline) set(at time.Time, wake func()) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.at = at; !at.IsZero() && !d.isPast() {
		d.timer = time.AfterFunc(time.Until(at), wake)
	}
}

// block returns the state for waiting. The caller holds mu.
func (s *Stream) block() *blocking {
	if s.blocking == nil {
		s.blocking = &blocking{changed: sync.Cond{L: &s.mu}}
	}
	return s.blocking
}

// Read implements net.Conn.
func (s *Stream) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := s.block(); ; w.changed.Wait() {
		if w.readDeadline.isPast() {
			return 0, s.timeout("read")
		}
		if n, err := s.tryRead(b); n > 0 || err != nil || len(b) == 0 {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (s *Stream) Write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := s.block(); ; w.changed.Wait() {
		switch {
		case s.shut || s.ended:
			return n, s.endError("write")
		case w.writeDeadline.isPast():
			return n, s.timeout("write")
		}
		if k := s.c.Write([][]byte{b[n:]}); k > 0 {
			n += k
			s.flush(s.t.now())
		}
		if n == len(b) {
			return n, nil
		}
	}
}

func (s *Stream) timeout(op string) error {
	return &net.OpError{Op: op, Net: "utp", Addr: s.RemoteAddr(), Err: os.ErrDeadlineExceeded}
}

// Close implements net.Conn, as Shutdown does.
func (s *Stream) Close() error {
	s.Shutdown()
	_ = s.SetDeadline(time.Time{}) // stops the timers
	return nil
}

// LocalAddr implements net.Conn. Its port is that of the Transport's socket.
func (s *Stream) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.sock.LocalAddr()) }

// RemoteAddr implements net.Conn.
func (s *Stream) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(s.key.remote) }

// SetDeadline implements net.Conn.
func (s *Stream) SetDeadline(t time.Time) error {
	_ = s.SetReadDeadline(t)
	return s.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (s *Stream) SetReadDeadline(t time.Time) error {
	return s.setDeadline(t, func(w *blocking) *deadline { return &w.readDeadline })
}

// SetWriteDeadline implements net.Conn.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	return s.setDeadline(t, func(w *blocking) *deadline { return &w.writeDeadline })
}

func (s *Stream) setDeadline(t time.Time, which func(*blocking) *deadline) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.IsZero() && s.blocking == nil {
		return nil
	}
	w := s.block()
	which(w).set(t, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.changed.Broadcast()
	})
	w.changed.Broadcast()
	return nil
}
