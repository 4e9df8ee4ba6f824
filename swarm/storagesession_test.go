package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/bitset"
)

// scriptedStorage is a Storage whose results are set by the test.
type scriptedStorage struct {
	mu                              sync.Mutex
	flush, finish, recheck, changed error
	incomplete                      bool
	flushes, rechecks               int
	closed                          bool
}

func (s *scriptedStorage) do(f func()) { s.mu.Lock(); defer s.mu.Unlock(); f() }

func (s *scriptedStorage) ReadAt([]byte, int64) error    { return nil }
func (s *scriptedStorage) WriteAt([]byte, int64) error   { return nil }
func (s *scriptedStorage) MarkVerified(int)              {}
func (s *scriptedStorage) MarkChunk(int, uint32, []byte) {}
func (s *scriptedStorage) Flush() (err error) {
	s.do(func() { s.flushes++; err = s.flush })
	return err
}
func (s *scriptedStorage) Finish() (err error) { s.do(func() { err = s.finish }); return err }
func (s *scriptedStorage) Complete() (ok bool, err error) {
	s.do(func() { ok, err = !s.incomplete, s.changed })
	return ok, err
}
func (s *scriptedStorage) Close() error { s.do(func() { s.closed = true }); return nil }
func (s *scriptedStorage) Recheck(context.Context) (have bitset.Set, err error) {
	s.do(func() { s.rechecks++; have, err = bitset.New(1), s.recheck })
	return have, err
}

func (s *scriptedStorage) flushed() (n int)   { s.do(func() { n = s.flushes }); return n }
func (s *scriptedStorage) rechecked() (n int) { s.do(func() { n = s.rechecks }); return n }

// sessionLog is the owner of a storageSession. It records what is reported.
type sessionLog struct {
	t       *testing.T
	session *storageSession
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	held    atomic.Bool // do not answer storageBack

	mu   sync.Mutex
	list []string
}

func (l *sessionLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, fmt.Sprintf(format, args...))
}

// got returns what was reported since the last call.
func (l *sessionLog) got() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.list
	l.list = nil
	return list
}

func (l *sessionLog) want(list ...string) {
	l.t.Helper()
	if got := l.got(); !slices.Equal(got, list) {
		l.t.Errorf("reported %q, not %q", got, list)
	}
}

func (l *sessionLog) spawn(f func())          { l.wg.Go(f) }
func (l *sessionLog) waitIdle()               {}
func (l *sessionLog) storageOpened(Content)   { l.add("opened") }
func (l *sessionLog) storageFailing()         {}
func (l *sessionLog) storagePaused(err error) { l.add("paused: %v", err) }
func (l *sessionLog) storageResumed()         { l.add("resumed") }
func (l *sessionLog) storageFinished()        { l.add("finished") }
func (l *sessionLog) storageBack(bitset.Set) {
	if !l.held.Load() {
		l.wg.Go(l.session.recovered)
	}
}

// withSession runs a session with a scripted storage in fake time.
func withSession(t *testing.T, play func(l *sessionLog, s *scriptedStorage)) {
	synctest.Test(t, func(t *testing.T) {
		st := &scriptedStorage{}
		l := &sessionLog{t: t}
		var ctx context.Context
		ctx, l.cancel = context.WithCancel(t.Context())
		l.session = newStorageSession(ctx, l, func(context.Context, func(done, total int64)) (Content, error) {
			return Content{Storage: st}, nil
		})
		l.session.start()
		l.want("opened")
		play(l, st)
		l.cancel()
		l.wg.Wait()
		_ = l.session.close()
		if !st.closed {
			t.Error("the storage was not closed")
		}
	})
}

func TestOpenIsRetriedAndEachReasonReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &sessionLog{t: t}
		var ctx context.Context
		ctx, l.cancel = context.WithCancel(t.Context())
		one := errors.New("one")
		var reason atomic.Pointer[error]
		reason.Store(&one)
		l.session = newStorageSession(ctx, l, func(context.Context, func(done, total int64)) (Content, error) {
			return Content{Storage: &scriptedStorage{}}, *reason.Load()
		})
		l.session.start()
		time.Sleep(10 * time.Minute)
		l.want("paused: one")
		if opening, err := l.session.state(); !opening || err != one {
			t.Error(opening, err)
		}
		two := errors.New("two")
		reason.Store(&two)
		time.Sleep(10 * time.Minute)
		l.want("paused: two")
		reason.Store(new(error))
		time.Sleep(retryLongest)
		l.want("resumed", "opened")
		l.cancel()
		l.wg.Wait()
	})
}

