package announce

import (
	"container/heap"
	"time"

	"seedbed/internal/mono"
)

// If no node accepts an announce, the visit is repeated after 15 s, then after 30 s, and so
// on up to 4 minutes.
const (
	retryAfter = 15 * time.Second
	maxBackoff = 5
)

// retries is a heap of the failed visits to repeat, the next one first. An entry whose
// infohash was visited or removed meanwhile is ignored.
type retries []failedVisit

type failedVisit struct {
	at      mono.Time
	item    uint32
	visited mono.Time
}

func (r retries) Len() int           { return len(r) }
func (r retries) Less(i, j int) bool { return r[i].at < r[j].at }
func (r retries) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }

// Push implements heap.Interface.
func (r *retries) Push(x any) { *r = append(*r, x.(failedVisit)) }

// Pop implements heap.Interface.
func (r *retries) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

func (r *retries) add(at mono.Time, item uint32, visited mono.Time) {
	heap.Push(r, failedVisit{at, item, visited})
}

func (r retries) next() mono.Time {
	if len(r) == 0 {
		return mono.Never
	}
	return r[0].at
}

// due removes the first entry that is due, and returns the number of its infohash.
func (r *retries) due(now mono.Time, items *slab) (item uint32, ok bool) {
	for len(*r) > 0 && (*r)[0].at <= now {
		a := heap.Pop(r).(failedVisit)
		if rec := items.at(a.item); rec.state == waiting && rec.visited == a.visited {
			return a.item, true
		}
	}
	return 0, false
}

// queue is a linked list of the infohashes in the order of their last visits, the least
// recent one first.
type queue struct {
	items      *slab
	head, tail uint32
}

func (q *queue) push(i uint32) {
	r := q.items.at(i)
	r.prev, r.next = q.tail, none
	if q.tail == none {
		q.head = i
	} else {
		q.items.at(q.tail).next = i
	}
	q.tail = i
}

// isListed reports whether an infohash is in the queue. The prev of one that is not is its
// own number.
func (q *queue) isListed(i uint32) bool { return q.items.at(i).prev != i }

func (q *queue) remove(i uint32) {
	r := q.items.at(i)
	if !q.isListed(i) {
		return
	}
	if r.prev == none {
		q.head = r.next
	} else {
		q.items.at(r.prev).next = r.next
	}
	if r.next == none {
		q.tail = r.prev
	} else {
		q.items.at(r.next).prev = r.prev
	}
	r.prev = i
}
