package node

import (
	"slices"
	"sync"
	"time"

	"seedbed/internal/id"
)

// A hub distributes events to subscriptions and keeps the change log. Its mutex guards
// queues only: nobody is called and nothing waits while it is held.
type hub struct {
	mu     sync.Mutex
	subs   []*Subscription
	recent []Event // the last ones about the node itself
	log    changeLog
	closed bool
}

const (
	// recentEvents about the node itself are kept for later subscriptions.
	recentEvents = 64
	// queuedEvents may wait in a subscription before they are coalesced.
	queuedEvents = 1024
	// queuedMost may wait in a subscription after that.
	queuedMost = 1 << 17
)

// A Subscription is a queue of events. Emitting an event never waits for a subscriber. The
// queue of a slow one is bounded: beyond 1,024 events, only the last event of each kind is
// kept for each torrent. A subscriber that lets more than 131,072 of those wait gets Missed
// in their place.
//
// Its methods may be called from any goroutine.
type Subscription struct {
	hub     *hub
	ready   chan struct{} // holds a token while events wait; closed with the subscription
	pending []Event       // guarded by hub.mu, as all below
	limit   int           // the length at which pending is coalesced
	most    int
	kinds   []EventKind // that are wanted; nil for all
	closed  bool
}

// Subscribe begins a subscription. It starts with the most recent events about the node
// itself, such as Listening, so that one that begins after Open misses none of these.
// If kinds are given, it gets these only, and Missed.
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

// Emit sends an event to all subscriptions. It never waits. Clients of the node use it for
// events of their own, such as those about a publication.
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
	} else {
		h.log.note(e.InfoHash, e.Kind == Removed)
	}
	for _, s := range h.subs {
		s.push(e)
	}
}

// close ends all subscriptions; what waits in them can still be taken.
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

// Take returns the events that wait, oldest first. It never waits.
func (s *Subscription) Take() []Event {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	p := s.pending
	s.pending, s.limit = nil, queuedEvents
	return p
}

// Close ends the subscription and discards what waits.
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
// in which they came. The limit becomes twice what is left, so that the cost for each event
// is constant.
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
