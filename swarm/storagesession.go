package swarm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/bitset"
)

const (
	// flushEvery and flushBytes limit the cost of a crash: what was written since the
	// last flush must be hashed again.
	flushEvery = 10 * time.Second
	flushBytes = 64 << 20
	// retryFirst and retryLongest bound the pause between attempts to recover.
	retryFirst   = time.Second
	retryLongest = 30 * time.Second
	// stableTime is how long storage must work after a repeated failure before that is
	// reported, so that the state does not alternate between "paused" and "resumed".
	stableTime = 10 * time.Second
	// maxReported is how many reasons of an outage are remembered, so that alternating
	// reasons are not reported again and again.
	maxReported = 16
)

var (
	// ErrStopped is the error of what ended because the torrent stopped.
	ErrStopped = errors.New("the torrent was stopped")
	// errUnverified means that the torrent is complete for the engine, but not for the
	// storage.
	errUnverified = errors.New("some pieces have to be verified again")
)

// storageSession manages the storage of one torrent: it opens and flushes it, recovers it
// after failures, and finishes the download. It does not know the engine or the torrent.
//
// The owner calls start, then any of failed, countWritten and complete, then close when
// everything that was spawned has ended. A recovery ends in two steps, because pieces may
// be lost: storageBack is called on the owner, which tells the engine and then calls
// recovered.
type storageSession struct {
	ctx   context.Context // ends when Stop is called
	open  func(ctx context.Context, progress func(done, total int64)) (Content, error)
	owner storageOwner

	checked, toCheck atomic.Int64  // bytes, while opening
	failures         *atomic.Int64 // counts failed attempts

	writes atomic.Int64 // since the storage was opened
	placed atomic.Int64 // writes when everything was in place; -1: never

	unflushed atomic.Int64  // bytes written since the last flush
	dirty     chan struct{} // signals the first write since the last flush
	flushNow  chan struct{} // signals that flushBytes have been written

	mu             sync.Mutex
	content        Content
	opening        bool
	opened         bool  // content is set
	recovering     bool  // from a failure until the engine has been isReported that it is over
	failedSince    error // a failure during or after the last Recheck
	finishing      bool  // complete was called, but the download is not finished
	completeCalled bool  // complete was called since the last attempt to finish
	isFinishing    bool  // a goroutine is finishing the download
	outage         outage
	lacking        bool          // Content.Fixed, and wanted pieces are lost
	lookPause      time.Duration // before they are looked for again
	isLooking      bool          // a goroutine waits for lookPause
}

// outage is what was reported about the latest failure.
type outage struct {
	reason        error       // why the torrent is paused; nil if it is not
	reported      []string    // reasons reported in the current or last outage
	ended         time.Time   // when the last outage ended
	repeats       int         // how often the same failure recurred immediately
	pendingResume *time.Timer // storage works again; the timer reports it unless storage fails before
}

// lacks reports whether a wanted piece is not in have.
func (c *Content) lacks(have bitset.Set) bool {
	if c.Wanted.Len() == 0 {
		return !have.Full()
	}
	return c.Wanted.AnyNotIn(have)
}

// storageOwner is the torrent as seen by its storageSession. The methods may be called on
// any goroutine, and all except waitIdle return at once.
type storageOwner interface {
	spawn(f func()) // runs f on a goroutine that ends before close, unless the torrent is ending
	waitIdle()      // waits until nothing is being written
	storageOpened(c Content)
	storageFailing()         // do not store or read anything until storageBack
	storagePaused(err error) // report it
	storageResumed()         // report it
	storageBack(have bitset.Set)
	storageFinished()
}

func newStorageSession(ctx context.Context, owner storageOwner, open func(context.Context, func(done, total int64)) (Content, error)) *storageSession {
	s := &storageSession{ctx: ctx, owner: owner, open: open, dirty: make(chan struct{}, 1), flushNow: make(chan struct{}, 1), failures: new(atomic.Int64)}
	s.placed.Store(-1)
	return s
}

// start starts opening the storage.
func (s *storageSession) start() {
	s.mu.Lock()
	s.opening = true
	s.mu.Unlock()
	s.owner.spawn(s.run)
}

