package swarm

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/internal/bitset"
)

const (
	// flushEvery and flushBytes say how much a crash may cost: what was written
	// since the last flush is hashed again.
	flushEvery = 10 * time.Second
	flushBytes = 64 << 20
	// retryFirst and retryLongest bound the wait between attempts to recover.
	retryFirst   = time.Second
	retryLongest = 30 * time.Second
	// quietTime is how long storage must work after a failure that came again before
	// that is reported, so that nothing alternates between "paused" and "resumed".
	quietTime = 10 * time.Second
	// maxTold reasons of an outage are remembered, so that one of them that comes again
	// in turn with others is not reported again.
	maxTold = 16
)

var (
	// errStopped is why a task gave up when the torrent stopped.
	errStopped = errors.New("the torrent was stopped")
	// errUnverified is the failure of a torrent that the engine takes for complete and
	// storage does not.
	errUnverified = errors.New("some pieces have to be verified again")
)

// A storageSession runs the storage of one torrent: it opens it, flushes it in the
// background, recovers it after failures and finishes the download. It knows neither
// the engine nor the torrent.
//
// Its life is start, then any of failed, wrote and complete, then close when all that it
// spawned has ended. A recovery ends in two steps, because pieces may be lost: the owner
// gets storageBack, tells the engine, and calls recovered.
type storageSession struct {
	ctx   context.Context // ends when the torrent is told to stop
	open  func(ctx context.Context, progress func(done, total int64)) (Content, error)
	owner storageOwner

	checked, toCheck atomic.Int64 // bytes, while opening

	unflushed atomic.Int64  // bytes written since the last flush
	dirty     chan struct{} // the first write since the last flush
	flushNow  chan struct{} // flushBytes are reached

	mu          sync.Mutex
	content     Content
	opening     bool
	opened      bool  // content is set
	recovering  bool  // from a failure until the engine knows that it is over
	failedSince error // a failure that came while the last Recheck ran, or after it
	finishing   bool  // complete was called, and the download is not finished
	claimed     bool  // the engine said so since the last attempt
	inFinish    bool  // a goroutine finishes it
	outage      outage
}

// An outage is what was reported of the last failure.
type outage struct {
	reason   error       // why the torrent is paused; nil if it is not
	told     []string    // the reasons reported in this outage, or the last one
	ended    time.Time   // when the last one did
	repeats  int         // how often the same failure came again at once
	withheld *time.Timer // storage works again, and this reports it if it goes on doing so
}

// A storageOwner is the torrent as its storageSession sees it. The methods may be called
// on any goroutine, and all but waitIdle return at once.
type storageOwner interface {
	spawn(f func()) // runs f, unless the torrent ends, on a goroutine that ends before close
	waitIdle()      // waits until nothing is being written
	storageOpened(c Content)
	storageFailing()         // nothing is to be stored or read until storageBack
	storagePaused(err error) // to be reported
	storageResumed()         // to be reported
	storageBack(have bitset.Set)
	storageFinished()
}

func newStorageSession(ctx context.Context, owner storageOwner, open func(context.Context, func(done, total int64)) (Content, error)) *storageSession {
	return &storageSession{ctx: ctx, owner: owner, open: open, dirty: make(chan struct{}, 1), flushNow: make(chan struct{}, 1)}
}

// start begins to open the storage.
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

// state returns whether the storage is being opened and why the torrent is paused.
func (s *storageSession) state() (opening bool, reason error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opening, s.outage.reason
}

// retry calls f until it works or the torrent stops. It reports every new reason why
// it does not work.
func (s *storageSession) retry(wait time.Duration, f func() error) error {
	for {
		if wait > 0 && !s.sleep(wait) {
			return errStopped
		}
		err := f()
		switch {
		case err == nil:
			s.resume()
			return nil
		case s.ctx.Err() != nil:
			return errStopped
		}
		s.pause(err)
		wait = min(max(2*wait, retryFirst), retryLongest)
	}
}

