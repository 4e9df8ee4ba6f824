package utpconn

import (
	"container/heap"
	"sync"
	"time"

	"seedbed/internal/mono"
)

// minTimer is the shortest time until a timer runs out. It bounds the work for a connection
// that always has something due.
const minTimer = 250 * time.Microsecond

// timers calls flush for each Stream when its deadline has come: one goroutine for all.
//
// A deadline that moves back is not moved here, as that happens with almost every packet. The
// timer then runs out too early, finds nothing to do, and is set again.
type timers struct {
	wake chan struct{}
	done chan struct{}
	quit chan struct{}

	mu   sync.Mutex
	heap streamHeap
	next mono.Time // when the goroutine wakes up
}

func (q *timers) start(t *Transport) {
	q.wake, q.done, q.quit = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	q.next = mono.Never
	go q.run(t)
}

// stop ends the goroutine.
func (q *timers) stop() {
	close(q.quit)
	<-q.done
}

// set makes the timer of s run out at the time at, or earlier.
func (q *timers) set(s *Stream, now, at mono.Time) {
	if at == mono.Never {
		return
	}
	at = max(at, now.Add(minTimer))
	q.mu.Lock()
	switch {
	case s.heapIndex < 0:
		s.timerAt = at
		heap.Push(&q.heap, s)
	case at < s.timerAt:
		s.timerAt = at
		heap.Fix(&q.heap, s.heapIndex)
	}
	early := at < q.next
	if early {
		q.next = at
	}
	q.mu.Unlock()
	if early {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
}

// remove forgets the timer of s.
func (q *timers) remove(s *Stream) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.heapIndex >= 0 {
		heap.Remove(&q.heap, s.heapIndex)
	}
}

func (q *timers) run(t *Transport) {
	defer close(q.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due []*Stream
	for {
		now := t.now()
		due = q.due(now, due[:0])
		q.reset(now, timer)
		for i, s := range due {
			s.mu.Lock()
			s.flush(now)
			s.mu.Unlock()
			due[i] = nil
		}
		if len(due) > 0 {
			continue
		}
		select {
		case <-timer.C:
		case <-q.wake:
		case <-q.quit:
			return
		}
	}
}

// due takes the streams whose timers have run out.
func (q *timers) due(now mono.Time, due []*Stream) []*Stream {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.heap) > 0 && q.heap[0].timerAt <= now {
		due = append(due, heap.Pop(&q.heap).(*Stream))
	}
	return due
}

// reset sets the timer of the goroutine to the next deadline.
func (q *timers) reset(now mono.Time, timer *time.Timer) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.next = mono.Never
	wait := time.Hour
	if len(q.heap) > 0 {
		q.next = q.heap[0].timerAt
		wait = q.next.Sub(now)
	}
	timer.Reset(wait)
}

// streamHeap is a heap.Interface with the earliest deadline first.
type streamHeap []*Stream

func (h streamHeap) Len() int           { return len(h) }
func (h streamHeap) Less(i, j int) bool { return h[i].timerAt < h[j].timerAt }
func (h streamHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

func (h *streamHeap) Push(x any) {
	s := x.(*Stream)
	s.heapIndex = len(*h)
	*h = append(*h, s)
}

func (h *streamHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	s.heapIndex = -1
	return s
}
