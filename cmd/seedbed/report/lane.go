package report

import (
	"context"
	"time"
)

// A Lane calls report functions in order on a separate goroutine, so that a command does
// not wait for the reader of its output. If nobody reads, reports are dropped.
type Lane struct {
	reports chan func()
	done    chan struct{}
}

// laneLength is the maximum number of waiting reports.
const laneLength = 16

// NewLane starts a lane. The caller closes it.
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

// Do queues a report, or drops it if too many wait. It never blocks.
func (l *Lane) Do(report func()) {
	select {
	case l.reports <- report:
	default:
	}
}

// Close waits until all reports are made. After ctx ends, it gives up after Unread.
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
