package peerconn

import (
	"os"
	"sync"
	"time"

	"seedbed/internal/fifo"
	"seedbed/internal/shaper"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

const (
	// maxControl bounds the control messages that wait for a peer that reads slowly.
	// A single longer message is let through. Blocks are bounded by the engine.
	maxControl = 256 << 10
	// writeTimeout is how long bytes may wait for the system to accept some.
	writeTimeout = 2 * time.Minute
)

// senderState says who may touch what a sender has begun.
type senderState uint8

const (
	stopped senderState = iota // nothing is begun; blocks may wait for admission
	running                    // a goroutine writes
	parked                     // the rest waits until the system accepts bytes
)

// A sender holds what a connection has to send. The torrent's loop fills it and
// never waits. It is emptied by the loop itself if the system accepts everything
// at once, and else by a goroutine that ends when nothing waits or nothing is
// accepted.
type sender struct {
	c *Conn

	mu      sync.Mutex
	state   senderState
	shut    bool
	control []byte // in the clear
	begun   bool   // rest is control messages
	uploads fifo.Queue[engine.Block]
	reading int // so many of uploads, from the first on, are in the batch at hand

	// admission is where the first block of uploads waits for its bytes; nil if none
	// ever had to.
	admission *admission

	// Of whoever runs, and of the loop when it is stopped:
	rest       []byte         // begun, and encrypted if the connection is
	restBlocks []engine.Block // that are sent with rest
	batch      int            // bytes that are read at once for this peer

	// The write deadline.
	waiting  bool        // bytes wait for the system
	progress time.Time   // when it accepted some last, or when the wait began
	stall    *time.Timer // runs while waiting

	finished chan struct{} // closed when a run ends; nil unless close waits for it
}

// An admission is the wait of a block for the limit of the upload rate.
type admission struct {
	waiter  shaper.Waiter
	asked   bool
	granted bool
}

// Flush sends control messages, which it may encrypt in place, and then blocks.
// It never waits: what the system does not accept now is copied. A peer that
// leaves too much waiting is disconnected.
func (c *Conn) Flush(control []byte, uploads []engine.Block) {
	if f, err := c.out.add(control, uploads); f != engine.FaultNone || err != nil {
		c.end(f, err)
	}
}

func (s *sender) add(b []byte, uploads []engine.Block) (engine.Fault, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		return engine.FaultNone, nil
	}
	for _, u := range uploads {
		s.uploads.Push(u)
	}
	if len(b) > 0 && s.state == stopped {
		s.seal(b)
		s.c.Up.Spend(len(b))
		n, err := s.c.raw.TryWritev([][]byte{b})
		if err != nil {
			return engine.FaultNone, err
		}
		s.rest, b = append(s.rest, b[n:]...), nil
		s.begun = len(s.rest) > 0
	}
	if len(s.control) > 0 && len(s.control)+len(b) > maxControl {
		return engine.FaultSlow, nil
	}
	s.control = append(s.control, b...)
	if s.state == stopped && (len(s.rest) > 0 || s.uploads.Len() > 0 && s.admitted()) {
		s.state = running
		go s.run()
	}
	return engine.FaultNone, nil
}

// Withdraw takes back uploads of which nothing is sent yet: b, or all of them if
// its length is zero. It returns those that will not be sent. What is in the batch
// at hand, or waits for the upload limit as the first, is sent all the same.
func (c *Conn) Withdraw(b engine.Block) (withdrawn []engine.Block) {
	s := &c.out
	s.mu.Lock()
	defer s.mu.Unlock()
	fixed := s.reading
	if a := s.admission; a != nil && (a.asked || a.granted) {
		fixed = max(fixed, 1)
	}
	for i := range s.uploads.Len() {
		switch u := s.uploads.Pop(); {
		case i >= fixed && (b.Length == 0 || u == b):
			withdrawn = append(withdrawn, u)
		default:
			s.uploads.Push(u)
		}
	}
	return withdrawn
}

// Unsent reports whether control messages wait that the system has not accepted.
func (c *Conn) Unsent() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.begun || len(c.out.control) > 0
}

// seal encrypts in place what is written next, if the connection is encrypted.
func (s *sender) seal(b []byte) {
	if s.c.crypt != nil {
		s.c.crypt.Encrypt(b)
	}
}