// run opens the storage and flushes it until the torrent stops.
func (s *storageSession) run() {
	var c Content
	err := s.retry(0, func() (err error) {
		c, err = s.open(s.ctx, func(done, total int64) {
			s.checked.Store(done)
			s.toCheck.Store(total)
		})
		return err
	})
	if err != nil {
		return
	}
	s.mu.Lock()
	s.content, s.opening, s.opened = c, false, true
	s.mu.Unlock()
	s.owner.storageOpened(c)
	s.flushInBackground()
}

// state reports whether the storage is being opened, and why the torrent is paused.
func (s *storageSession) state() (opening bool, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opening, s.outage.reason
}

// retry calls f until it succeeds or the torrent stops. It reports every new reason for
// its failure.
func (s *storageSession) retry(wait time.Duration, f func() error) error {
	for {
		if wait > 0 && await.Sleep(s.ctx, wait) != nil {
			return ErrStopped
		}
		err := f()
		switch {
		case err == nil:
			s.resume()
			return nil
		case s.ctx.Err() != nil:
			return ErrStopped
		}
		s.pause(err)
		wait = min(max(2*wait, retryFirst), retryLongest)
	}
}

// pause records the reason why the torrent is paused, and reports it unless it was
// already reported in this outage.
func (s *storageSession) pause(err error) {
	s.failures.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	o, text := &s.outage, err.Error()
	isReported := slices.Contains(o.reported, text)
	known := o.reason != nil && isReported
	switch {
	case o.pendingResume != nil:
		o.pendingResume.Stop()
		o.pendingResume = nil
		o.repeats++
	case known:
	case o.reason == nil && isReported && time.Since(o.ended) < stableTime:
		o.repeats++
	case o.reason == nil:
		o.repeats, o.reported = 0, nil
	default:
		o.repeats = 0
	}
	o.reason = err
	if !known {
		if len(o.reported) == maxReported {
			o.reported = slices.Delete(o.reported, 0, 1)
		}
		if !slices.Contains(o.reported, text) {
			o.reported = append(o.reported, text)
		}
		s.owner.storagePaused(err)
	}
}

// resume reports that storage works: at once if the failure was new, otherwise after
// stableTime.
func (s *storageSession) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.outage
	if o.reason == nil || o.pendingResume != nil || s.lacking {
		return
	}
	if o.repeats > 0 {
		var t *time.Timer
		t = time.AfterFunc(stableTime, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if o.pendingResume == t {
				s.endOutage()
			}
		})
		o.pendingResume = t
		return
	}
	s.endOutage()
}

// endOutage reports the end of an outage. The caller holds mu.
func (s *storageSession) endOutage() {
	o := &s.outage
	o.ended = time.Now()
	o.reason, o.pendingResume, o.repeats = nil, nil, 0
	s.owner.storageResumed()
}

// failed reports a storage failure and starts the recovery unless it is in progress.
func (s *storageSession) failed(err error) {
	s.pause(err)
	s.mu.Lock()
	if !s.content.Fixed { // the rest of a store can be read while it is looked at
		s.owner.storageFailing()
	}
	start := !s.recovering && s.ctx.Err() == nil
	if start {
		s.recovering = true
	} else {
		s.failedSince = err
	}
	wait := min(retryFirst<<min(s.outage.repeats, 8), retryLongest)
	s.mu.Unlock()
	if start {
		s.owner.spawn(func() { s.recover(wait) })
	}
}

// recover rechecks the storage, with growing pauses, until it works again.
func (s *storageSession) recover(wait time.Duration) {
	var have bitset.Set
	err := s.retry(wait, func() (err error) {
		// The engine hands out nothing while it is paused. Finish what it handed out
		// before, so that nothing is half stored.
		s.owner.waitIdle()
		s.mu.Lock()
		s.failedSince = nil
		s.mu.Unlock()
		have, err = s.content.Storage.Recheck(s.ctx)
		if err == nil {
			s.mu.Lock()
			s.lacking = s.content.Fixed && s.content.lacks(have)
			s.mu.Unlock()
		}
		return err
	})
	if err != nil {
		return
	}
	signal(s.dirty) // a flush may have failed
	s.owner.storageBack(have)
}

