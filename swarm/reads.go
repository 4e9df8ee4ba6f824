package swarm

import (
	"sync"
	"time"
)

const (
	// readsAtOnce is how many reads for uploads run at a time: in the node, where more would make a disk
	// seek, and of one torrent.
	readsAtOnce = 2
	// hungAfter is how long a read takes until the next one does not wait for it: its disk hangs, and
	// other torrents may have another disk.
	hungAfter = time.Second
)

// reads limits the reads of a node. Each has a place, which is an index in places. A read that hangs
// loses its place to the next one.
type reads struct {
	free chan int // places that no read has

	mu     sync.Mutex
	places [readsAtOnce]struct {
		turn  uint64    // counts the reads that had the place
		since time.Time // when the present one began; zero: there is none
	}
}

func newReads() *reads {
	r := &reads{free: make(chan int, readsAtOnce)}
	for i := range readsAtOnce {
		r.free <- i
	}
	return r
}

// begin waits for a place. The caller passes what it returns to end.
func (r *reads) begin() (place int, turn uint64) {
	select {
	case place = <-r.free:
		return place, r.take(place)
	default:
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case place = <-r.free:
			return place, r.take(place)
		case <-timer.C:
			place, turn, wait := r.takeOver()
			if wait == 0 {
				return place, turn
			}
			timer.Reset(wait)
		}
	}
}

// take begins the turn of a read.
func (r *reads) take(place int) (turn uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.takeLocked(place, time.Now())
}

func (r *reads) takeLocked(place int, now time.Time) (turn uint64) {
	p := &r.places[place]
	p.turn++
	p.since = now
	return p.turn
}

// takeOver takes the place of a read that hangs. If there is none, it returns when to try again.
func (r *reads) takeOver() (place int, turn uint64, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	wait = hungAfter
	for i := range r.places {
		p := &r.places[i]
		if p.since.IsZero() {
			continue
		}
		left := hungAfter - now.Sub(p.since)
		if left <= 0 {
			return i, r.takeLocked(i, now), 0
		}
		wait = min(wait, left)
	}
	return 0, 0, wait
}

// end frees a place, unless the read has lost it.
func (r *reads) end(place int, turn uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := &r.places[place]; p.turn == turn {
		p.since = time.Time{}
		r.free <- place // it has room for all places
	}
}