// admitted reports whether the first block may be sent; if not, run is called
// when it may. The caller holds mu.
func (s *sender) admitted() bool {
	switch a := s.admission; {
	case a != nil && a.granted:
		return true
	case a != nil && a.asked:
		return false
	case !s.c.Up.Limited():
		return true
	case a == nil:
		s.admission = new(admission)
		s.admission.waiter.Granted = func() { go s.grant() }
	}
	a := s.admission
	if s.c.Up.Admit(&a.waiter, wire.PieceHeaderLen+int(s.uploads.Front().Length)) {
		a.granted = true
	} else {
		a.asked = true
	}
	return a.granted
}

// grant continues with a block whose bytes are granted.
func (s *sender) grant() {
	s.mu.Lock()
	s.admission.asked, s.admission.granted = false, true
	idle := s.state == stopped && !s.shut
	if idle {
		s.state = running
	}
	s.mu.Unlock()
	if idle {
		s.run()
	}
}

// resume continues when the system accepts bytes again.
func (s *sender) resume() {
	s.mu.Lock()
	ok := s.state == parked && !s.shut
	if ok {
		s.state = running
	}
	s.mu.Unlock()
	if ok {
		s.run()
	}
}

// run writes until nothing is left or nothing is accepted. It is where the order
// of what is sent is decided.
func (s *sender) run() {
	for {
		if len(s.rest) > 0 {
			n, err := s.c.raw.TryWritev([][]byte{s.rest})
			s.rest = s.rest[n:]
			switch {
			case err != nil:
				s.stop(err)
				return
			case len(s.rest) > 0:
				s.park(n > 0)
				return
			}
		}
		if len(s.restBlocks) > 0 {
			s.c.Owner.Uploaded(s.restBlocks)
		}
		s.rest, s.restBlocks = nil, nil

		s.mu.Lock()
		s.begun = false
		if s.waiting {
			s.waiting = false
			s.stall.Stop()
		}
		switch {
		case s.shut:
			s.halt()
			s.mu.Unlock()
			return
		case len(s.control) > 0:
			s.rest, s.control, s.begun = s.control, nil, true
			s.mu.Unlock()
			s.seal(s.rest)
			s.c.Up.Spend(len(s.rest))
			continue
		case s.uploads.Len() == 0:
			s.uploads.Clear()
			s.halt()
			s.mu.Unlock()
			return
		case !s.admitted():
			s.halt()
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if err := s.upload(); err != nil {
			s.stop(err)
			return
		}
	}
}

// halt ends a run; the caller holds mu.
func (s *sender) halt() {
	s.state = stopped
	if s.finished != nil {
		close(s.finished)
		s.finished = nil
	}
}

// stop ends a run for good.
func (s *sender) stop(err error) {
	s.c.fail(err)
	s.mu.Lock()
	s.halt()
	s.mu.Unlock()
}

// park waits, without a goroutine, until the system accepts bytes.
func (s *sender) park(progress bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		s.halt()
		return
	}
	s.state = parked
	if progress || !s.waiting {
		s.waiting, s.progress = true, time.Now()
	}
	if d := time.Until(s.progress.Add(writeTimeout)); s.stall == nil {
		s.stall = time.AfterFunc(d, s.checkStall)
	} else {
		s.stall.Reset(d)
	}
	s.c.raw.AwaitWritable(func() { go s.resume() })
}

// checkStall ends the connection if no byte was accepted in time.
func (s *sender) checkStall() {
	s.mu.Lock()
	stalled := s.state == parked && time.Since(s.progress) >= writeTimeout
	s.mu.Unlock()
	if stalled {
		s.c.fail(os.ErrDeadlineExceeded)
	}
}

// close returns when nothing is written any more.
func (s *sender) close() {
	s.mu.Lock()
	s.shut = true
	var finished chan struct{}
	if s.state == running {
		finished = make(chan struct{})
		s.finished = finished
	}
	s.mu.Unlock()
	if finished != nil {
		<-finished
	}
	s.mu.Lock()
	if s.admission != nil {
		s.c.Up.Cancel(&s.admission.waiter)
	}
	if s.stall != nil {
		s.stall.Stop()
	}
	s.control, s.rest, s.restBlocks = nil, nil, nil
	s.uploads.Clear()
	s.mu.Unlock()
}