// recovered ends a recovery, after the engine has been isReported what storage holds. If
// storage has failed again since, it starts another recovery.
func (s *storageSession) recovered() {
	s.mu.Lock()
	s.recovering = false
	err := s.failedSince
	look := s.lacking && !s.isLooking
	switch {
	case !s.lacking:
		s.lookPause = 0
	case look:
		s.isLooking, s.lookPause = true, min(max(2*s.lookPause, retryFirst), retryLongest)
	}
	pause := s.lookPause
	s.mu.Unlock()
	if look {
		s.owner.spawn(func() { s.lookForLost(pause) })
	}
	if err != nil {
		s.failed(err)
		return
	}
	s.startFinish()
}

// lookForLost rechecks the storage after a pause, because pieces that are lost may be back. What is there is used meanwhile.
func (s *storageSession) lookForLost(pause time.Duration) {
	if await.Sleep(s.ctx, pause) != nil {
		return
	}
	s.mu.Lock()
	s.isLooking = false
	start := !s.recovering
	if start {
		s.recovering = true
	}
	s.mu.Unlock()
	if start {
		s.recover(0)
	}
}

// isInPlace reports whether the files have their final names, if everything is verified. It is false from
// a write until the download is finished.
func (s *storageSession) isInPlace() bool { return s.placed.Load() == s.writes.Load() }

// hasWritten reports whether anything was written since the storage was opened.
func (s *storageSession) hasWritten() bool { return s.writes.Load() > 0 }

// countWritten counts bytes that the next flush must sync.
func (s *storageSession) countWritten(n int64) {
	s.writes.Add(1)
	now := s.unflushed.Add(n)
	if now == n {
		signal(s.dirty)
	}
	if now >= flushBytes && now-n < flushBytes {
		signal(s.flushNow)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// flushInBackground flushes until the torrent stops: flushEvery after the first write, or
// when flushBytes have been written.
func (s *storageSession) flushInBackground() {
	timer := time.NewTimer(flushEvery)
	timer.Stop()
	for {
		select {
		case <-s.dirty:
			timer.Reset(flushEvery)
			continue
		case <-timer.C:
		case <-s.flushNow:
			timer.Stop()
		case <-s.ctx.Done():
			timer.Stop()
			return
		}
		s.unflushed.Store(0)
		if err := s.content.Storage.Flush(); err != nil {
			s.failed(err)
		}
	}
}

// complete gives the files their final names after the engine has all wanted pieces. It
// reports storageFinished once storage agrees that everything is verified and in place. A
// failure is recovered from first; if pieces are lost, complete is called again when they
// have been fetched.
func (s *storageSession) complete() {
	s.mu.Lock()
	s.finishing, s.completeCalled = true, true
	s.mu.Unlock()
	s.startFinish()
}

// startFinish finishes the download if that is due and possible now.
func (s *storageSession) startFinish() {
	s.mu.Lock()
	start := s.finishing && !s.isFinishing && !s.recovering
	if start {
		s.isFinishing = true
	}
	s.mu.Unlock()
	if start {
		s.owner.spawn(s.finish)
	}
}

func (s *storageSession) finish() {
	var done bool
	writes := s.writes.Load()
	err := s.content.Storage.Finish()
	if err == nil {
		done, err = s.content.Storage.Complete()
	}
	if done {
		s.placed.Store(writes)
	}
	s.mu.Lock()
	if err == nil && !done && s.completeCalled {
		err = errUnverified
	}
	// After a failure, recovered tries again.
	s.isFinishing, s.finishing, s.completeCalled = false, err != nil, false
	s.mu.Unlock()
	switch {
	case err != nil && s.ctx.Err() == nil:
		s.failed(err)
	case done:
		s.owner.storageFinished()
	}
}

// close flushes and closes the storage. Nothing else may be running.
func (s *storageSession) close() error {
	s.mu.Lock()
	opened := s.opened
	if s.outage.pendingResume != nil {
		s.outage.pendingResume.Stop()
	}
	s.mu.Unlock()
	if !opened {
		return nil
	}
	err := s.content.Storage.Flush()
	if e := s.content.Storage.Close(); err == nil {
		err = e
	}
	return err
}
