package report

import (
	"context"
	"time"
)

// A Lane makes reports on a goroutine of its own, for a command that must not wait for
// whoever reads them. While nobody reads, reports are left out.
type Lane struct {
	reports chan func()
	done    chan struct{}
}

// laneLength reports may wait.
const laneLength = 16

// NewLane starts a lane, which the caller closes.
func NewLane() *Lane {
	l := &Lane{reports: make(chan func(), laneLength), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for report := range l.reports {
			report()
		}
	}()
	return l
}

// Do makes a report later, unless too many wait. It never waits.
func (l *Lane) Do(report func()) {
	select {
	case l.reports <- report:
	default:
	}
}

// Close waits until all reports are made. When ctx ends it gives up after Unread.
func (l *Lane) Close(ctx context.Context) {
	close(l.reports)
	select {
	case <-l.done:
		return
	case <-ctx.Done():
	}
	select {
	case <-l.done:
	case <-time.After(Unread):
	}
}