func (s *storageSession) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// pause keeps the reason why the torrent is paused and reports it unless it was
// reported in this outage.
func (s *storageSession) pause(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, text := &s.outage, err.Error()
	told := slices.Contains(o.told, text)
	known := o.reason != nil && told
	switch {
	case o.withheld != nil:
		o.withheld.Stop()
		o.withheld = nil
		o.repeats++
	case known:
	case o.reason == nil && told && time.Since(o.ended) < quietTime:
		o.repeats++
	case o.reason == nil:
		o.repeats, o.told = 0, nil
	default:
		o.repeats = 0
	}
	o.reason = err
	if !known {
		if len(o.told) == maxTold {
			o.told = slices.Delete(o.told, 0, 1)
		}
		if !slices.Contains(o.told, text) {
			o.told = append(o.told, text)
		}
		s.owner.storagePaused(err)
	}
}

// resume reports that storage works, at once if the failure was new.
func (s *storageSession) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.outage
	if o.reason == nil || o.withheld != nil {
		return
	}
	if o.repeats > 0 {
		var t *time.Timer
		t = time.AfterFunc(quietTime, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if o.withheld == t {
				s.endOutage()
			}
		})
		o.withheld = t
		return
	}
	s.endOutage()
}

// endOutage reports the end of an outage. mu is held.
func (s *storageSession) endOutage() {
	o := &s.outage
	o.ended = time.Now()
	o.reason, o.withheld, o.repeats = nil, nil, 0
	s.owner.storageResumed()
}

// failed reports a failure of the storage and starts the recovery unless it is under way.
func (s *storageSession) failed(err error) {
	s.pause(err)
	s.mu.Lock()
	s.owner.storageFailing()
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

// recover asks the storage, with growing intervals, until it works again.
func (s *storageSession) recover(wait time.Duration) {
	var have bitset.Set
	err := s.retry(wait, func() (err error) {
		// The engine hands out nothing while it is paused. What it handed out before
		// is finished first, so that nothing half stored is in doubt.
		s.owner.waitIdle()
		s.mu.Lock()
		s.failedSince = nil
		s.mu.Unlock()
		have, err = s.content.Storage.Recheck(s.ctx)
		return err
	})
	if err != nil {
		return
	}
	signal(s.dirty) // what failed may have been a flush
	s.owner.storageBack(have)
}

// recovered ends a recovery, now that the engine knows what storage holds. If storage
// failed once more in between, another recovery begins.
func (s *storageSession) recovered() {
	s.mu.Lock()
	s.recovering = false
	err := s.failedSince
	s.mu.Unlock()
	if err != nil {
		s.failed(err)
		return
	}
	s.startFinish()
}

// wrote counts what the next flush has to sync.
func (s *storageSession) wrote(n int64) {
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

// flushInBackground flushes until the torrent stops: some time after something was
// written, or when it is much.
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

// complete gives the files their final names, now that the engine has all that is
// wanted. It reports storageFinished when storage agrees that everything is verified and
// in its place. A failure is recovered from first, and if that costs pieces, complete is
// called again when they are there.
func (s *storageSession) complete() {
	s.mu.Lock()
	s.finishing, s.claimed = true, true
	s.mu.Unlock()
	s.startFinish()
}

// startFinish finishes the download if that is due and nothing stands against it.
func (s *storageSession) startFinish() {
	s.mu.Lock()
	start := s.finishing && !s.inFinish && !s.recovering
	if start {
		s.inFinish = true
	}
	s.mu.Unlock()
	if start {
		s.owner.spawn(s.finish)
	}
}

func (s *storageSession) finish() {
	var done bool
	err := s.content.Storage.Finish()
	if err == nil {
		done, err = s.content.Storage.Complete()
	}
	s.mu.Lock()
	if err == nil && !done && s.claimed {
		err = errUnverified
	}
	// After a failure, recovered tries again.
	s.inFinish, s.finishing, s.claimed = false, err != nil, false
	s.mu.Unlock()
	switch {
	case err != nil && s.ctx.Err() == nil:
		s.failed(err)
	case done:
		s.owner.storageFinished()
	}
}

// close flushes and closes the storage. Nothing else runs any more.
func (s *storageSession) close() error {
	s.mu.Lock()
	opened := s.opened
	if s.outage.withheld != nil {
		s.outage.withheld.Stop()
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
