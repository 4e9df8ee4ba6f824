package daemon

import (
	"errors"
	"slices"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/node"
	"seedbed/node/lifecycle"
)

// QueueSettings limit how many torrents of the session run at the same time. The others wait in phase
// Queued, neither announced nor running, in the order of their places. Those without metadata fetch it
// in turns while they wait; see metadata.go.
//
// A torrent takes no slot if it is parked, paused or stalled, has failed, or was started by StartNow.
type QueueSettings struct {
	// Downloads is how many torrents download at the same time, and Seeds how many seed. 0 means
	// no limit.
	Downloads, Seeds int
	// Stalled is how long a torrent must transfer nothing until its slot is free for the next
	// one. It keeps running. 0 means never.
	Stalled time.Duration
}

// DefaultQueueSettings returns the default settings, which are those of Transmission.
func DefaultQueueSettings() QueueSettings {
	return QueueSettings{Downloads: 5, Stalled: 30 * time.Minute}
}

// IsOn reports whether there is a limit.
func (s *QueueSettings) IsOn() bool { return s.Downloads > 0 || s.Seeds > 0 }

func (s *QueueSettings) validate() error {
	if s.Downloads < 0 || s.Seeds < 0 || s.Stalled < 0 {
		return usage(errors.New("the limits of the queue must not be negative"), "")
	}
	return nil
}

// queue holds and releases the torrents of the session. The node adds them held, so that none
// runs before its turn.
//
// The node's events say what has changed. The work is proportional to the number of changes, and
// once a minute to the number of torrents that run.
type queue struct {
	node *node.Node

	mu       sync.Mutex
	set      QueueSettings
	torrents map[id.ID]*queued
	kinds    [2]slots             // of downloads and seeds
	stalled  map[*queued]struct{} // they run and take no slot
	fetches  fetches              // of waiting torrents without metadata
	order    []*queued            // by place
	isDirty  bool                 // order is not up to date
}

const (
	downloads = iota
	seeds
)

var kindNames = [...]string{downloads: "downloads", seeds: "seeds"}

func newQueue(n *node.Node, set QueueSettings) *queue {
	q := &queue{node: n, torrents: map[id.ID]*queued{}, stalled: map[*queued]struct{}{}, kinds: [2]slots{newSlots(), newSlots()}}
	q.apply(set)
	return q
}

// apply puts settings in force.
func (q *queue) apply(set QueueSettings) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.set = set
	q.kinds[downloads].limit, q.kinds[seeds].limit = set.Downloads, set.Seeds
	q.balance()
}

// handle updates the torrents that have changed.
func (q *queue) handle(events []node.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range events {
		if e.Kind == node.Missed {
			q.updateAll()
			continue
		}
		q.update(e.InfoHash)
	}
	q.balance()
}

// begin takes up the torrents that were restored.
func (q *queue) begin() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.updateAll()
	q.balance()
}

// updateAll updates every torrent. mu is held.
func (q *queue) updateAll() {
	for hash := range q.torrents {
		q.update(hash)
	}
	for _, t := range q.node.Torrents() {
		q.update(t.InfoHash())
	}
}

// add takes up a torrent that was just added.
func (q *queue) add(t *node.Torrent) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.update(t.InfoHash())
	q.balance()
}

// update records whether a torrent waits, runs, or takes no slot. mu is held.
func (q *queue) update(hash id.ID) {
	x, t := q.torrents[hash], q.node.Torrent(hash)
	if x != nil && x.t != t {
		q.drop(x)
		x = nil
	}
	if t == nil {
		return
	}
	phase := t.Phase()
	if phase == lifecycle.Paused && !t.IsPaused() { // it was resumed
		phase = lifecycle.Queued
	}
	if x == nil {
		d := t.Details()
		if phase == lifecycle.Adding || d.Added.IsZero() { // not yet, or never
			return
		}
		x = &queued{t: t, hash: hash, place: d.Place, isHeld: t.IsHeld(), active: time.Now()}
		q.torrents[hash] = x
		q.order = append(q.order, x)
		x.position = len(q.order)
		q.isDirty = q.isDirty || len(q.order) > 1 && q.order[len(q.order)-2].compare(x) > 0
	}
	switch phase {
	case lifecycle.Removing, lifecycle.Ended:
		q.drop(x)
	case lifecycle.Paused, lifecycle.Failed, lifecycle.Missing:
		if !x.isStopped { // it waits for its turn when it is resumed
			x.isStopped = true
			q.hold(x)
		}
		q.claim(x, nil)
	case lifecycle.Parked:
		x.isStopped = false
		q.claim(x, nil)
	default:
		x.isStopped = false
		s := &q.kinds[kindOf(t)]
		_, isStalled := q.stalled[x]
		switch {
		case t.IsForced():
			if q.claim(x, nil); x.isHeld {
				q.start(x)
			}
		case x.isHeld:
			q.claim(x, &s.waiting)
		case !isStalled:
			q.claim(x, &s.running)
		}
	}
	q.wantMetadata(x)
}