// Alternating reasons, as when attempts fail at a file and at its folder, are reported
// once each, and the state contains the current one.
func TestAlternatingReasonsAreReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &sessionLog{t: t}
		var ctx context.Context
		ctx, l.cancel = context.WithCancel(t.Context())
		var attempts atomic.Int64
		reasons := []error{errors.New("file"), errors.New("folder")}
		l.session = newStorageSession(ctx, l, func(context.Context, func(done, total int64)) (Content, error) {
			return Content{}, reasons[attempts.Add(1)%2]
		})
		l.session.start()
		time.Sleep(10 * time.Minute)
		l.want("paused: folder", "paused: file")
		if n := attempts.Load(); n < 10 {
			t.Errorf("%d attempts", n)
		} else if _, err := l.session.state(); err != reasons[n%2] {
			t.Error("wrong reason in the state:", err)
		}
		l.cancel()
		l.wg.Wait()
	})
}

// A failure that Recheck cannot detect recurs at once for as long as its cause lasts. It
// is reported as at most two pauses, and rechecked less and less often.
func TestRecurringFailureIsNotReportedAgain(t *testing.T) {
	withSession(t, func(l *sessionLog, st *scriptedStorage) {
		broken := true
		fail := errors.New("read-only file system")
		stop := make(chan struct{})
		l.wg.Go(func() { // writes as soon as it may
			for {
				select {
				case <-stop:
					return
				case <-time.After(10 * time.Millisecond):
				}
				l.session.mu.Lock()
				try := broken && !l.session.recovering
				l.session.mu.Unlock()
				if try {
					l.session.failed(fail)
				}
			}
		})
		time.Sleep(time.Hour)
		l.want("paused: read-only file system", "resumed", "paused: read-only file system")
		if st.rechecked() > int(time.Hour/retryLongest)+20 {
			t.Errorf("%d rechecks in an hour", st.rechecked())
		}
		l.session.mu.Lock()
		broken = false
		l.session.mu.Unlock()
		time.Sleep(retryLongest + stableTime + time.Second)
		l.want("resumed")
		if _, err := l.session.state(); err != nil {
			t.Error(err)
		}
		close(stop)
	})
}

// Completion is reported when Finish has succeeded and storage agrees, not before.
func TestCompletionIsReportedWhenStorageAgrees(t *testing.T) {
	withSession(t, func(l *sessionLog, st *scriptedStorage) {
		st.do(func() { st.finish = errors.New("in the way") })
		l.session.complete()
		time.Sleep(time.Minute)
		if got := l.got(); !slices.Contains(got, "paused: in the way") || slices.Contains(got, "finished") {
			t.Error(got)
		}
		st.do(func() { st.finish = nil })
		time.Sleep(retryLongest + time.Second)
		if got := l.got(); !slices.Contains(got, "finished") {
			t.Error(got)
		}
		time.Sleep(time.Minute)
		l.got()

		// A file has been changed: it is rechecked, and the attempt repeated.
		st.do(func() { st.changed = errors.New("changed") })
		l.session.complete()
		l.want("paused: changed")
		st.do(func() { st.changed = nil })
		time.Sleep(retryFirst)
		l.want("resumed", "finished")

		// The recheck finds missing pieces: the engine reports when it has them again.
		time.Sleep(time.Minute)
		st.do(func() { st.incomplete = true })
		l.session.complete()
		l.want("paused: " + errUnverified.Error())
		time.Sleep(retryFirst)
		l.want("resumed")
		time.Sleep(time.Minute)
		l.want()
		st.do(func() { st.incomplete = false })
		l.session.complete()
		l.want("finished")
	})
}

func TestFailureDuringRecoveryStartsAnother(t *testing.T) {
	withSession(t, func(l *sessionLog, st *scriptedStorage) {
		l.held.Store(true)
		l.session.failed(errors.New("one"))
		time.Sleep(retryFirst)
		l.want("paused: one", "resumed")
		l.session.failed(errors.New("two")) // before the engine knows
		l.held.Store(false)
		l.session.recovered()
		time.Sleep(time.Minute)
		l.want("paused: two", "resumed")
		if st.rechecked() != 2 {
			t.Error(st.rechecked(), "rechecks")
		}
	})
}

func TestFlushesAfterTimeOrBytes(t *testing.T) {
	withSession(t, func(l *sessionLog, st *scriptedStorage) {
		time.Sleep(time.Hour)
		if st.flushed() != 0 {
			t.Error("flushed although nothing was written")
		}
		l.session.countWritten(1)
		time.Sleep(flushEvery - 1)
		l.session.countWritten(1)
		if synctest.Wait(); st.flushed() != 0 {
			t.Error("flushed too early")
		}
		time.Sleep(time.Second)
		if synctest.Wait(); st.flushed() != 1 {
			t.Error(st.flushed(), "flushes")
		}
		l.session.countWritten(flushBytes)
		if synctest.Wait(); st.flushed() != 2 {
			t.Error(st.flushed(), "flushes after many bytes")
		}
		st.do(func() { st.flush = errors.New("full") })
		l.session.countWritten(flushBytes)
		l.want("paused: full")
		st.do(func() { st.flush = nil })
		time.Sleep(retryFirst)
		l.want("resumed")
		time.Sleep(flushEvery + time.Second)
		if synctest.Wait(); st.flushed() != 4 {
			t.Error(st.flushed(), "flushes: a failed flush must be repeated")
		}
	})
}
