// Package shaper makes flows of bytes wait for each other within limits that may
// change.
package shaper

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Grain is how many bytes a flow may pass in its turn. Whoever asks for about so
// much at a time shares most evenly.
const Grain = 16 << 10

// A Shaper bounds the bytes a second of many flows together and of each. What a
// flow leaves is the others'. Flows that want more than there is take turns, and
// so do those who wait within one: nobody's share grows with his number of
// waiters. All methods may be called concurrently; the zero Shaper bounds
// nothing.
type Shaper struct {
	limited atomic.Bool // any limit is set

	mu      sync.Mutex
	all     allowance
	bounded int     // flows with a limit of their own
	turns   []*Flow // that have waiters
	timer   *time.Timer
}

// A Flow is one torrent's part in a Shaper.
type Flow struct {
	s      *Shaper
	own    allowance
	queue  []*Waiter
	queued bool // is in turns
	credit int  // bytes left in this turn
}

// A Waiter is a wait for bytes to be admitted that takes no goroutine. It must
// not be copied, and waits for one thing at a time. The waiters of a flow pass in the
// order in which they began to wait.
type Waiter struct {
	// Granted is called when Admit's bytes may pass. The Shaper is locked then:
	// it must return at once and must not call the Shaper.
	Granted func()

	n      int
	passed atomic.Bool
}

// Passed reports whether the bytes of the last Admit may pass.
func (w *Waiter) Passed() bool { return w.passed.Load() }

// An allowance is a bucket that may be overdrawn: whoever finds it above zero
// may take, and the next waits for the debt to be paid. So what passes is exact
// however large the pieces are.
type allowance struct {
	rate  float64 // bytes a second; 0: no limit
	level float64
	at    time.Time
}

// depth is how long an allowance that nobody uses may be saved for.
const depth = 100 * time.Millisecond

func (a *allowance) set(now time.Time, bytesPerSecond int64) {
	a.fill(now)
	a.rate, a.at = float64(bytesPerSecond), now
	a.level = min(a.level, 0)
	if a.rate == 0 {
		a.level = 0
	}
}

func (a *allowance) fill(now time.Time) {
	if a.rate > 0 {
		a.level = min(a.level+a.rate*now.Sub(a.at).Seconds(), a.rate*depth.Seconds())
		a.at = now
	}
}

func (a *allowance) take(n int) {
	if a.rate > 0 {
		a.level -= float64(n)
	}
}

func (a *allowance) open() bool { return a.rate == 0 || a.level > 0 }

// wait is how long it takes until open.
func (a *allowance) wait() time.Duration {
	if a.open() {
		return 0
	}
	return time.Duration(-a.level/a.rate*float64(time.Second)) + time.Microsecond
}

// NewFlow joins.
func (s *Shaper) NewFlow() *Flow { return &Flow{s: s} }

// Close leaves; nobody may wait any more.
func (f *Flow) Close() { f.SetRate(0) }

// SetRate bounds all flows together, in bytes a second from now on; 0 is no
// bound.
func (s *Shaper) SetRate(bytesPerSecond int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.set(time.Now(), bytesPerSecond)
	s.relimit()
}

// SetRate bounds the flow alone, within what all may.
func (f *Flow) SetRate(bytesPerSecond int64) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.own.rate > 0 {
		f.s.bounded--
	}
	f.own.set(time.Now(), bytesPerSecond)
	if f.own.rate > 0 {
		f.s.bounded++
	}
	f.s.relimit()
}

// Limit returns how many bytes a second the flow may pass at most: the smaller of its
// own limit and of that of all flows together, or 0 if there is neither.
func (f *Flow) Limit() int64 {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	own, all := int64(f.own.rate), int64(f.s.all.rate)
	if own == 0 || all == 0 {
		return max(own, all)
	}
	return min(own, all)
}

// relimit notes whether there is any limit, and lets those pass who may now.
func (s *Shaper) relimit() {
	s.limited.Store(s.all.rate > 0 || s.bounded > 0)
	s.pump(nil)
}

// Limited reports whether anything has to wait or be counted at present.
func (f *Flow) Limited() bool { return f.s.limited.Load() }

// Spend counts bytes that could not wait.
func (f *Flow) Spend(n int) {
	if !f.Limited() {
		return
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	now := time.Now()
	f.s.all.fill(now)
	f.own.fill(now)
	f.s.all.take(n)
	f.own.take(n)
}

// Admit reports whether n bytes may pass at once. If not, w waits in turn, and
// w.Granted is called when they may, unless Cancel comes before.
func (f *Flow) Admit(w *Waiter, n int) bool {
	if !f.Limited() {
		w.passed.Store(true)
		return true
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if !f.queued {
		f.s.turns = append(f.s.turns, f)
		f.queued, f.credit = true, 0
	}
	w.n = n
	w.passed.Store(false)
	f.queue = append(f.queue, w)
	f.s.pump(w)
	return w.Passed()
}

// Refund gives back n of the bytes that were admitted, because there was less to
// pass than thought.
func (f *Flow) Refund(n int) {
	if !f.Limited() || n == 0 {
		return
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.all.take(-n)
	f.own.take(-n)
	f.s.pump(nil)
}

// Cancel ends the wait of w. It reports whether w waited still.
func (f *Flow) Cancel(w *Waiter) bool {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	i := slices.Index(f.queue, w)
	if i < 0 {
		return false
	}
	f.queue = slices.Delete(f.queue, i, i+1)
	return true
}

// pump lets those pass who may now, and comes again when more may. It does not call
// self.Granted. The caller holds mu.
func (s *Shaper) pump(self *Waiter) {
	if len(s.turns) == 0 {
		return
	}
	now := time.Now()
	s.all.fill(now)
	for _, f := range s.turns {
		f.own.fill(now)
	}
	for blocked := 0; s.all.open() && blocked < len(s.turns); {
		f := s.turns[0]
		if len(f.queue) > 0 && !f.own.open() {
			s.turns = append(s.turns[1:], f)
			blocked++
			continue
		}
		blocked = 0
		f.credit += Grain
		for len(f.queue) > 0 && f.queue[0].n <= f.credit && s.all.open() && f.own.open() {
			w := f.queue[0]
			f.queue[0] = nil
			f.queue = f.queue[1:]
			f.credit -= w.n
			s.all.take(w.n)
			f.own.take(w.n)
			w.passed.Store(true)
			if w != self {
				w.Granted()
			}
		}
		switch {
		case len(f.queue) == 0:
			f.queue, f.queued = nil, false
			s.turns = s.turns[1:]
		case f.queue[0].n <= f.credit:
			// A limit has cut its turn short, which goes on when there is more.
			f.credit -= Grain
		default:
			s.turns = append(s.turns[1:], f)
		}
	}
	s.sleep()
}

// sleep sets the timer to when somebody may pass next.
func (s *Shaper) sleep() {
	if len(s.turns) == 0 {
		return
	}
	next := time.Duration(-1)
	for _, f := range s.turns {
		if d := f.own.wait(); next < 0 || d < next {
			next = d
		}
	}
	next = max(next, s.all.wait())
	if s.timer == nil {
		s.timer = time.AfterFunc(next, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.pump(nil)
		})
	} else {
		s.timer.Reset(next)
	}
}
