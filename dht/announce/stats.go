package announce

import (
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Counts are counters since the start.
type Counts struct {
	Sent      uint64 // packets: get_peers and announce_peer queries
	Answered  uint64 // of these, answered
	Failed    uint64 // of these, unanswered or refused
	Visits    uint64 // visits that ended
	Fruitless uint64 // of these, those that no node accepted
}

// Stats is the state of a Scheduler.
type Stats struct {
	Infohashes  int
	Unannounced int           // not announced yet
	Visiting    int           // being announced right now
	Urgent      int           // waiting for a visit out of turn: new ones, and those whose visit failed
	Late        int           // last announced longer ago than Config.Interval
	Cost        float64       // packets of a visit, averaged over the latest
	Rate        float64       // current maximum of packets a second
	Interval    time.Duration // the time that the walk takes for all infohashes
	Overloaded  bool          // Interval is longer than Config.Interval
	Offline     bool          // no node answers
	Window      int           // live nodes in the window
	Counts
}

// Stats returns the current state.
func (s *Scheduler) Stats(now mono.Time) Stats {
	st := Stats{
		Infohashes: s.all.n, Unannounced: s.all.n - s.announced,
		Visiting: len(s.active), Urgent: s.fresh.n,
		Cost: s.cost, Rate: s.pace(now), Interval: s.cycle(),
		Overloaded: s.cycle() > s.cfg.Interval,
		Offline:    s.Offline(),
		Window:     len(s.book.nodes),
		Counts:     s.count,
	}
	s.Late(now, func(id.ID) bool { st.Late++; return true })
	return st
}
