// Package fifo is the one first-in first-out queue of this module: what waits
// for a peer, for a disk or for a worker waits in a [Queue].
//
// A Queue is a ring buffer. Push, Pop and Front cost O(1), amortised. RemoveAt
// costs as many moves as elements lie before the one that is removed: answers
// arrive in the order of their questions nearly always, so these are few. Memory
// follows the length in both directions, and removed elements are zeroed, so
// that the collector can free what they refer to.
//
// A Queue has no lock and no limit: its owner provides both. Reading past the
// end is a fault of ours and panics.
package fifo

import "iter"

// minCap is the smallest buffer, and the largest that an empty queue keeps.
const minCap = 16

// Queue is a queue of T. The zero value is empty and ready for use. A Queue must
// not be copied while it has elements.
type Queue[T any] struct {
	ring []T // its length is zero or a power of two
	head int // index in ring of the first element
	n    int // elements
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

// Front returns a pointer to the first element, valid until the queue changes.
func (q *Queue[T]) Front() *T { return q.At(0) }

// At returns a pointer to element i, where 0 is the first. It is valid until the
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

// Clear removes all elements and frees the buffer.
func (q *Queue[T]) Clear() { *q = Queue[T]{} }

// All returns the elements with their indexes, first to last. The queue must not
// change meanwhile.
func (q *Queue[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range q.n {
			if !yield(i, q.ring[q.index(i)]) {
				return
			}
		}
	}
}

// index is where element i is in the ring, which must not be empty.
func (q *Queue[T]) index(i int) int { return (q.head + i) & (len(q.ring) - 1) }

// resize moves the elements to a ring of c, which is a power of two and has
// room for them.
func (q *Queue[T]) resize(c int) {
	ring := make([]T, c)
	if q.n > 0 {
		k := copy(ring, q.ring[q.head:min(q.head+q.n, len(q.ring))])
		copy(ring[k:], q.ring[:q.n-k])
	}
	q.ring, q.head = ring, 0
}
