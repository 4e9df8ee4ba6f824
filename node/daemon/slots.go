package daemon

import (
	"bytes"
	"cmp"
	"container/heap"
	"time"

	"seedbed/internal/id"
	"seedbed/node"
)

// slots decide which torrents of one kind run, the downloads or the seeds: the first ones by their
// place in the queue, as many as the limit allows. A torrent that begins to wait therefore takes the
// slot of a running torrent with a later place.
type slots struct {
	limit   int // 0: none
	waiting torrentHeap
	running torrentHeap // without those that do not count
}

func newSlots() slots { return slots{running: torrentHeap{lastFirst: true}} }

// balance starts and holds torrents until the first ones run. Its work is proportional to the number
// of torrents that it starts and holds.
func (s *slots) balance(start, hold func(*queued)) {
	for {
		first, last := s.waiting.top(), s.running.top()
		switch {
		case first != nil && (s.limit == 0 || len(s.running.items) < s.limit):
			first.moveTo(&s.running)
			start(first)
		case s.limit > 0 && len(s.running.items) > s.limit, first != nil && first.compare(last) < 0:
			last.moveTo(&s.waiting)
			hold(last)
		default:
			return
		}
	}
}

// queued is a torrent in the queue.
type queued struct {
	t        *node.Torrent
	hash     id.ID
	place    int64
	position int          // from 1; see queue.sorted
	in       *torrentHeap // nil if it neither waits nor takes a slot
	index    int          // in the heap

	isStopped bool // it is paused, has failed or lacks its data
	isHeld    bool // Hold was called
	isGone    bool // it has left the node

	fetching fetching

	transferred int64     // bytes in both directions, in this run of its swarm
	active      time.Time // when that last changed
}

// compare orders torrents by their places.
func (x *queued) compare(y *queued) int {
	return cmp.Or(cmp.Compare(x.place, y.place), bytes.Compare(x.hash[:], y.hash[:]))
}

// moveTo moves x to a heap; nil means none.
func (x *queued) moveTo(p *torrentHeap) {
	if x.in == p {
		return
	}
	if x.in != nil {
		heap.Remove(x.in, x.index)
	}
	if x.in = p; p != nil {
		heap.Push(p, x)
	}
}

// setPlace changes the place of x.
func (x *queued) setPlace(place int64) {
	if x.place = place; x.in != nil {
		heap.Fix(x.in, x.index)
	}
}

// torrentHeap is a heap of torrents with the first or the last one by place on top.
type torrentHeap struct {
	items     []*queued
	lastFirst bool
}

// top returns the torrent on top, or nil if the heap is empty.
func (p *torrentHeap) top() *queued {
	if len(p.items) == 0 {
		return nil
	}
	return p.items[0]
}

// Len implements heap.Interface.
func (p *torrentHeap) Len() int { return len(p.items) }

// Less implements heap.Interface.
func (p *torrentHeap) Less(i, j int) bool { return (p.items[i].compare(p.items[j]) < 0) != p.lastFirst }

// Swap implements heap.Interface.
func (p *torrentHeap) Swap(i, j int) {
	p.items[i], p.items[j] = p.items[j], p.items[i]
	p.items[i].index, p.items[j].index = i, j
}

// Push implements heap.Interface.
func (p *torrentHeap) Push(x any) {
	q := x.(*queued)
	q.index = len(p.items)
	p.items = append(p.items, q)
}

// Pop implements heap.Interface.
func (p *torrentHeap) Pop() any {
	last := len(p.items) - 1
	x := p.items[last]
	p.items[last] = nil
	p.items = p.items[:last]
	return x
}
