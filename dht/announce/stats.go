package announce

import (
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Counts are counters since the start.
type Counts struct {
	Sent      uint64 // get_peers and announce_peer queries
	Answered  uint64 // queries that were answered
	Failed    uint64 // queries that were not answered, or answered with an error
	Visits    uint64 // visits that ended
	Fruitless uint64 // visits in which no node accepted the announce
}

// Stats is the state of a Scheduler.
type Stats struct {
	Infohashes  int
	Unannounced int           // never announced yet
	Visiting    int           // being announced right now
	Urgent      int           // waiting for a visit out of turn, because they are new or their visit failed
	Late        int           // whose last announce is older than Config.Interval
	Cost        float64       // packets a visit, averaged over recent visits
	Rate        float64       // current maximum number of packets a second
	Interval    time.Duration // the time in which the walk visits all infohashes
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
		Window:     len(s.window.nodes),
		Counts:     s.count,
	}
	s.Late(now, func(id.ID) bool { st.Late++; return true })
	return st
}