// wantMetadata records whether a torrent waits without its metadata. mu is held.
func (q *queue) wantMetadata(x *queued) {
	isWaiting := x.in == &q.kinds[downloads].waiting
	q.fetches.want(x, isWaiting && !x.t.HasMetadata(), setFetching)
}

func setFetching(x *queued, on bool) { x.t.FetchMetadata(on) }

// hasPeers reports whether a torrent has a connected peer.
func (x *queued) hasPeers() bool { return x.t.Snapshot().Connected > 0 }

func kindOf(t *node.Torrent) int {
	if t.IsComplete() {
		return seeds
	}
	return downloads
}

// claim moves x to a heap, or to none. mu is held.
func (q *queue) claim(x *queued, p *torrentHeap) {
	delete(q.stalled, x)
	x.moveTo(p)
}

// drop forgets a torrent that has left the node. mu is held.
func (q *queue) drop(x *queued) {
	q.claim(x, nil)
	q.wantMetadata(x)
	delete(q.torrents, x.hash)
	x.isGone, q.isDirty = true, true
	if len(q.order) > 2*len(q.torrents)+forgetAt {
		q.sorted()
	}
}

// forgetAt limits the torrents in order that have left the node: to this number, and as many as the
// queue has.
const forgetAt = 64

// balance starts and holds torrents by their places, and lets some of those that wait fetch their
// metadata. mu is held.
func (q *queue) balance() {
	for i := range q.kinds {
		q.kinds[i].balance(q.start, q.hold)
	}
	q.fetches.balance(time.Now(), (*queued).hasPeers, setFetching)
}

// start starts a torrent. mu is held.
func (q *queue) start(x *queued) {
	x.isHeld, x.active = false, time.Now()
	x.t.Release()
	q.wantMetadata(x)
}

// hold makes a torrent wait. mu is held.
func (q *queue) hold(x *queued) {
	x.isHeld = true
	x.t.Hold()
	q.wantMetadata(x)
}

// stalledEvery is the interval at which the queue looks for torrents that transfer nothing.
const stalledEvery = time.Minute

// findStalled frees the slots of torrents that have stalled, and lets those that transfer again
// take one.
func (q *queue) findStalled(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.set.Stalled == 0 {
		for x := range q.stalled {
			q.claim(x, &q.kinds[kindOf(x.t)].running)
		}
	}
	for i := range q.kinds {
		if s := &q.kinds[i]; s.limit > 0 && q.set.Stalled > 0 {
			for _, x := range slices.Clone(s.running.items) {
				if !x.hasTransferred(now) && now.Sub(x.active) >= q.set.Stalled {
					q.claim(x, nil)
					q.stalled[x] = struct{}{}
				}
			}
		}
	}
	for x := range q.stalled {
		if x.hasTransferred(now) {
			q.claim(x, &q.kinds[kindOf(x.t)].running)
		}
	}
	q.balance()
}

// hasTransferred reports whether a torrent has transferred anything since the last call, or is
// checking or moving its files.
func (x *queued) hasTransferred(now time.Time) bool {
	s := x.t.Snapshot()
	bytes := s.Uploaded + s.Downloaded
	if bytes == x.transferred && s.State != lifecycle.Checking && s.State != lifecycle.Moving {
		return false
	}
	x.transferred, x.active = bytes, now
	return true
}

// sorted returns the torrents by place and updates their positions. mu is held.
func (q *queue) sorted() []*queued {
	if q.isDirty {
		q.order = slices.DeleteFunc(q.order, func(x *queued) bool { return x.isGone })
		slices.SortFunc(q.order, (*queued).compare)
		for i, x := range q.order {
			if x.position = i + 1; i > 0 && x.place <= q.order[i-1].place { // a kill between two writes left equal places
				x.place = q.order[i-1].place + 1
			}
		}
		q.isDirty = false
	}
	return q.order
}
