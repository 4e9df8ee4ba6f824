package peerconn

import (
	"os"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/internal/fifo"
	"seedbed/internal/shaper"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

const (
	// maxControl bounds the control messages waiting for a peer that reads slowly, except
	// that a single longer message is allowed. The engine bounds the blocks.
	maxControl = 256 << 10
	// writeTimeout is how long bytes may wait until the system accepts some.
	writeTimeout = 2 * time.Minute
)

// senderState says which goroutine may access the data that a sender has begun to write.
type senderState uint8

const (
	stopped senderState = iota // nothing has been begun; blocks may wait for admission
	running                    // a goroutine is writing
	parked                     // the rest waits until the system accepts bytes
)

// sender holds what a connection has to send. The torrent's loop fills it and never
// waits. If the system accepts everything at once, the loop itself writes; otherwise a
// goroutine does, which ends when nothing is left or nothing is accepted.
type sender struct {
	c *Conn

	mu            sync.Mutex
	state         senderState
	closed        bool
	control       []byte // not yet encrypted
	restIsControl bool   // rest consists of control messages
	uploads       fifo.Queue[upload]
	reading       int // how many of the first uploads are in the current batch

	granted func()      // called when waiting blocks are granted; nil if none ever waited
	waking  atomic.Bool // grant is about to run

	// The following fields belong to the running goroutine, or to the loop when stopped.
	rest       []byte         // begun, and encrypted if the connection is
	restBlocks []engine.Block // the blocks that rest contains
	batch      int            // bytes to read at once for this peer

	// The write deadline:
	waiting  bool        // bytes wait for the system
	progress time.Time   // when the system last accepted some, or when the wait began
	stall    *time.Timer // runs while waiting

	finished chan struct{} // closed when a run ends; nil unless close waits for it
}

// upload is a block to be sent.
type upload struct {
	engine.Block
	wait *shaper.Waiter // for the upload limit; nil if there was none
}

// size returns the length of its message.
func (u *upload) size() int { return wire.PieceHeaderLen + int(u.Length) }

// Flush sends control messages, which it may encrypt in place, and then blocks. It never
// waits: data that the system does not accept now is copied. A peer that lets too much
// pile up is disconnected.
func (c *Conn) Flush(control []byte, uploads []engine.Block) {
	if f, err := c.out.add(control, uploads); f != engine.FaultNone || err != nil {
		c.end(f, err)
	}
}

func (s *sender) add(b []byte, uploads []engine.Block) (engine.Fault, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return engine.FaultNone, nil
	}
	for _, b := range uploads {
		s.uploads.Push(upload{Block: b})
	}
	if len(uploads) > 0 {
		s.queueForAdmission(s.uploads.Len() - len(uploads))
	}
	if len(b) > 0 && s.state == stopped {
		s.encrypt(b)
		s.c.Up.Spend(len(b))
		n, err := s.write([][]byte{b})
		if err != nil {
			return engine.FaultNone, err
		}
		s.rest, b = append(s.rest, b[n:]...), nil
		s.restIsControl = len(s.rest) > 0
	}
	if len(s.control) > 0 && len(s.control)+len(b) > maxControl {
		return engine.FaultSlow, nil
	}
	s.control = append(s.control, b...)
	if s.state == stopped && (len(s.rest) > 0 || s.admitted() > 0) {
		s.state = running
		go s.run()
	}
	return engine.FaultNone, nil
}

// Withdraw removes uploads that have not been started: b, or all of them if its length is
// zero. It returns those that will not be sent. Blocks in the current batch are still
// sent.
func (c *Conn) Withdraw(b engine.Block) (withdrawn []engine.Block) {
	s := &c.out
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.uploads.Len() {
		switch u := s.uploads.Pop(); {
		case i >= s.reading && (b.Length == 0 || u.Block == b):
			s.release(&u)
			withdrawn = append(withdrawn, u.Block)
		default:
			s.uploads.Push(u)
		}
	}
	return withdrawn
}

// Unsent reports whether there are control messages that the system has not accepted.
func (c *Conn) Unsent() bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.restIsControl || len(c.out.control) > 0
}

// encrypt encrypts b in place if the connection is encrypted. b must be written next.
func (s *sender) encrypt(b []byte) {
	if s.c.crypt != nil {
		s.c.crypt.Encrypt(b)
	}
}

// queueForAdmission queues the blocks from index i on for admission by the upload limit,
// if there is one. The caller holds mu.
func (s *sender) queueForAdmission(i int) {
	if !s.c.Up.Limited() {
		return
	}
	if s.granted == nil {
		s.granted = func() {
			if !s.waking.Swap(true) {
				go s.grant()
			}
		}
	}
	for ; i < s.uploads.Len(); i++ {
		if u := s.uploads.At(i); u.wait == nil {
			u.wait = &shaper.Waiter{Granted: s.granted}
			s.c.Up.Admit(u.wait, u.size())
		}
	}
}

// admitted returns how many of the first blocks may be sent now. When more are granted,
// grant is called. The caller holds mu.
func (s *sender) admitted() int {
	n := min(s.uploads.Len(), batchBlocks)
	if !s.c.Up.Limited() {
		return n
	}
	for i := range n {
		if s.uploads.At(i).wait == nil { // the limit was set after the block was queued
			s.queueForAdmission(i)
		}
		if w := s.uploads.At(i).wait; w != nil && !w.Passed() {
			return i
		}
	}
	return n
}

// release returns the bytes granted to a block that is not sent, or ends its wait.
func (s *sender) release(u *upload) {
	if u.wait != nil && !s.c.Up.Cancel(u.wait) {
		s.c.Up.Refund(u.size())
	}
}

// grant continues after blocks have been admitted.
func (s *sender) grant() {
	s.waking.Store(false)
	s.mu.Lock()
	idle := s.state == stopped && !s.closed && s.admitted() > 0
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
	ok := s.state == parked && !s.closed
	if ok {
		s.state = running
	}
	s.mu.Unlock()
	if ok {
		s.run()
	}
}

// run writes until nothing is left or nothing is accepted. It determines the sending
// order.
func (s *sender) run() {
	for {
		if len(s.rest) > 0 {
			n, err := s.write([][]byte{s.rest})
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
		s.restIsControl = false
		if s.waiting {
			s.waiting = false
			s.stall.Stop()
		}
		switch {
		case s.closed:
			s.halt()
			s.mu.Unlock()
			return
		case len(s.control) > 0:
			s.rest, s.control, s.restIsControl = s.control, nil, true
			s.mu.Unlock()
			s.encrypt(s.rest)
			s.c.Up.Spend(len(s.rest))
			continue
		case s.uploads.Len() == 0:
			s.uploads.Clear()
			s.halt()
			s.mu.Unlock()
			return
		case s.admitted() == 0:
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

// write writes as much as the system accepts now.
func (s *sender) write(vec [][]byte) (int, error) {
	n, err := s.c.raw.TryWritev(vec)
	s.c.Meter.Sent(n)
	return n, err
}

// halt ends a run. The caller holds mu.
func (s *sender) halt() {
	s.state = stopped
	if s.finished != nil {
		close(s.finished)
		s.finished = nil
	}
}

// stop ends the connection after an error in a run.
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
	if s.closed {
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

// close returns when nothing is being written any more.
func (s *sender) close() {
	s.mu.Lock()
	s.closed = true
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
	for i := range s.uploads.Len() {
		s.release(s.uploads.At(i))
	}
	if s.stall != nil {
		s.stall.Stop()
	}
	s.control, s.rest, s.restBlocks = nil, nil, nil
	s.uploads.Clear()
	s.mu.Unlock()
}
