// Package fifo provides the first-in first-out [Queue] of this module, for everything that
// waits for a peer, a disk or a worker.
//
// A Queue is a ring buffer. Push, Pop and Front take amortized O(1) time. RemoveAt moves
// the elements before the removed one. There are usually few, because answers nearly always
// arrive in the order of the requests. The ring grows and shrinks with the length, and
// removed elements are zeroed, so that the garbage collector can free what they refer to.
//
// A Queue has no lock and no limit: its owner must provide them. Reading past the end is
// a bug of the caller and panics.
package fifo

import "iter"

// minCap is the capacity of the smallest ring, and the most that an empty queue keeps.
const minCap = 16

// Queue is a queue of T. The zero value is empty and ready for use. A Queue must
// not be copied while it has elements.
type Queue[T any] struct {
	ring []T // the length is zero or a power of two
	head int // index in ring of the first element
	n    int // number of elements
}

// Len returns the number of elements.
func (q *Queue[T]) Len() int { return q.n }

// Push appends v.
func (q *Queue[T]) Push(v T) {
	if q.n == len(q.ring) {
		q.resize(max(minCap, 2*q.n))
	}
	q.ring[q.index(q.n)] = v
	q.n++
}

// Front returns a pointer to the first element. The pointer is valid until the queue
// changes.
func (q *Queue[T]) Front() *T { return q.At(0) }

// At returns a pointer to element i, where 0 is the first. The pointer is valid until the
// queue changes.
func (q *Queue[T]) At(i int) *T {
	if uint(i) >= uint(q.n) {
		panic("fifo: index out of range")
	}
	return &q.ring[q.index(i)]
}

// Pop removes the first element and returns it.
func (q *Queue[T]) Pop() T { return q.RemoveAt(0) }

// RemoveAt removes element i and returns it. The others keep their order.
func (q *Queue[T]) RemoveAt(i int) T {
	v := *q.At(i)
	for ; i > 0; i-- {
		q.ring[q.index(i)] = q.ring[q.index(i-1)]
	}
	var zero T
	q.ring[q.head] = zero
	q.head = q.index(1)
	q.n--
	if len(q.ring) > minCap && q.n <= len(q.ring)/4 {
		q.resize(len(q.ring) / 2)
	}
	return v
}

// Clear removes all elements and frees the ring.
func (q *Queue[T]) Clear() { *q = Queue[T]{} }

// All returns the elements with their indexes, first to last. The queue must not change
// during the iteration.
func (q *Queue[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range q.n {
			if !yield(i, q.ring[q.index(i)]) {
				return
			}
		}
	}
}

// index returns the position of element i in the ring, which must not be empty.
func (q *Queue[T]) index(i int) int { return (q.head + i) & (len(q.ring) - 1) }

// resize moves the elements to a ring of length c, which is a power of two and large
// enough.
func (q *Queue[T]) resize(c int) {
	ring := make([]T, c)
	if q.n > 0 {
		k := copy(ring, q.ring[q.head:min(q.head+q.n, len(q.ring))])
		copy(ring[k:], q.ring[:q.n-k])
	}
	q.ring, q.head = ring, 0
}
