// Package shaper limits the rate of flows of bytes and shares the bandwidth among them.
// The limits may change at any time.
package shaper

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Grain is how many bytes a flow may pass in one turn. Requests of about this size are
// shared most evenly.
const Grain = 16 << 10

// A Shaper limits the bytes per second of many flows together and of each. Flows share
// equally; what one flow leaves unused goes to the others. Flows that want more than is
// available take turns, and so do the waiters of one flow, so more waiters do not give a
// flow a larger share. All methods may be called concurrently. The zero Shaper has no
// limit.
type Shaper struct {
	limited atomic.Bool // any limit is set

	mu        sync.Mutex
	all       allowance
	ownLimits int     // number of flows with a limit of their own
	turns     []*Flow // flows with waiters
	timer     *time.Timer
}

// A Flow is the part of one torrent in a Shaper.
type Flow struct {
	s      *Shaper
	own    allowance
	queue  []*Waiter
	queued bool // is in turns
	credit int  // bytes left in this turn
}

// A Waiter waits until bytes are admitted, without using a goroutine. It must not be
// copied and can wait for one thing at a time. The waiters of a flow are admitted in the
// order in which they began to wait.
type Waiter struct {
	// Granted is called when the bytes of Admit may pass. It is called with the Shaper
	// locked: it must return quickly and must not call the Shaper.
	Granted func()

	n      int
	passed atomic.Bool
}

// Passed reports whether the bytes of the last Admit may pass.
func (w *Waiter) Passed() bool { return w.passed.Load() }

// An allowance is a token bucket whose level may become negative: a caller that finds it
// above zero may take any amount, and the next one waits until it is above zero again. So
// the rate is exact for any size of request.
type allowance struct {
	rate  float64 // bytes per second; 0 means no limit
	level float64
	at    time.Time
}

// depth is how much unused allowance may accumulate, as time at the full rate.
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

func (a *allowance) isOpen() bool { return a.rate == 0 || a.level > 0 }

// wait returns how long it takes until isOpen returns true.
func (a *allowance) wait() time.Duration {
	if a.isOpen() {
		return 0
	}
	return time.Duration(-a.level/a.rate*float64(time.Second)) + time.Microsecond
}

// NewFlow adds a flow.
func (s *Shaper) NewFlow() *Flow { return &Flow{s: s} }

// Close removes the flow. It must have no waiters.
func (f *Flow) Close() { f.SetRate(0) }

// SetRate limits all flows together to this many bytes per second; 0 means no limit.
func (s *Shaper) SetRate(bytesPerSecond int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all.set(time.Now(), bytesPerSecond)
	s.relimit()
}

// SetRate limits this flow alone, within the limit of all flows.
func (f *Flow) SetRate(bytesPerSecond int64) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.own.rate > 0 {
		f.s.ownLimits--
	}
	f.own.set(time.Now(), bytesPerSecond)
	if f.own.rate > 0 {
		f.s.ownLimits++
	}
	f.s.relimit()
}

// Limit returns the maximum rate of the flow in bytes per second: the smaller of its own
// limit and the limit of all flows, or 0 if there is neither.
func (f *Flow) Limit() int64 {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	own, all := int64(f.own.rate), int64(f.s.all.rate)
	if own == 0 || all == 0 {
		return max(own, all)
	}
	return min(own, all)
}

// relimit updates limited, and admits the waiters that may pass now.
func (s *Shaper) relimit() {
	s.limited.Store(s.all.rate > 0 || s.ownLimits > 0)
	s.admitWaiters(nil)
}

// Limited reports whether bytes currently have to wait or be counted.
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

// Admit reports whether n bytes may pass immediately. If not, w waits for its turn, and
// w.Granted is called when they may, unless Cancel is called before.
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
	f.s.admitWaiters(w)
	return w.Passed()
}

// Refund returns n of the admitted bytes, because fewer than expected had to pass.
func (f *Flow) Refund(n int) {
	if !f.Limited() || n == 0 {
		return
	}
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.all.take(-n)
	f.own.take(-n)
	f.s.admitWaiters(nil)
}

// Cancel ends the wait of w. It reports whether w was still waiting.
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

// admitWaiters admits the waiters that may pass now, and sets the timer for the next ones.
// It does not call self.Granted. The caller holds mu.
func (s *Shaper) admitWaiters(self *Waiter) {
	if len(s.turns) == 0 {
		return
	}
	now := time.Now()
	s.all.fill(now)
	for _, f := range s.turns {
		f.own.fill(now)
	}
	for blocked := 0; s.all.isOpen() && blocked < len(s.turns); {
		f := s.turns[0]
		if len(f.queue) > 0 && !f.own.isOpen() {
			s.turns = append(s.turns[1:], f)
			blocked++
			continue
		}
		blocked = 0
		f.credit += Grain
		for len(f.queue) > 0 && f.queue[0].n <= f.credit && s.all.isOpen() && f.own.isOpen() {
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
			// A limit ended its turn early. The turn continues when the limit permits.
			f.credit -= Grain
		default:
			s.turns = append(s.turns[1:], f)
		}
	}
	s.setTimer()
}

// setTimer sets the timer to when the next waiter may pass.
func (s *Shaper) setTimer() {
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
			s.admitWaiters(nil)
		})
	} else {
		s.timer.Reset(next)
	}
}
