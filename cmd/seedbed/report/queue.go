package report

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// queueSize is the maximum size of waiting messages in bytes. It is at most exceeded by
	// one message.
	queueSize = 256 << 10
	// queueWait is how long a message waits for its reader before its writer goes on.
	queueWait = 100 * time.Millisecond
)

// A Queue is a writer for messages and logs. If nobody reads them, its callers go on: the
// messages wait in a bounded queue, and those that do not fit are counted and dropped. While
// they are read, Write returns after the message is written, so that messages to stdout and
// stderr keep their order.
type Queue struct {
	out   io.Writer
	wrote atomic.Int64  // number of messages so far
	wake  chan struct{} // buffered: 1
	start sync.Once
	done  chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	waiting [][]byte
	size    int
	dropped int           // messages after those in waiting
	empty   chan struct{} // closed when everything up to now is written
	late    bool          // a message waited for queueWait, and the queue was not empty since
	closing bool
}

// NewQueue returns a queue in front of out. The caller closes it.
func NewQueue(out io.Writer) *Queue {
	return &Queue{out: out, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// Write queues a message of whole lines. It never returns an error.
func (q *Queue) Write(b []byte) (int, error) {
	q.start.Do(func() { go q.run() })
	q.mu.Lock()
	if q.closing || q.dropped > 0 || q.size > 0 && q.size+len(b) > queueSize {
		q.dropped++
		q.mu.Unlock()
		return len(b), nil
	}
	q.waiting = append(q.waiting, append([]byte(nil), b...))
	q.size += len(b)
	if q.empty == nil {
		q.empty = make(chan struct{})
	}
	empty, late := q.empty, q.late
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	if late {
		return len(b), nil
	}
	timer := time.NewTimer(queueWait)
	defer timer.Stop()
	select {
	case <-empty:
	case <-timer.C:
		q.mu.Lock()
		q.late = q.empty != nil
		q.mu.Unlock()
	}
	return len(b), nil
}

// run is the queue's goroutine. It is the only one that writes to out.
func (q *Queue) run() {
	defer close(q.done)
	for range q.wake {
		for {
			q.mu.Lock()
			batch, dropped := q.waiting, q.dropped
			q.waiting, q.size, q.dropped = nil, 0, 0
			if len(batch) == 0 && dropped == 0 {
				if q.empty != nil {
					close(q.empty)
				}
				q.empty, q.late = nil, false
				closing := q.closing
				q.mu.Unlock()
				if closing {
					return
				}
				break
			}
			q.mu.Unlock()
			for _, b := range batch {
				_, _ = q.out.Write(b)
				q.wrote.Add(1)
			}
			if dropped > 0 {
				_, _ = Fprintf(q.out, "seedbed: %s dropped because stderr was not read in time\n", Plural(dropped, "message"))
			}
		}
	}
}

// Close waits until everything is written. After ctx ends, it gives up if no message is
// written for Unread, because nobody reads. Later messages are dropped.
func (q *Queue) Close(ctx context.Context) {
	q.start.Do(func() { go q.run() })
	q.mu.Lock()
	q.closing = true
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	select {
	case <-q.done:
		return
	case <-ctx.Done():
	}
	for before := int64(-1); q.wrote.Load() != before; {
		before = q.wrote.Load()
		select {
		case <-q.done:
			return
		case <-time.After(Unread):
		}
	}
}
