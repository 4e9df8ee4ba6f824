package node

import (
	"slices"
	"sync"
	"time"

	"seedbed/internal/id"
)

// hub distributes events to subscriptions and keeps the change log. Its mutex guards only
// queues: no callback runs and no I/O happens while it is held.
type hub struct {
	mu     sync.Mutex
	subs   []*Subscription
	recent []Event // the latest events about the node itself
	log    changeLog
	closed bool
}

const (
	// recentEvents is the number of events about the node that are kept for later
	// subscriptions.
	recentEvents = 64
	// queuedEvents is the number of events in a queue above which they are coalesced.
	queuedEvents = 1024
	// queuedMost is the maximum number of events after coalescing.
	queuedMost = 1 << 17
)

// Subscription is a queue of events. Emitting an event never waits for a subscriber. The
// queue is bounded: beyond 1,024 events, it keeps only the last event of each kind for each
// torrent. If more than 131,072 of those remain, they are discarded and the subscriber gets
// Missed instead.
//
// Its methods may be called from any goroutine.
type Subscription struct {
	hub     *hub
	ready   chan struct{} // holds a value while events wait; closed with the subscription
	pending []Event       // guarded by hub.mu, like all fields below
	limit   int           // pending is coalesced at this length
	most    int
	kinds   []EventKind // requested kinds; nil for all
	closed  bool
}

// Subscribe starts a subscription. It starts with the latest events about the node itself,
// such as Listening, so that a subscription right after Open misses none of them. If kinds
// are given, it receives only events of these kinds and Missed.
func (n *Node) Subscribe(kinds ...EventKind) *Subscription {
	h := &n.events
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &Subscription{hub: h, ready: make(chan struct{}, 1), limit: queuedEvents, most: queuedMost, kinds: kinds}
	for _, e := range h.recent {
		s.push(e)
	}
	if h.closed {
		s.end()
		return s
	}
	h.subs = append(h.subs, s)
	return s
}

// Emit sends an event to all subscriptions. It never blocks. Clients of the node use it for
// their own events, such as those about a publication.
func (n *Node) Emit(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	h := &n.events
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	if e.InfoHash.IsZero() {
		if len(h.recent) == recentEvents {
			h.recent = slices.Delete(h.recent, 0, 1)
		}
		h.recent = append(h.recent, e)
	} else if e.Kind == Added || h.log.has(e.InfoHash) { // an operation may end after the removal
		h.log.note(e.InfoHash, e.Kind == Removed)
	}
	for _, s := range h.subs {
		s.push(e)
	}
}

// close ends all subscriptions. Events that are waiting can still be taken.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, s := range h.subs {
		s.end()
	}
	h.subs = nil
}

// Ready holds a value while events wait. It is closed when the subscription or the node
// ends, so a subscriber can be written as
//
//	for range s.Ready() {
//		for _, e := range s.Take() { ... }
//	}
func (s *Subscription) Ready() <-chan struct{} { return s.ready }

// Take returns the waiting events, oldest first. It never blocks.
func (s *Subscription) Take() []Event { return s.TakeInto(nil) }

// TakeInto is Take for a caller that no longer needs the events that it took before. The queue reuses their slice,
// because growing a new one for each call takes more memory than everything else about an event.
func (s *Subscription) TakeInto(before []Event) []Event {
	clear(before)
	if cap(before) > 2*queuedEvents { // of a burst
		before = nil
	}
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	p := s.pending
	s.pending, s.limit = before[:0], queuedEvents
	return p
}

// Close ends the subscription and discards waiting events.
func (s *Subscription) Close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	s.pending = nil
	s.hub.subs = slices.DeleteFunc(s.hub.subs, func(o *Subscription) bool { return o == s })
	s.end()
}

// end closes ready, once.
func (s *Subscription) end() {
	if !s.closed {
		s.closed = true
		close(s.ready)
	}
}

// push appends an event. hub.mu is held.
func (s *Subscription) push(e Event) {
	if len(s.kinds) > 0 && !slices.Contains(s.kinds, e.Kind) {
		return
	}
	if len(s.pending) >= s.limit {
		s.coalesce()
	}
	s.pending = append(s.pending, e)
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// coalesce keeps the last event of each kind for each torrent or publication, in the order
// of arrival. The limit becomes twice the number that remains, so that the cost of an event
// is constant on average.
func (s *Subscription) coalesce() {
	type subject struct {
		torrent id.ID
		link    string
		kind    EventKind
	}
	seen := make(map[subject]struct{}, len(s.pending))
	first := len(s.pending)
	for _, e := range slices.Backward(s.pending) {
		k := subject{torrent: e.InfoHash, kind: e.Kind}
		if e.Publication != nil {
			k.link = e.Publication.Link
		}
		if _, later := seen[k]; !later {
			seen[k] = struct{}{}
			first--
			s.pending[first] = e
		}
	}
	s.pending = slices.Clone(s.pending[first:])
	if len(s.pending) > s.most {
		s.pending = []Event{{Kind: Missed, Time: s.pending[len(s.pending)-1].Time}}
	}
	s.limit = max(queuedEvents, 2*len(s.pending))
}
