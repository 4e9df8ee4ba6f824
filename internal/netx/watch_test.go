package netx

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeMachine is a machine whose paths a test sets.
type fakeMachine struct {
	mu       sync.Mutex
	paths    Paths
	slept    time.Duration // how far the wall clock is ahead
	reports  chan struct{}
	reads    int
	changes  chan Change
	watching context.CancelFunc
}

func startWatch(t *testing.T, p Paths) *fakeMachine {
	m := &fakeMachine{paths: p, reports: make(chan struct{}, 1), changes: make(chan Change, 16)}
	ctx, cancel := context.WithCancel(t.Context())
	m.watching = cancel
	go watch(ctx, m.reports, func() time.Time {
		m.mu.Lock()
		defer m.mu.Unlock()
		return time.Now().Round(0).Add(m.slept)
	}, func() (Paths, bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.reads++
		return m.paths, true
	}, func(c Change) { m.changes <- c })
	synctest.Wait()
	return m
}

// set changes the paths. reported says whether the system reports it.
func (m *fakeMachine) set(p Paths, reported bool) {
	m.mu.Lock()
	m.paths = p
	m.mu.Unlock()
	if reported {
		select {
		case m.reports <- struct{}{}:
		default:
		}
	}
}

// readsSoFar returns how often the watcher read the paths.
func (m *fakeMachine) readsSoFar() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads
}

func (m *fakeMachine) next(t *testing.T, within time.Duration) Change {
	t.Helper()
	select {
	case c := <-m.changes:
		return c
	case <-time.After(within + time.Millisecond):
		t.Errorf("no change within %v", within)
		return Change{}
	}
}

func (m *fakeMachine) none(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case c := <-m.changes:
		t.Errorf("a change where there is none: %+v", c)
	case <-time.After(d):
	}
}

func offlineWith(locals ...Local) Paths { return newPaths([2]netip.Addr{}, locals, nil) }

func TestWatchReportsChangesOfThePaths(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startWatch(t, pathsOf(home))
		defer m.watching()
		m.none(t, time.Hour)
		m.set(pathsOf(office), true)
		c := m.next(t, settleTime)
		if c.Before.Internet[0] != home || c.After.Internet[0] != office || !c.HasMoved(false) || c.HasMoved(true) || c.HasEnded(false) {
			t.Errorf("%+v", c)
		}
		m.none(t, time.Hour)
		m.set(pathsOf(home), false) // the system does not report it
		m.next(t, checkEvery)
		m.set(pathsOf(home, on("docker0", "172.17.0.1/16")), true)
		if c := m.next(t, settleTime); c.HasMoved(false) || c.HasEnded(false) {
			t.Errorf("%+v", c)
		}
	})
}

// After an interruption, a change says how long it was and which path there was before.
func TestWatchMeasuresInterruptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startWatch(t, pathsOf(home))
		defer m.watching()
		m.set(offlineWith(home), true)
		if c := m.next(t, settleTime); !c.HasEnded(false) || c.HasMoved(false) {
			t.Errorf("%+v", c)
		}
		m.none(t, 20*time.Second)
		m.set(offlineWith(), true)
		if c := m.next(t, settleTime); c.HasEnded(false) || c.HasMoved(false) || c.Interrupted[0] < 20*time.Second {
			t.Errorf("it ended twice: %+v", c)
		}
		m.set(pathsOf(home), true)
		c := m.next(t, settleTime)
		if !c.HasMoved(false) || c.Before.Internet[0] != home || c.Interrupted[0] < 20*time.Second || c.Interrupted[0] > 22*time.Second {
			t.Errorf("%+v", c)
		}
		m.set(pathsOf(office), true)
		if c := m.next(t, settleTime); c.Interrupted[0] != 0 {
			t.Errorf("still interrupted: %+v", c)
		}
	})
}

func TestWatchNoticesASuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startWatch(t, pathsOf(home))
		defer m.watching()
		m.mu.Lock()
		m.slept = time.Hour
		m.mu.Unlock()
		if c := m.next(t, checkEvery); c.Slept < time.Hour || !c.HasMoved(false) {
			t.Errorf("%+v", c)
		}
		m.none(t, time.Hour)
	})
}

// A host that starts and stops containers all the time does not keep the watcher busy, nor from
// its work.
func TestWatchCollectsReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startWatch(t, pathsOf(home))
		defer m.watching()
		before := m.readsSoFar()
		for range 1000 {
			m.set(pathsOf(home), true)
			time.Sleep(10 * time.Millisecond)
		}
		m.set(pathsOf(office), true)
		m.next(t, settleTime)
		if n := m.readsSoFar() - before; n > 30 {
			t.Errorf("the interfaces were read %d times in 10 s", n)
		}
	})
}
